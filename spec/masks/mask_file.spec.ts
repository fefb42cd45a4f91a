/**
 * A mask's file: what was written is read back, and nothing else is.
 *
 * Tests src/io/read_finite.ts.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { writeSafetensors } from '../../src/io/safetensors_writer.ts'
import { readMask } from '../../src/masks/mask_file.ts'
import type { InputError } from '../../src/tensor/errors.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'

const folder = temporaryFolder()

const path = join(folder, 'mask.safetensors')
const shape = { layers: 2, heads: 2, neurons: 3 }
const heads = Float32Array.of(1, 1, 0, 1)
const neurons = Float32Array.of(1, 1, 1, 0, 1, 0)

interface Table {
  readonly shape: number[]
  readonly data: Float32Array
}

function write(tables: Readonly<Record<string, Table>>): Promise<void> {
  const entries = Object.entries(tables)
  return writeSafetensors(path, new Map(entries.map(([name, table]) => [name, { dtype: 'F32', ...table }])))
}

const whole = { head_mask: { shape: [2, 2], data: heads }, ffn_mask: { shape: [2, 3], data: neurons } }

test('round-trips', async () => {
  await write(whole)
  expect(await readMask(path, shape)).toEqual({ shape, heads, neurons })
})

test.each([
  ['TENSOR_MISSING', { head_mask: whole.head_mask }],
  ['TENSOR_SHAPE', { ...whole, ffn_mask: { shape: [3, 2], data: neurons } }],
  ['MASK_VALUE', { ...whole, head_mask: { shape: [2, 2], data: heads.map(() => NaN) } }],
] as const)('%s is refused', async (code, tables) => {
  await write(tables as unknown as Record<string, Table>)
  await expect(readMask(path, shape)).rejects.toMatchObject({ code } satisfies Partial<InputError>)
})

test('a file that is no mask is refused', async () => {
  writeFileSync(path, 'ones and zeros')
  await expect(readMask(path, shape)).rejects.toMatchObject({ exitCode: 3 })
})

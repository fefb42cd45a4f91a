/**
 * Parity: what this project computes is what the golden files say, tensor by tensor, and nothing that is wrong passes.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkParity, type ParityTensor } from '../../src/parity/check.ts'
import { exportParity } from '../../src/parity/export.ts'
import { readParityCases, readParityFile } from '../../src/parity/files.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { openSafetensors } from '../../src/io/safetensors.ts'
import type { TensorsToWrite } from '../../src/io/safetensors_writer.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { casesOf, isLlama, pathOf, variants } from '../golden/golden.ts'
import { goldenConfig } from '../golden/model.ts'
import { overQuickBackends } from '../harness/backends.ts'
import { law } from '../harness/seed.ts'

function tensors(entries: Record<string, [shape: number[], values: number[]]>): Map<string, ParityTensor> {
  return new Map(Object.entries(entries).map(([name, [shape, values]]) => [name, { shape, values }]))
}

function asRead(written: TensorsToWrite): Map<string, ParityTensor> {
  return new Map(
    [...written].map(([name, { shape, data }]) => [name, { shape, values: data as Float32Array }]),
  )
}

describe('our export passes against the golden files', () => {
  overQuickBackends((backend) => {
    for (const variant of variants)
      test(`${variant}: every case`, async () => {
        const source = await openSafetensors(pathOf(variant, 'model.safetensors'))
        const config = goldenConfig(variant)
        const model = await LanguageModel.load(config, source, backend)
        await source.close()
        for (const name of casesOf[variant]) {
          const file = pathOf(variant, `cases/${name}.safetensors`)
          const ours = asRead(await exportParity(model, await readParityCases(file)))
          const report = checkParity(await readParityFile(file), ours)
          expect(report.worst, name).toBe(null)
          // Every kind of result was compared, not a few by chance.
          expect(new Set(report.tensors.map(({ kind }) => kind)).size, name).toBe(7)
          // The l2 criteria look at padding there. The files of Llamas have plainact alone.
          const scores = isLlama(variant) ? 4 : ['rightpad', 'leftpad'].includes(name) ? 9 : 12
          expect(report.tensors.length, name).toBe(3 + 2 + 2 + 2 + (config.layers + 1) + 4 + scores + 1)
        }
        model.dispose()
      })
  })
})

describe('the check', () => {
  const good = tensors({
    attention_mask: [
      [1, 3],
      [1, 1, 0],
    ],
    logits: [
      [1, 3, 2],
      [1, 2, 3, 4, 5, 6],
    ],
    loss: [[1], [2]],
    'crit.plainact_head': [
      [1, 2],
      [10, 20],
    ],
  })
  const changed = (name: string, index: number, value: number): Map<string, ParityTensor> => {
    const copy = new Map(
      [...good].map(([key, { shape, values }]) => [key, { shape, values: Array.from(values) }]),
    )
    const values = copy.get(name)?.values
    if (values) values[index] = value
    return copy
  }

  test('passes a file against itself, at any tolerance', () => {
    expect(checkParity(good, good)).toMatchObject({ passed: true, worst: null, onlyInA: [], onlyInB: [] })
    expect(checkParity(good, good, 0).passed).toBe(true)
  })

  test.each([
    ['logits', 3, 4.0003, [0, 1, 1]],
    ['loss', 0, 2.00005, [0]],
    ['crit.plainact_head', 0, 10.003, [0, 0]],
    ['attention_mask', 1, 0, [0, 1]],
    ['logits', 0, NaN, [0, 0, 0]],
    ['logits', 0, Infinity, [0, 0, 0]],
  ])('finds %s[%d] = %d and names the index', (name, index, value, place) => {
    const report = checkParity(good, changed(name, index, value))
    expect(report.passed).toBe(false)
    expect(report.worst).toMatchObject({ name, place: { index: place, b: value } })
  })

  test('accepts values within the tolerance of their kind, which --tolerance replaces', () => {
    const near = changed('logits', 3, 4.0001)
    expect(checkParity(good, near).passed).toBe(true)
    expect(checkParity(good, near, 1e-6).passed).toBe(false)
    expect(checkParity(good, changed('logits', 3, 4.1), 0.1).passed).toBe(true)
  })

  test('ignores rows that either file marks as padding', () => {
    expect(checkParity(good, changed('logits', 5, 99)).passed).toBe(true)
    expect(checkParity(good, changed('logits', 5, NaN), 0).passed).toBe(true)
    const unmasked = new Map([...good].filter(([name]) => name !== 'attention_mask'))
    expect(checkParity(unmasked, changed('logits', 5, 99)).passed).toBe(true)
  })

  test('ignores an nll directly after padding, which padding scored', () => {
    const first = [1, 3]
    // The second of two rows begins with padding.
    const withNll = (...second: number[]): Map<string, ParityTensor> =>
      tensors({ attention_mask: [first, [0, 1, 1]], nll: [first, second] })
    expect(checkParity(withNll(0, 7, 2), withNll(0, 0, 2)).passed).toBe(true)
    expect(checkParity(withNll(0, 7, 2), withNll(0, 7, 3)).passed).toBe(false)
  })

  test('fails for another shape, lists a tensor of one file only unless it is misspelt, and refuses files with nothing in common', () => {
    const shape = new Map(good).set('loss', { shape: [2], values: [2, 2] })
    expect(checkParity(good, shape).worst).toMatchObject({ mismatch: 'shapes differ: [1] and [2]' })
    const fewer = new Map([...good].filter(([name]) => name !== 'loss'))
    expect(checkParity(good, fewer)).toMatchObject({ passed: true, onlyInA: ['loss'], onlyInB: [] })
    const misspelt = new Map(good).set('masked_logits', { shape: [1], values: [0] })
    expect(checkParity(good, misspelt)).toMatchObject({
      passed: false,
      unknown: ['masked_logits'],
      worst: null,
    })
    expect(checkParity(good, new Map(good).set('attn.0', { shape: [1], values: [0] })).passed).toBe(true)
    const inputs = tensors({ attention_mask: [[1, 1], [1]] })
    expect(() => checkParity(inputs, inputs)).toThrow(InputError)
  })

  law(
    'any single value moved by more than its tolerance is found at its index',
    { index: fc.nat({ max: 3 }), by: fc.double({ min: 3e-4, max: 1e6, noNaN: true }), up: fc.boolean() },
    ({ index, by, up }) => {
      const value = (good.get('logits')?.values[index] ?? 0) + (up ? by : -by)
      expect(checkParity(good, changed('logits', index, value)).worst?.place?.b).toBe(value)
    },
  )
})

test('arguments of other types are refused in a line', async () => {
  expect(() => checkParity({} as never, new Map())).toThrow(
    'a: expected a Map of tensors, as of readParityFile',
  )
  expect(() => checkParity(new Map(), new Map(), -1)).toThrow(
    'tolerance: expected a number from 0, or null, got -1',
  )
  await expect(exportParity({} as never, {} as never)).rejects.toThrow('model: expected a loaded model')
})

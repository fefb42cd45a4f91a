/**
 * The storage of a file: commands that write hold a GGUF file of Q4_0 or Q4_1 as int4, as it has its weights, and say so; another
 * storage has to be asked for. Tests src/engine/storages/index.ts.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ggufModel, plainTokenizer } from '../../bench/peers/gguf_model.ts'
import type { Format } from '../../src/io/gguf_formats.ts'
import { makeConfig } from '../../src/engine/config.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { chosenStorage, storages } from '../../src/engine/storages/index.ts'
import { ShadowModel } from '../../src/library/index.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import type { TensorInfo } from '../../src/tensor/tensor_source.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { runInside } from './run_inside.ts'

const folder = temporaryFolder()

/** A small Llama in a file of this format. */
async function fileOf(format: Format, name = `${format}.gguf`): Promise<string> {
  const vocabulary = 300
  const sizes = { layers: 2, width: 32, heads: 2, neurons: 64, vocabulary, positions: 64 }
  const config = makeConfig({ ...sizes, family: 'llama' })
  const source = memorySource(initialWeights(config, { seed: 3, deviation: 0.3 }))
  const path = join(folder, name)
  await writeFile(path, ggufModel(config, source, format, plainTokenizer(vocabulary)))
  return path
}

test('of a folder the GGUF file that was taken is named', async () => {
  await mkdir(join(folder, 'one'))
  const path = await fileOf('F32', 'one/small.gguf')
  const run = ['generate', 'a', '--max-tokens', '1', '--json', '-m', join(folder, 'one')]
  expect(JSON.parse((await runInside(run)).stdout)).toMatchObject({ model: path })
})

const said = 'weights int4, as in the file\n'

describe('generate', () => {
  test.each<[Format, boolean]>([
    ['F32', false],
    ['F16', false],
    ['Q8_0', false],
    ['Q4_0', true],
    ['Q4_1', true],
  ])('a file of %s is held as int4: %s', async (format, isInt4) => {
    const args = ['generate', 'a', '-m', await fileOf(format), '--max-tokens', '8', '--json']
    const run = async (...more: string[]) => {
      const { code, stdout, stderr } = await runInside([...args, ...more])
      expect(code, stderr).toBe(0)
      const { tokens, cache } = JSON.parse(stdout) as { tokens: number[]; cache: string }
      return { tokens, cache, stderr }
    }
    const usual = await run()
    expect(usual).toEqual({
      ...(await run('--storage', isInt4 ? 'int4' : 'f32')),
      stderr: isInt4 ? said : '',
    })
    expect(usual.cache).toBe(isInt4 ? 'int8' : 'f32')
    expect((await run('--storage', 'f32')).cache).toBe('f32')
    expect((await run('--quiet')).stderr).toBe('')
    const { stderr } = await runInside(args.slice(0, -1))
    expect(stderr.endsWith(`, greedy${isInt4 ? `; ${said}` : '\n'}`), stderr).toBe(true)
    expect(stderr.split('\n')).toHaveLength(2)
  })
})

test.each([
  ['int4', []],
  ['f16', ['--storage', 'f16']],
])('bench times it as %s with %j', async (storage, flags) => {
  const args = [
    'bench',
    '-m',
    await fileOf('Q4_0'),
    '--planner',
    'dense',
    '--test',
    'pp4',
    '--rounds',
    '1',
    '--json',
  ]
  const { code, stdout, stderr } = await runInside([...args, ...flags])
  expect(code, stderr).toBe(0)
  const { rows } = JSON.parse(stdout) as { rows: { storage: string }[] }
  expect(rows.map((row) => row.storage)).toEqual([storage])
})

test.each([
  ['Q4_1', undefined, 'int4'],
  ['Q4_1', 'f32', 'f32'],
  ['Q4_1', 'f16', 'f16'],
  ['Q8_0', undefined, 'f32'],
] as const)('the library holds a file of %s with the storage %s as %s', async (format, storage, held) => {
  await using model = await ShadowModel.fromPretrained(await fileOf(format), { storage })
  expect(model.model.weights.storage).toBe(held)
})

test('perplexity measures float32 numbers, and says what the commands that write hold; --storage file measures that', async () => {
  const [file, text] = [await fileOf('Q4_1'), join(folder, 'measured')]
  await writeFile(text, 'a '.repeat(200))
  const args = [
    'perplexity',
    '-m',
    file,
    '--text',
    text,
    '--by',
    'page',
    '--planner',
    'dense',
    '--context',
    '16',
  ]
  const of = async (...more: string[]) => runInside([...args, ...more])
  const usual = await of()
  expect(usual.code, usual.stderr).toBe(0)
  expect(usual.stdout).toContain('; weights as f32\n')
  expect(usual.stderr).toContain(
    'generate, chat and serve hold those of this file as int4, as --storage file does here',
  )
  expect((await of('--quiet')).stderr).toBe('')
  const own = await of('--storage', 'file')
  expect(own.stdout).toContain('; weights as int4\n')
  expect(own.stderr).not.toContain('weights as')
})

test('calibrate, which has no --storage, scores the float32 numbers of such a file', async () => {
  const [file, wide, text] = [await fileOf('Q4_1'), join(folder, 'wide'), join(folder, 'text')]
  await writeFile(text, 'a '.repeat(200))
  const run = async (...args: string[]) => expect(await runInside(args)).toMatchObject({ code: 0 })
  await run('convert', file, wide)
  const examplesOf = async (model: string, output: string) => {
    const sizes = ['--limit', '1', '--prompt', '8', '--continuation', '8', '--threads', '1']
    await run('calibrate', '-m', model, '-o', output, '--text', text, ...sizes)
    const bytes = await readFile(join(output, 'part-00000.safetensors'))
    // The header names the model.
    return bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)))
  }
  const own = await examplesOf(file, join(folder, 'a'))
  expect(own.some((byte) => byte !== 0)).toBe(true)
  expect(own.equals(await examplesOf(wide, join(folder, 'b')))).toBe(true)
})

describe('a file', () => {
  const matrix = (name: string, type?: string): [string, TensorInfo] => [
    name,
    {
      name,
      dtype: 'F32',
      shape: [32, 32],
      byteLength: 4096,
      ...(type && { stored: { type, byteLength: 640 } }),
    },
  ]
  const chosen = (...tensors: [string, TensorInfo][]): string =>
    chosenStorage('file', { tensors: new Map(tensors) })
  const [first, second] = ['model.layers.0.mlp.up_proj.weight', 'model.layers.1.mlp.up_proj.weight']

  test('is one of int4 if all matrices of its layers are, whatever stands outside', () => {
    expect(chosen(matrix(first, 'Q4_0'), matrix(second, 'Q4_1'), matrix('lm_head.weight', 'Q6_K'))).toBe(
      'int4',
    )
    expect(chosen(matrix(first, 'Q4_0'), matrix(second, 'Q6_K'))).toBe('f32')
    expect(chosen(matrix(first, 'Q4_0'), matrix(second))).toBe('f32')
    expect(chosen(matrix('lm_head.weight', 'Q4_0'))).toBe('f32')
  })

  test('has no say where a storage is asked for', () => {
    for (const storage of storages)
      expect(chosenStorage(storage, { tensors: new Map([matrix(first, 'Q4_0')]) })).toBe(storage)
  })
})

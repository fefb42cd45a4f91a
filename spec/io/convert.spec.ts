/**
 * Conversion to safetensors: whatever form a checkpoint has, the result has its tensors, byte for byte; it is the same from
 * every form, loads as the same model, and is there as a whole or not at all.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Conversion } from '../../src/io/conversion.ts'
import { convertCheckpoint, splitTensors } from '../../src/io/convert.ts'
import { openModelFolder, openWeights } from '../../src/io/load.ts'
import { encodeSafetensors, streamSafetensors, type TensorToWrite } from '../../src/io/safetensors_writer.ts'
import { matchTensors } from '../../src/engine/names.ts'
import { parseConfig } from '../../src/engine/config.ts'
import { elementSize } from '../../src/tensor/dtypes.ts'
import type { TensorInfo } from '../../src/tensor/tensor_source.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { contentsOf, refusalOf, withByte, type Contents } from './hostile.ts'
import { columnMajor, rowMajor, storageTypes, type Sample } from './samples.ts'
import {
  dict,
  legacyFile,
  legacyStorage,
  P,
  pickle,
  sizes,
  storage,
  tensor,
  torchFile,
  type Piece,
} from '../../fixtures/hostile/build_torch.ts'

const golden = fileURLToPath(new URL('../../fixtures/golden', import.meta.url))
const root = temporaryFolder()
let count = 0
const fresh = (): string => join(root, `${count++}`)

/** What is judged here. */
type Convert = typeof convertCheckpoint

/** The tensors of a checkpoint by name, in the order of names. */
async function tensorsAt(path: string): Promise<Contents['tensors']> {
  const { tensors } = await contentsOf(openWeights(path))
  return tensors.toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

/** A folder as one value: every file by name. */
const filesAt = (folder: string): Map<string, Buffer> =>
  new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]))

/** The file of a folder that a reader begins with. */
const entryOf = (folder: string, { files }: Conversion): string => join(folder, files[files.length - 1].name)

// ---- Checkpoints at random ------------------------------------------------------------------------------------

const kinds = ['F64', 'F32', 'F16', 'BF16', 'I64', 'U8'] as const

/** A tensor of a torch file: a view of one of its storages. */
interface View {
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  readonly offset: number
}

interface Made {
  readonly dtype: Sample['dtype']
  readonly seed: number
  readonly views: readonly View[]
}

const view: fc.Arbitrary<View> = fc
  .record({
    shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }),
    turned: fc.boolean(),
    offset: fc.nat(3),
  })
  .map(({ shape, turned, offset }) => {
    const strides = turned ? columnMajor(shape) : rowMajor(shape)
    return { shape, strides, offset }
  })
const checkpoint: fc.Arbitrary<Made[]> = fc.array(
  fc.record({
    dtype: fc.constantFrom(...kinds),
    seed: fc.nat(255),
    views: fc.array(view, { minLength: 1, maxLength: 3 }),
  }),
  { minLength: 1, maxLength: 4 },
)

/** Elements that a storage needs for all its views, and enough that these are not refused for sharing too much. */
const lengthOf = ({ views }: Made): number =>
  3 + views.reduce((sum, { shape }) => sum + shape.reduce((all, size) => all * size, 1), 0)

/** The file of a checkpoint, as torch writes it now or did before 1.6. */
function torchBytes(made: readonly Made[], legacy: boolean): Uint8Array {
  const entries = made.flatMap((one, key) =>
    one.views.map(({ shape, strides, offset }, i): [Piece, Piece] => {
      const make = legacy ? legacyStorage : storage
      const from = make(storageTypes[one.dtype], `${key}`, P.int(lengthOf(one)))
      return [
        P.text(`layers.${key}.${'abc'[i]}`),
        tensor(from, P.int(offset), sizes(...shape), sizes(...strides)),
      ]
    }),
  )
  const data = made.map((one) =>
    Uint8Array.from({ length: lengthOf(one) * elementSize(one.dtype) }, (_, i) => (one.seed + 31 * i) % 256),
  )
  if (!legacy) return torchFile(pickle(dict(...entries)), Object.fromEntries(data.entries())).bytes
  return legacyFile({
    tensors: dict(...entries),
    storages: data.map((bytes, i) => [lengthOf(made[i]), bytes]),
  })
}

/** A converter that does something to what a right one has written into one file. */
const edited =
  (change: (tensors: Map<string, TensorToWrite>) => void): Convert =>
  async (from, to, options) => {
    const conversion = await convertCheckpoint(from, to, options)
    const name = readdirSync(to).find((file) => file.endsWith('.safetensors')) as string
    const { tensors, metadata } = await contentsOf(openWeights(join(to, name)))
    const map = new Map(
      tensors.map(({ name: tensorName, bytes, ...form }) => [
        tensorName,
        { ...form, data: bytes } as TensorToWrite,
      ]),
    )
    change(map)
    writeFileSync(join(to, name), encodeSafetensors(map, Object.fromEntries(metadata)))
    return conversion
  }

describe('checkpoints at random', () => {
  const nothingIsLost = lawForAll(
    'have the same tensors afterwards, in files of limited size, and repeat to the same files',
    { made: checkpoint, legacy: fc.boolean(), shardSize: fc.integer({ min: 1, max: 400 }) },
    async (convert: Convert, { made, legacy, shardSize }): Promise<void> => {
      const [from, once, twice] = [fresh(), fresh(), fresh()]
      mkdirSync(from)
      writeFileSync(join(from, 'x.bin'), torchBytes(made, legacy))
      const first = await convert(join(from, 'x.bin'), once, { shardSize })
      const expected = await tensorsAt(join(from, 'x.bin'))
      expect(await tensorsAt(entryOf(once, first))).toEqual(expected)
      expect(first.tensors).toBe(expected.length)
      for (const name of readdirSync(once).filter((file) => file.endsWith('.safetensors'))) {
        const { tensors } = await contentsOf(openWeights(join(once, name)))
        const size = tensors.reduce((sum, { bytes }) => sum + bytes.length, 0)
        if (tensors.length > 1) expect(size, name).toBeLessThanOrEqual(shardSize)
      }
      const second = await convert(entryOf(once, first), twice, { shardSize })
      expect(filesAt(twice)).toEqual(filesAt(once))
      expect({ ...second, repeated: [] }).toEqual({ ...first, repeated: [] })
      for (const folder of [from, once, twice]) rmSync(folder, { recursive: true })
    },
    { runs: 60 },
  )
  stateLaw(nothingIsLost, convertCheckpoint)

  killsEach('a mutant is killed: %s', nothingIsLost, {
    'a tensor is lost': edited((tensors) => void tensors.delete([...tensors.keys()][0])),
    'one byte is another': edited((tensors) => {
      for (const [name, one] of tensors) {
        const data = one.data as Uint8Array
        if (data.length > 0) return void tensors.set(name, { ...one, data: withByte(data, 0, data[0] ^ 1) })
      }
    }),
    'a type of the same size': edited((tensors) => {
      for (const [name, one] of tensors) if (one.dtype === 'F16') tensors.set(name, { ...one, dtype: 'BF16' })
    }),
    'strides are overlooked': async (from, to, options) => {
      const { tensors } = await contentsOf(openWeights(from))
      const conversion = await convertCheckpoint(from, to, options)
      const turned = new Map(tensors.map(({ name, bytes, ...form }) => [name, { ...form, bytes }]))
      return edited((written) => {
        for (const [name, one] of written) {
          const { shape, bytes } = turned.get(name) as (typeof tensors)[number]
          if (shape.length === 2)
            written.set(name, { ...one, data: transposed(bytes, shape, elementSize(one.dtype)) })
        }
      })(from, to, { ...options, force: true }).then(() => conversion)
    },
    'files of twice the size': (from, to, { shardSize = 1 } = {}) =>
      convertCheckpoint(from, to, { shardSize: 2 * shardSize }),
    'everything in one file': (from, to) => convertCheckpoint(from, to),
  })
})

/** Rows as columns. */
function transposed(bytes: Uint8Array, [rows, columns]: readonly number[], size: number): Uint8Array {
  const out = new Uint8Array(bytes.length)
  for (let i = 0; i < rows * columns; i++)
    out.set(bytes.subarray(i * size, (i + 1) * size), ((i % columns) * rows + Math.floor(i / columns)) * size)
  return out
}

describe('parts', () => {
  const tensors = fc
    .uniqueArray(fc.tuple(fc.nat(30), fc.nat(50)), { selector: ([name]) => name, minLength: 1 })
    .map((list) =>
      list.map(([name, byteLength]): TensorInfo => ({
        name: `layers.${name}.w`,
        dtype: 'U8',
        shape: [byteLength],
        byteLength,
      })),
    )

  const isSplit = lawForAll(
    'hold as many layers as fit, in order',
    { infos: tensors, size: fc.integer({ min: 1, max: 120 }) },
    (split: typeof splitTensors, { infos, size }): void => {
      const parts = split(infos, size)
      const sum = (part: TensorInfo[]): number => part.reduce((all, { byteLength }) => all + byteLength, 0)
      const numbers = parts.flat().map(({ name }) => Number(name.split('.')[1]))
      expect(numbers).toEqual(infos.map(({ name }) => Number(name.split('.')[1])).toSorted((a, b) => a - b))
      for (const part of parts) expect(part.length === 1 || sum(part) <= size).toBe(true)
      for (const [i, part] of parts.slice(1).entries())
        expect(sum(parts[i]) + part[0].byteLength).toBeGreaterThan(size)
    },
  )
  stateLaw(isSplit, splitTensors)

  killsEach('a mutant is killed: %s', isSplit, {
    'in the order of text': (infos) => [infos.toSorted((a, b) => (a.name < b.name ? -1 : 1))],
    'one tensor each': (infos, size) => splitTensors(infos, size).flatMap((part) => part.map((one) => [one])),
    'one too many': (infos, size) => splitTensors(infos, size + 20),
  })
})

test('a stream of another length than its tensor is refused, and no file remains', async () => {
  const folder = fresh()
  mkdirSync(folder)
  const forms = new Map([['x', { dtype: 'U8', shape: [3] } as const]])
  for (const length of [0, 2, 4, 8]) {
    const action = (): Promise<number> =>
      streamSafetensors(join(folder, 'x'), forms, async function* () {
        yield new Uint8Array(length)
      })
    expect((await refusalOf(action)).code).toBe('TENSOR_SPAN')
  }
  expect(readdirSync(folder)).toEqual([])
})

// ---- Real models ----------------------------------------------------------------------------------------------

/** A model's folder with the weights of one golden file under the name that is looked for. */
function folderOf(variant: string, files: Readonly<Record<string, string>>, config: object = {}): string {
  const folder = fresh()
  mkdirSync(folder)
  const json = JSON.parse(readFileSync(join(golden, variant, 'config.json'), 'utf8')) as object
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...json, ...config }))
  for (const [as, name] of Object.entries(files))
    writeFileSync(join(folder, as), readFileSync(join(golden, variant, name)))
  return folder
}

const inParts = {
  'model.safetensors.index.json': 'model.safetensors.index.json',
  'model-00001-of-00002.safetensors': 'model-00001-of-00002.safetensors',
  'model-00002-of-00002.safetensors': 'model-00002-of-00002.safetensors',
}

describe('golden models', () => {
  test.each<[string, string, Record<string, string>]>([
    ['preln', 'safetensors', { 'model.safetensors': 'model.safetensors' }],
    ['preln', 'parts', inParts],
    ['preln', 'f16', { 'model.safetensors': 'model.fp16.safetensors' }],
    ['preln', 'bf16', { 'model.safetensors': 'model.bf16.safetensors' }],
    ['preln', 'torch', { 'pytorch_model.bin': 'pytorch_model.bin' }],
    ['preln', 'torch f16', { 'pytorch_model.bin': 'pytorch_model.fp16.bin' }],
    ['preln', 'torch before 1.6', { 'pytorch_model.bin': 'pytorch_model.legacy.bin' }],
    ['postln_proj', 'safetensors', { 'model.safetensors': 'model.safetensors' }],
    ['postln_proj', 'parts', inParts],
    ['postln_proj', 'f16', { 'model.safetensors': 'model.fp16.safetensors' }],
    ['postln_proj', 'torch', { 'pytorch_model.bin': 'pytorch_model.bin' }],
  ])('%s from %s', async (variant, _, files) => {
    const from = folderOf(variant, files)
    const to = fresh()
    const conversion = await convertCheckpoint(from, to, { shardSize: 20_000 })
    expect(conversion.files.length).toBeGreaterThan(3)
    expect(conversion.files.map(({ name }) => name).toSorted()).toEqual(readdirSync(to))
    for (const { name, bytes } of conversion.files) expect(readFileSync(join(to, name)).length).toBe(bytes)
    expect(readFileSync(join(to, 'config.json'))).toEqual(readFileSync(join(from, 'config.json')))
    const [before, after] = [await openModelFolder(from), await openModelFolder(to)]
    const expected = (await contentsOf(before.source)).tensors.filter(
      ({ name }) => !conversion.leftOut.includes(name),
    )
    const { tensors } = await contentsOf(after.source)
    const byName = (list: Contents['tensors']): Contents['tensors'] =>
      list.toSorted((a, b) => (a.name < b.name ? -1 : 1))
    expect(byName(tensors)).toEqual(byName(expected))
    // Nothing that the model needs is missing.
    matchTensors(parseConfig(after.configJson), after.source.tensors)
  })

  test('a tied head that shares its values is left out, unless the model needs it', async () => {
    const leftOut = async (from: string): Promise<readonly string[]> =>
      (await convertCheckpoint(from, fresh())).leftOut
    const torch = { 'pytorch_model.bin': 'pytorch_model.bin' }
    expect(await leftOut(folderOf('preln', torch))).toEqual(['lm_head.weight'])
    expect(await leftOut(folderOf('preln', torch, { tie_word_embeddings: false }))).toEqual([])
    const alone = folderOf('preln', torch)
    rmSync(join(alone, 'config.json'))
    const { leftOut: none, repeated } = await convertCheckpoint(join(alone, 'pytorch_model.bin'), fresh())
    expect([none, repeated]).toEqual([[], ['lm_head.weight']])
  })

  test('the metadata of the file is kept, and its framework is named', async () => {
    const [from, to] = [join(fresh()), `${fresh()}.safetensors`]
    mkdirSync(from)
    const x = { dtype: 'U8', shape: [1], data: Uint8Array.of(7) } as const
    for (const [metadata, expected] of [
      [
        { b: '2', a: '1' },
        [
          ['format', 'pt'],
          ['b', '2'],
          ['a', '1'],
        ],
      ],
      [{ format: 'np' }, [['format', 'np']]],
    ] as const) {
      writeFileSync(join(from, 'x.safetensors'), encodeSafetensors(new Map([['__proto__', x]]), metadata))
      await convertCheckpoint(join(from, 'x.safetensors'), to, { force: true })
      const contents = await contentsOf(openWeights(to))
      expect(contents.metadata).toEqual(expected)
      expect(contents.tensors.map(({ name }) => name)).toEqual(['__proto__'])
    }
  })
})

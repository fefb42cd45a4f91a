/**
 * What a bench is made of: tests by name, random weights, sizes, predictors, and what a token reads.
 *
 * Tests src/bench/methods.ts, src/bench/predictors.ts, src/bench/random_weights.ts, src/bench/subject.ts and
 * src/bench/tests.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { benchMethods } from '../../src/bench/methods.ts'
import { predictorBytes, randomPredictor } from '../../src/bench/predictors.ts'
import { RandomSource } from '../../src/bench/random_weights.ts'
import { tokenReads, type Asked } from '../../src/bench/rows.ts'
import { benchShapes, checkpointSubject, shapeSubject } from '../../src/bench/subject.ts'
import { checkFits, parseTest } from '../../src/bench/tests.ts'
import { architectureByName, architectureOf } from '../../src/cost/architectures.ts'
import { makeMask, type UnitMask } from '../../src/masks/mask.ts'
import { makeConfig } from '../../src/engine/config.ts'
import { predictorKinds } from '../../src/predictor/predictor_config.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

describe('the name of a test', () => {
  test.each([
    ['pp128', { kind: 'prompt', tokens: 128, context: 0, keepsPrompt: false }],
    ['tg128', { kind: 'decode', tokens: 128, context: 32, keepsPrompt: false }],
    ['tg32@2000', { kind: 'decode', tokens: 32, context: 2000, keepsPrompt: true }],
  ])('%s determines the timed work', (name, expected) =>
    expect(parseTest(name)).toEqual({ name, ...expected }),
  )

  test.each(['', 'tg', 'tg0', 'pp1.5', 'tg-1', 'pp64@32', 'tg8@', 'tg8@0', 'xtg8', 'tg8 '])(
    '%j is refused',
    (name) => expect(() => parseTest(name)).toThrow('expected such as pp128, tg128 or tg32@2000'),
  )

  test('a test must fit the model', () => {
    expect(() => checkFits(parseTest('tg48@2000'), 2048)).not.toThrow()
    expect(() => checkFits(parseTest('tg49@2000'), 2048)).toThrow('at most 2048 positions')
    expect(() => checkFits(parseTest('tg49@2000'), 2048)).toThrow('got 2000 + 49')
  })
})

describe('random weights', () => {
  const shapes = new Map<string, readonly number[]>([
    ['a.weight', [300, 48]],
    ['b.weight', [400, 200]],
    ['c.bias', [48]],
    ['a_norm.weight', [48]],
    ['a_norm.bias', [48]],
  ])
  type Source = Pick<RandomSource, 'read' | 'readRows'>

  const anyRows = { name: fc.constantFrom(...shapes.keys()), seed: fc.nat(), at: fc.nat(), most: fc.nat(500) }

  const rowsArePartsOf = lawForAll(
    'rows by range are those of the whole tensor',
    { ...anyRows },
    async (make: (seed: number) => Source, { name, seed, at, most }): Promise<boolean> => {
      const source = make(seed)
      const [rows, columns = 1] = shapes.get(name) ?? []
      const first = at % rows
      const count = Math.min(most, rows - first)
      const whole = await source.read(name)
      const part = await source.readRows(name, first, count)
      return (
        whole.length === rows * columns &&
        part.join() === whole.subarray(first * columns, (first + count) * columns).join()
      )
    },
  )
  stateLaw(rowsArePartsOf, (seed) => new RandomSource(shapes, seed))

  test('parts of a stream are the whole tensor, and none is longer than asked, but for one row', async () => {
    const source = new RandomSource(shapes, 5)
    const whole = Buffer.from((await source.read('a.weight')).buffer)
    for (const [length, longest] of [
      [1, 192],
      [383, 192],
      [384, 384],
      [1000, 960],
      [10 ** 6, 57_600],
    ]) {
      const parts: Uint8Array[] = []
      for await (const { bytes } of source.stream('a.weight', length)) parts.push(bytes)
      expect(Buffer.concat(parts)).toEqual(whole)
      expect(Math.max(...parts.map((part) => part.length))).toBe(longest)
    }
  })

  test('a source that begins every range where the tensor begins is caught', () =>
    kills(rowsArePartsOf, (seed: number): Source => {
      const source = new RandomSource(shapes, seed)
      return {
        read: (name) => source.read(name),
        readRows: (name, _, count) => source.readRows(name, 0, count),
      }
    }))

  test('matrices are normal with deviation 0.02, no two rows alike; biases 0, norms 1 and 0', async () => {
    const source = new RandomSource(shapes, 5)
    const rows = new Set<string>()
    for (const name of ['a.weight', 'b.weight']) {
      const values = await source.read(name)
      const [count, columns] = shapes.get(name) ?? []
      for (let row = 0; row < count; row++)
        rows.add(values.subarray(row * columns, row * columns + 48).join())
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length
      const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
      expect(Math.abs(mean)).toBeLessThan(1e-3)
      expect(Math.sqrt(variance)).toBeCloseTo(0.02, 3)
    }
    expect(rows.size).toBe(700)
    expect(new Set(await source.read('c.bias'))).toEqual(new Set([0]))
    expect(new Set(await source.read('a_norm.weight'))).toEqual(new Set([1]))
    expect(new Set(await source.read('a_norm.bias'))).toEqual(new Set([0]))
  })

  test('a seed repeats them, another one gives others, and a tensor that is not there is refused', async () => {
    const read = async (seed: number): Promise<string> =>
      (await new RandomSource(shapes, seed).read('a.weight')).join()
    expect(await read(1)).toBe(await read(1))
    expect(await read(2)).not.toBe(await read(1))
    await expect(new RandomSource(shapes, 1).read('d')).rejects.toThrow('d: expected this tensor, got none')
  })
})

describe('subjects', () => {
  test.each(benchShapes)('%s has the sizes of its model', (shape) => {
    const known = architectureByName(shape)
    const { config, architecture, ...rest } = shapeSubject(shape, { seed: 0 })
    expect(architectureOf(shape, config)).toEqual(known)
    expect(architecture).toEqual({ ...known, name: `${shape} (random weights)` })
    expect(rest).toMatchObject({ model: `${shape} (random weights)`, shape, weights: 'random' })
  })

  test('opt-350m has its norms after the sums and a narrower table, the others do not', () => {
    for (const shape of benchShapes) {
      const { preNorm, finalNorm, width, embeddingWidth } = shapeSubject(shape, { seed: 0 }).config
      const expected = shape === 'opt-350m' ? [false, false, 512] : [true, true, 0]
      expect([preNorm, finalNorm, width - embeddingWidth], shape).toEqual(expected)
    }
  })

  test('a part of a shape is marked in its name and its hash', async () => {
    const whole = shapeSubject('opt-125m', { seed: 0 })
    const part = shapeSubject('opt-125m', { seed: 0, layers: 2 })
    expect(part).toMatchObject({
      model: 'opt-125m, 2 of 12 layers (random weights)',
      shape: 'opt-125m',
      config: { layers: 2 },
      architecture: { layers: 2 },
    })
    const hashes = await Promise.all(
      [whole, part, shapeSubject('opt-125m', { seed: 1 })].map((s) => s.hash()),
    )
    expect(new Set(hashes).size).toBe(3)
  })

  test('a checkpoint has the sizes its configuration says', async () => {
    const subject = await checkpointSubject('tiny', 'fixtures/golden/preln')
    expect(subject).toMatchObject({ model: 'tiny', shape: '2x32', weights: 'checkpoint' })
    const source = await subject.open()
    expect(source.tensors.size).toBeGreaterThan(30)
    await source.close()
  })

  test('an invalid shape is refused', () => {
    expect(() => shapeSubject('opt-13b', { seed: 0 })).toThrow('expected one of opt-125m, ')
    expect(() => shapeSubject('opt-125m', { seed: 0, layers: 13 })).toThrow('expected 1 to 12 of opt-125m')
  })
})

test('methods are dense, then every planner at every sparsity, then the mask', () => {
  const settings = { planners: ['dejavu', 'dense', 'random'], sparsities: [0.5, 0.9], hasMask: true } as const
  expect(benchMethods(settings).map(({ planner, sparsity }) => [planner, sparsity])).toEqual([
    ['dense', 0],
    ['random', 0.5],
    ['dejavu', 0.5],
    ['random', 0.9],
    ['dejavu', 0.9],
    ['mask', null],
  ])
})

test.each([
  ['f32', 4, 0],
  ['f16', 2, 0],
  ['int8', 1, 4],
] as const)(
  'random predictors in %s have the sizes they are published with',
  async (storage, size, scale) => {
    const config = makeConfig({ layers: 3, width: 8, heads: 2, neurons: 5, vocabulary: 9, positions: 8 })
    const backend = await createBackend('reference')
    const bytes = predictorKinds.map((kind) => {
      const predictor = randomPredictor(kind, config, backend, storage, 0)
      const size = predictorBytes(predictor, storage)
      predictor.dispose()
      return size
    })
    const bare = (rows: number, columns: number): number => rows * (columns * size + scale)
    const biased = (rows: number, columns: number): number => bare(rows, columns) + 4 * rows
    expect(bytes).toEqual([
      biased(2048, 8) + biased(2 * 2, 2048) + biased(1024, 8) + biased(2 * 5, 1024),
      2 * (biased(512, 8) + biased(2, 512) + biased(1000, 8) + biased(5, 1000)),
      2 * (bare(512, 8) + bare(2, 512) + bare(1000, 8) + bare(5, 1000)),
    ])
    expect(backend.liveBuffers).toBe(0)
    backend.dispose()
  },
)

describe('the bytes a token reads', () => {
  const model = architectureByName('opt-125m')
  const never: Asked = { bytes: 0, every: 'once', tokens: 128 }

  /** Layer 0 whole, half of the others. */
  function halfMask(): UnitMask {
    const { layers, heads, neurons } = model
    const table = (units: number): Float32Array =>
      Float32Array.from({ length: layers * units }, (_, i) => (i < units || i % 2 === 0 ? 1 : 0))
    return makeMask({ layers, heads, neurons }, table(heads), table(neurons))
  }

  // Norms, a token's row, its position's: small, and read by every token.
  const fixed = 4 * (25 * 2 * 768 + 768 + 768)
  const denseBytes = 4 * (12 * (4 * 768 * 768 + 2 * 3072 * 768) + 50272 * 768 + 12 * (5 * 768 + 3072)) + fixed
  const halfBytes =
    4 * (6.5 * (4 * 768 * 768 + 2 * 3072 * 768) + 50272 * 768 + 6.5 * (3 * 768 + 3072) + 12 * 2 * 768) + fixed

  const isCountedByHand = (reads: typeof tokenReads): void => {
    const mask = halfMask()
    expect(reads(model, 'f32', null, never)).toBe(denseBytes)
    expect(reads(model, 'f32', mask, never)).toBe(halfBytes)
    const asking = (every: Asked['every']): number =>
      reads(model, 'f32', mask, { bytes: 64e6, every, tokens: 128 })
    expect([asking('once'), asking(1), asking(200)]).toEqual([5e5, 64e6, 5e5].map((read) => halfBytes + read))
    expect(reads(model, 'int8', null, never)).toBeGreaterThan(denseBytes / 4)
    expect(reads(model, 'int8', null, never)).toBeLessThan(denseBytes / 3.9)
  }

  test('equals a count by hand', () => isCountedByHand(tokenReads))

  test.each<[string, typeof tokenReads]>([
    ['forgets the predictor', (m, s, mask) => tokenReads(m, s, mask, never)],
    ['asks once for every token', (m, s, mask, asked) => tokenReads(m, s, mask, { ...asked, every: 1 })],
    ['skips nothing', (m, s, _, asked) => tokenReads(m, s, null, asked)],
    ['skips in layer 0 too', (m, s, mask, asked) => tokenReads(m, s, mask && skipFirst(mask), asked)],
    ['takes int8 for f32', (m, _, mask, asked) => tokenReads(m, 'int8', mask, asked)],
  ])('a count that %s is not', (_, mutant) => expect(() => isCountedByHand(mutant)).toThrow(/expected/))

  function skipFirst({ shape, heads, neurons }: UnitMask): UnitMask {
    return makeMask(shape, heads.slice().fill(0, 0, 1), neurons)
  }
})

test.each<[string, string, unknown, unknown]>([
  ['SHAPE', 'got opt-125 (did you mean opt-125m?)', 'opt-125', { seed: 0 }],
  ['SHAPE', 'shape: expected one of opt-125m', null, { seed: 0 }],
  ['OPTIONS', 'options: expected an object, got undefined', 'opt-125m', undefined],
  ['SEED', 'seed: expected a whole number from 0 to 4294967295, got -1', 'opt-125m', { seed: -1 }],
  ['OPTION_NAME', 'unknown option layer (did you mean layers?)', 'opt-125m', { seed: 0, layer: 1 }],
  ['LAYERS', 'layers: expected a whole number from 1, got 0', 'opt-125m', { seed: 0, layers: 0 }],
])('a shape is refused by %s: %s', (code, message, shape, options) => {
  expect(() => shapeSubject(shape as never, options as never)).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining(message) as string, exitCode: 2 }),
  )
})

test('a checkpoint whose folder or name is no text is refused', async () => {
  await expect(checkpointSubject('opt', null as never)).rejects.toMatchObject({ code: 'PATH', exitCode: 2 })
  await expect(checkpointSubject(5 as never, 'opt')).rejects.toThrow('model: expected text, got 5')
})

/**
 * Every op that can be shared by threads: its parts, computed in any order and each by an instance of its own, are the
 * whole call, bit for bit; and no two parts write the same number.
 */
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { kernelFiles } from '../../../src/backends/kernel_files.ts'
import { instantiate } from '../../../src/backends/wasm/instance.ts'
import { partStart, splitOf, splitOps, type Split } from '../../../src/backends/wasm/split.ts'
import { kernels as definitions, type KernelName } from '../../../src/ops/catalog.ts'
import type { Plant } from '../../../scripts/sources.ts'
import { inTier } from '../../harness/backends.ts'
import { kills, law, lawForAll, stateLaw } from '../../harness/seed.ts'
import { PartByPart, partsAreTheWhole, partsWriteApart, usualCut, type Cut } from './split_laws.ts'
import { compileKernels, readCommitted } from './compile.ts'

const committed = new WebAssembly.Module(await readCommitted())
const backend = new PartByPart(committed, usualCut)
const builds = await Promise.all(
  inTier(['wasm', 'wasm-relaxed', 'wasm-rust'] as const).map(
    async (name) => new PartByPart(await WebAssembly.compile(await kernelFiles[name]()), usualCut, name),
  ),
)

afterEach(() => {
  for (const one of [backend, ...builds]) expect(one.liveBuffers, `left behind in ${one.name}`).toBe(0)
})

const parts = fc.integer({ min: 1, max: 9 })

/** The laws of an op that is computed part by part. */
const partLaws = (name: KernelName) => ({
  whole: lawForAll(
    `${name}: parts in any order are the whole`,
    { seed: fc.nat(), parts },
    (by: PartByPart, { seed, parts }) => partsAreTheWhole(by, name, seed, parts),
  ),
  apart: lawForAll(
    `${name}: no number is written by two parts`,
    { seed: fc.nat(), parts },
    (by: PartByPart, { seed, parts }) => partsWriteApart(by, name, seed, parts),
    { runs: 30 },
  ),
})
const lawsOf = new Map(splitOps.map((name) => [name, partLaws(name)]))

describe.each(splitOps)('%s', (name) => {
  const { whole, apart } = lawsOf.get(name) as ReturnType<typeof partLaws>
  for (const by of builds)
    stateLaw({ ...whole, sentence: `${name}: parts of ${by.name} in any order are the whole` }, by)
  for (const by of builds.filter((one) => one.name !== 'wasm-relaxed'))
    stateLaw({ ...apart, sentence: `${name}: no number is written by two parts of ${by.name}` }, by)

  test('the kernel of a part takes the arguments of the op and the part', () => {
    const memory = new WebAssembly.Memory({ initial: 80, maximum: 65536 })
    const { kernels } = instantiate(committed, memory, 0)
    expect(kernels[(splitOf(name) as Split).kernel].length).toBe(definitions[name].params.length + 2)
  })
})

const sizes = fc.integer({ min: 1, max: 500 })

/** Parts begin where others end, at multiples of the grain, and differ by a grain at most. */
function coversAll({ parts, units, grain }: { parts: number; units: number; grain: number }): void {
  const most = Math.min(parts, Math.ceil(units / grain))
  const starts = Array.from({ length: most + 1 }, (_, i) => partStart(i, most, units, grain))
  expect([starts[0], starts[most]]).toEqual([0, units])
  const grains = starts.slice(1).map((end, i) => Math.ceil((end - starts[i]) / grain))
  expect(Math.min(...grains)).toBeGreaterThan(0)
  expect(Math.max(...grains) - Math.min(...grains)).toBeLessThanOrEqual(1)
  for (const start of starts.slice(0, -1)) expect(start % grain).toBe(0)
}

law(
  'parts cover all units and are even',
  { parts: sizes, units: sizes, grain: fc.constantFrom(1, 4, 16) },
  coversAll,
)

law(
  'a call is cut into parts that are not empty',
  { T: fc.nat({ max: 99 }), O: sizes, I: sizes },
  ({ T, O, I }) => {
    const split = splitOf('linear') as Split
    const call = [1, 1, 1, null, null, T, O, I, 0]
    expect(split.work(call)).toBe(T * O * I)
    expect(split.allParts(call)).toBe(T === 0 ? 0 : Math.ceil(O / 16))
    expect(split.worthwhileParts(call)).toBeLessThanOrEqual(split.allParts(call))
  },
)

test('a list counts its chosen units, no list counts all units', () => {
  const split = splitOf('linear_input_major') as Split
  expect(split.work([1, 1, 1, null, 7, 2, 10, 100, 3])).toBe(2 * 10 * 3)
  expect(split.work([1, 1, 1, null, null, 2, 10, 100, 3])).toBe(2 * 10 * 100)
  expect((splitOf('attention') as Split).units([1, 1, 1, 1, 7, null, 0.5, 0, 1, 9, 9, 9, 12, 4, 64, 5])).toBe(
    5,
  )
})

describe('mutants are killed:', () => {
  type LawName = keyof ReturnType<typeof partLaws>
  const isFound = (mutant: PartByPart, name: KernelName, by: LawName): Promise<void> =>
    kills((lawsOf.get(name) as ReturnType<typeof partLaws>)[by], mutant)

  const cuts: [string, LawName, Cut][] = [
    [
      'parts that overlap',
      'apart',
      (part, parts, ...rest) => [
        partStart(part, parts, ...rest),
        partStart(Math.min(part + 2, parts), parts, ...rest),
      ],
    ],
    [
      'a last part that is never reached',
      'whole',
      (part, parts, ...rest) => usualCut(part, parts + 1, ...rest),
    ],
  ]
  describe.each(splitOps)('%s', (name) => {
    test.each(cuts)('%s', (_, by, cut) => isFound(new PartByPart(committed, cut), name, by))
  })

  const plants: Readonly<Record<string, Plant & { readonly op: KernelName }>> = {
    'the bias of all columns added by every part': {
      op: 'linear_input_major',
      file: 'linear_input_major.ts',
      from: 'addArrays(row, row, bias + bytes(from), width)',
      to: 'addArrays(row, row, bias + bytes(from), O - from)',
    },
    'a column too few': {
      op: 'linear_input_major',
      file: 'linear_input_major.ts',
      from: 'const width = to - from',
      to: 'const width = to - from - i32(to < O)',
    },
    'every part clears all rows': {
      op: 'linear',
      file: 'linear.ts',
      from: 'clearOwned(y, rows, T, O, 1, R, from, to)',
      to: 'clearOwned(y, rows, T, O, 1, R, 0, R)',
    },
    'a part that clears up to its last head only': {
      op: 'attention',
      file: 'units.ts',
      from: 'to == count ? U : unitAt(list, to)',
      to: 'unitAt(list, to - 1) + 1',
    },
    'every part takes the scales of the first rows': {
      op: 'linear_i8',
      file: 'linear_i8.ts',
      from: 'scales += bytes(from)',
      to: 'scales += bytes(from - from)',
    },
    'every part takes the first fours of rows': {
      op: 'linear_i4',
      file: 'linear_i4.ts',
      from: 'weight += <usize>(from >> 2)',
      to: 'weight += <usize>((from - from) >> 2)',
    },
    'tiles of every part from the first on': {
      op: 'linear_input_major_i4',
      file: 'linear_input_major_i4.ts',
      from: 'for (let tile = from; tile < from + apart; tile += TILE)',
      to: 'for (let tile = 0; tile < apart; tile += TILE)',
    },
    'columns that lie as close as those of a part': {
      op: 'linear_input_major_i8',
      file: 'linear_input_major_i8.ts',
      from: 'addFour(rowAt(y, t, stride)',
      to: 'addFour(rowAt(y, t, width)',
    },
    'halves as far apart as numbers': {
      op: 'linear_input_major_bf16',
      file: 'linear_input_major.ts',
      from: 'weight = storedRow<W>(weight, from, 1)',
      to: 'weight += bytes(from)',
    },
    'heads of the list from its beginning on': {
      op: 'attention_i8',
      file: 'attention_i8.ts',
      from: 'unitAt(heads, r)',
      to: 'unitAt(heads, heads ? r - from : r)',
    },
    'every part adds from the first row of the gradient on': {
      op: 'linear_backward_weight',
      file: 'linear_backward.ts',
      from: 'y_grad += bytes(from)',
      to: 'y_grad += bytes(from - from)',
    },
  }
  test.each(Object.entries(plants))('%s', async (_, { op, ...plant }) => {
    const binary = await compileKernels(plant, ['--optimizeLevel', '0'])
    await isFound(new PartByPart(new WebAssembly.Module(binary), usualCut), op, 'whole')
  })
})

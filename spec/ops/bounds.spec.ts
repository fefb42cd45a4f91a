/**
 * How much of each bound of the catalogue an adversarial backend reaches: all of what it owes, and not far less.
 *
 * Tests src/ops/relaxed.ts, src/ops/attention_relaxed.ts, src/ops/layer_norm_fast.ts and each bound beside a definition.
 *
 * Nobody would notice a bound that is far too wide from a backend that rounds well. So the definitions run again as backends
 * that are as bad as they may be: one leaves each product unrounded that is added to something, others add in other orders.
 * The data let these choices matter: few terms, many equal ones, and one large term among many that it absorbs. `reached`
 * states the share of each bound that they reach at least; no share is above 1. A new bound must be stated there.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { describe, expect, test, vi } from 'vitest'
import * as float32 from '../../src/ops/float32.ts'
import { kernelNames, kernels, type KernelName } from '../../src/ops/catalog.ts'
import type { Kernel, Numbers, Relaxed, Sizes } from '../../src/ops/op.ts'
import { allowancesOf, compareOutputs, evaluate, shareOfAllowed } from '../../src/testing/op_agreement.ts'
import { sizesOf, type Values } from '../../src/testing/op_call.ts'
import { ROUNDING, TINY } from '../../src/ops/relaxed.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { killsEach, lawAlways, stateLaw } from '../harness/seed.ts'
import { arraysOf, fitSizes, lettersOf, limitsOf, makeValues, variantsOf } from '../../src/testing/op_case.ts'

type Bounded = 'relaxed' | 'fast'
type Outputs = Readonly<Record<string, Numbers>>
type Kernels = Readonly<Record<KernelName, Kernel>>

// ---- Adversaries ------------------------------------------------------------------------------------------

const sources = fileURLToPath(new URL('../../src/', import.meta.url))

/** A product that is rounded before it is added or subtracted. */
const addedProduct = /([+-]=? )fround\(((?:[^()]|\([^()]*\))*?\*(?:[^()]|\([^()]*\))*?)\)/g

/** The definitions with products unrounded where they are added, but not in `exp` and `log`, whose bits are owed. */
async function withFusedProducts(): Promise<Kernels> {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-fused-'))
  try {
    for (const name of ['ops', 'tensor']) cpSync(join(sources, name), join(folder, name), { recursive: true })
    writeFileSync(join(folder, 'package.json'), '{"type": "module"}')
    let changed = 0
    const names = readdirSync(join(folder, 'ops'), { recursive: true, encoding: 'utf8' })
    for (const name of names.filter((one) => one.endsWith('.ts'))) {
      const path = join(folder, 'ops', name)
      const [sums, functions = ''] = readFileSync(path, 'utf8').split(/(?=\/\*\*\n \* e\^x in float32)/)
      const fused = sums.replace(addedProduct, (_, sign: string, product: string) => {
        changed++
        return `${sign}(${product})`
      })
      writeFileSync(path, fused + functions)
    }
    if (changed < 10) throw new Error(`added products: expected at least 10, got ${changed}`)
    const module = (await import(pathToFileURL(join(folder, 'ops/catalog.ts')).href)) as {
      kernels: Kernels
    }
    return module.kernels
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** The definitions with other sums than the striped ones. @param order of the places of a sum, a way to add */
async function withSums(
  order: (length: number) => Iterable<number>,
  add: (total: number, term: number) => number,
): Promise<Kernels> {
  const { fround } = Math
  const total = (length: number, term: (i: number) => number): number => {
    let sum = 0
    for (const i of order(length)) sum = add(sum, fround(term(i)))
    return fround(sum)
  }
  const sums: Pick<typeof float32, 'dot' | 'sum' | 'sumSquaredDeviations'> = {
    dot: (a, aStart, b, bStart, length) => total(length, (i) => a[aStart + i] * b[bStart + i]),
    sum: (a, start, length) => total(length, (i) => a[start + i]),
    sumSquaredDeviations: (a, start, length, center) =>
      total(length, (i) => fround(a[start + i] - center) ** 2),
  }
  vi.resetModules()
  vi.doMock('../../src/ops/float32.ts', () => ({ ...float32, ...sums }))
  try {
    return (await import('../../src/ops/catalog.ts')).kernels
  } finally {
    vi.doUnmock('../../src/ops/float32.ts')
    vi.resetModules()
  }
}

const ascending = (length: number): Iterable<number> => Array(length).keys()
const descending = (length: number): Iterable<number> => [...Array(length).keys()].toReversed()
const rounded = (total: number, term: number): number => Math.fround(total + term)

const fused = await withFusedProducts()
const adversaries: Readonly<Record<Bounded, readonly Kernels[]>> = {
  relaxed: [fused],
  fast: [
    fused,
    await withSums(ascending, rounded),
    await withSums(descending, rounded),
    await withSums(ascending, (total, term) => total + term),
  ],
}

// ---- Data -------------------------------------------------------------------------------------------------

/** Of each array the first number is 1 or 0, and the others are such that it absorbs them. */
const absorbed: Readonly<Record<string, readonly [first: number, others: number]>> = {
  'a product': [1, 2 ** -12],
  'an exponential': [0, -16.7],
}

function absorbing(name: KernelName, values: Values, [first, others]: readonly [number, number]): Values {
  const changed: Record<string, Numbers> = {}
  for (const { name: array, dtype, role } of arraysOf(kernels[name])) {
    const numbers = values[array]
    if (dtype === 'f32' && role !== 'out' && numbers instanceof Float32Array)
      changed[array] = new Float32Array(numbers.length).fill(others).fill(first, 0, 1)
  }
  return { ...values, ...changed }
}

/** Sizes of which one letter is this large, and the others as small as they can be; nothing is limited. */
function onlyLarge(row: Kernel, letter: string, size: number): Sizes {
  const limits = limitsOf(row)
  const isLarge = (one: string): boolean => one === letter || limits.includes(one)
  return Object.fromEntries(lettersOf(row).map((one) => [one, isLarge(one) ? size : 1]))
}

/** The letters that a bound grows with. */
function lettersOfBound(name: KernelName, { bound }: Relaxed<readonly never[]>): string[] {
  const row = kernels[name]
  const sizesWith = (letter: string, size: number): Sizes => fitSizes(row, onlyLarge(row, letter, size))
  const isIn = (letter: string): boolean => bound(sizesWith(letter, 65)) > bound(sizesWith(letter, 1))
  return lettersOf(row).filter(isIn)
}

/** Cases of a kernel: each letter of its bound at this size, the others as small as they can be. */
function* casesOf(
  name: KernelName,
  bound: Relaxed<readonly never[]>,
  size: number,
  isPlain: boolean,
): Generator<Values> {
  const row = kernels[name]
  const data = new Data(1)
  const { absent } = variantsOf(row).find((variant) => variant.absent.size === 0) ?? variantsOf(row)[0]
  const optional = new Set(arraysOf(row).flatMap(({ optional, name }) => (optional ? [name] : [])))
  for (const letter of lettersOfBound(name, bound)) {
    const sizes = fitSizes(row, onlyLarge(row, letter, size))
    for (const kind of isPlain ? [] : Object.values(absorbed))
      yield absorbing(name, makeValues(name, sizes, data, 'plain', optional), kind)
    for (let round = 0; round < (size > 100 ? 1 : size > 10 ? 4 : 12); round++)
      for (const kind of isPlain ? (['plain'] as const) : (['plain', 'steep', 'smooth', 'equal'] as const))
        yield makeValues(name, sizes, data, kind, round % 2 === 0 ? optional : absent)
  }
}

// ---- The law ----------------------------------------------------------------------------------------------

/** Sizes of few terms, where the constants of a bound count, and of many, where what they are multiplied with does. */
const lengths = { few: [2, 3, 6], many: [40, 200] } as const

/** What the adversaries reach of each bound at least: with few terms, with many, and with few plain ones. */
const reached: Readonly<
  Record<Bounded, Partial<Record<KernelName, readonly [few: number, many: number, plain: number]>>>
> = {
  relaxed: {
    linear: [0.11, 0.0063, 0.14],
    linear_bf16: [0.13, 0.018, 0.11],
    linear_f16: [0.15, 0.016, 0.053],
    linear_input_major: [0.17, 0.011, 0.16],
    linear_input_major_bf16: [0.15, 0.013, 0.15],
    linear_input_major_f16: [0.17, 0.05, 0.16],
    linear_backward_weight: [0.22, 0.049, 0.19],
    layer_norm_backward: [0.076, 0.022, 0.052],
    rms_norm_backward: [0.21, 0.035, 0.2],
    attention: [0.02, 0.07, 0.01],
    attention_i8: [0, 0.19, 0],
    attention_backward: [0.005, 0.003, 0.004],
    softmax_backward: [0.14, 0.023, 0.13],
    sum_squares: [0.14, 0.071, 0.1],
  },
  fast: {
    linear: [0.18, 0.33, 0.14],
    linear_bf16: [0.16, 0.049, 0.11],
    linear_f16: [0.15, 0.049, 0.057],
    linear_input_major: [0.17, 0.011, 0.16],
    linear_input_major_bf16: [0.15, 0.013, 0.15],
    linear_input_major_f16: [0.17, 0.05, 0.16],
    layer_norm: [0.044, 0.051, 0.03],
    rms_norm: [0.12, 0.13, 0.079],
    attention: [0.025, 0.05, 0.015],
    attention_i8: [0.1, 0.065, 0.08],
    softmax: [0.24, 0.31, 0.23],
  },
}

/** How far a case was off, as a share of the bound of the catalogue. */
interface Reached {
  readonly sizes: Sizes
  readonly share: number
}

/** The outputs that may differ at all: of others the bits are owed, which no adversary changes. */
function mayDiffer(name: KernelName, values: Values, owed: Bounded, outputs: Outputs): Outputs {
  const allowed = allowancesOf(name, values, outputs, owed)
  const unit = (kernels[name][owed] as Relaxed<readonly never[]>).bound(sizesOf(kernels[name], values))
  const isOwed = (output: string): boolean =>
    Array.from(allowed[output]).every((allowance) => allowance <= unit * ROUNDING * 1.001 * TINY)
  return Object.fromEntries(Object.entries(outputs).filter(([output]) => !isOwed(output)))
}

/** The worst case of each letter and length. */
function worstOf(name: KernelName, owed: Bounded, sizes: readonly number[], isPlain = false): Reached[] {
  const bound = kernels[name][owed] as Relaxed<readonly never[]>
  const found = new Map<string, Reached>()
  for (const size of sizes)
    for (const values of casesOf(name, bound, size, isPlain)) {
      const expected = mayDiffer(name, values, owed, evaluate(name, values))
      for (const adversary of adversaries[owed]) {
        const actual = evaluate(name, values, adversary[name].reference)
        const { worst } = compareOutputs(name, values, expected, actual, owed)
        const share =
          worst === null ? 0 : worst.passed ? shareOfAllowed(worst) : worst.error / (worst.tolerance ?? 0)
        const sizesThere = sizesOf(kernels[name], values)
        const key = JSON.stringify(sizesThere)
        if (share > (found.get(key)?.share ?? -1)) found.set(key, { sizes: sizesThere, share })
      }
    }
  return [...found.values()]
}

/** A bound in place of that of the catalogue. */
type BoundOf = (bound: number, sizes: Sizes) => number
const asStated: BoundOf = (bound) => bound

const bounded = (['relaxed', 'fast'] as const).flatMap((owed) =>
  kernelNames.flatMap((name) => (kernels[name][owed] === null ? [] : [{ owed, name }])),
)

test('every bound of the catalogue states what is reached of it, and nothing else does', () => {
  for (const owed of ['relaxed', 'fast'] as const)
    expect(Object.keys(reached[owed]).toSorted()).toEqual(
      bounded.flatMap((one) => (one.owed === owed ? [one.name] : [])).toSorted(),
    )
})

describe.each(bounded)('the $owed bound of $name', ({ owed, name }) => {
  const { bound } = kernels[name][owed] as Relaxed<readonly never[]>
  const measured = {
    few: worstOf(name, owed, lengths.few),
    many: worstOf(name, owed, lengths.many),
    plain: worstOf(name, owed, lengths.few, true),
  }
  const [few, many, plain] = reached[owed][name] ?? [1, 1, 1]
  const shareOf = (cases: readonly Reached[], of: BoundOf): number =>
    Math.max(...cases.map(({ share, sizes }) => (share * bound(sizes)) / of(bound(sizes), sizes)))
  const law = lawAlways<BoundOf>('is kept by adversaries, which reach the stated share of it', (of) => {
    for (const [cases, least] of [
      [measured.few, few],
      [measured.many, many],
      [measured.plain, plain],
    ] as const) {
      const share = shareOf(cases, of)
      if (!(share >= least && share <= 1))
        throw new Error(`expected a share from ${least} to 1 of the bound, got ${share}`)
    }
  })
  stateLaw(law, asStated)

  killsEach('one that is %s is found', law, {
    'twice as wide': (size) => 2 * size,
    'as narrow as half of what is reached': (size) => (size * shareOf(measured.few, asStated)) / 2,
    'that grows with the square of the sizes': (size) => size ** 2,
  })
})

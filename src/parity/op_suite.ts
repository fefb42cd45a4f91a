/**
 * The calls every op is tried with by `parity run` and `parity export-ops`: the same ones for the same seed, everywhere.
 *
 * Each size letter is 0, 1 and the sizes of odd tails once, the other letters small; with optional arrays there and not,
 * and on data with ties, signed zeros, subnormals, huge numbers, infinities and NaN in turn. Then more than a tile,
 * on data that is mostly zeros, on one number throughout and on nothing but special numbers. Then the sizes of OPT-125m,
 * for one token and for a short prompt, where windows slide. It is a short form of the law of agreement (spec/ops), which tries
 * every size, every offset and every combination.
 */
import { kernels, type KernelName } from '../ops/catalog.ts'
import type { Kernel, Sizes } from '../ops/op.ts'
import { crc32 } from '../platform/platform.ts'
import {
  arraysOf,
  fitSizes,
  lettersOf,
  limitsOf,
  makeValues,
  shapeOf,
  variantsOf,
  type Variant,
} from '../testing/op_case.ts'
import { poison, sizesOf, type Values } from '../testing/op_call.ts'
import { Data, type DataKind } from '../testing/seeded_data.ts'

/** One call of an op. */
export interface OpCase {
  readonly op: KernelName
  /** Its place among the cases of the op. */
  readonly index: number
  readonly sizes: Sizes
  readonly values: Values
  /** Whether outputs that may be the same buffer as an input are. */
  readonly aliased: boolean
}

/** Which cases. */
export interface SuiteOptions {
  /** Draws the cases. */
  readonly seed: number
  /** Leaves out the sizes of OPT-125m. */
  readonly small?: boolean
}

/** What an arranged case is made from. */
interface CasePlan {
  readonly sizes: Sizes
  readonly kind: DataKind
  readonly variant: Variant
}

/** Sizes, and what data calls with all optional arrays and with none have. */
interface SuiteSizes {
  readonly sizes: Sizes
  readonly whole: DataKind
  readonly bare: DataKind
}

/** 0 and 1; then one past four lanes, a stripe, and one past two stripes. */
const smallSizes = [0, 1, 5, 16, 33]
const besides = [2, 3, 5]
const kinds: readonly DataKind[] = ['plain', 'wild', 'ties', 'steep', 'broken']

/** How often each size has its turn, with other neighbours, data and optional arrays. */
const ROUNDS = 3

/**
 * One tile of 64 outputs and some of a second, with room behind its rows; more inputs than a block has. R is half of what it
 * chooses from; of a rotation, how many numbers of a head rotate. A window slides.
 */
const PAST_TILE: Sizes = {
  T: 3,
  P: 2,
  S: 45,
  W: 37,
  C: 48,
  H: 3,
  G: 2,
  K: 5,
  R: 4,
  D: 40,
  I: 40,
  O: 70,
  V: 70,
  U: 5,
  B: 2,
  N: 70,
}
const extremes: readonly DataKind[] = ['sparse', 'equal', 'special']

/** OPT-125m's sizes by letter, and groups of three of its heads. R is as above. */
const usual: Sizes = { H: 12, K: 64, R: 64, D: 768, I: 768, V: 2048, U: 12, B: 24, N: 3072 }
const DEFAULT_SIZES: readonly SuiteSizes[] = [
  {
    sizes: { ...usual, T: 1, P: 299, S: 300, W: 200, C: 320, G: 12, O: 3072 },
    whole: 'plain',
    bare: 'sparse',
  },
  { sizes: { ...usual, T: 9, P: 0, S: 9, W: 6, C: 16, G: 4, O: 768 }, whole: 'steep', bare: 'plain' },
]

/** The cases of an op, one after the other; a large one is made when it is asked for. */
export function* casesOf(op: KernelName, { seed, small = false }: SuiteOptions): Generator<OpCase> {
  const row = kernels[op]
  const plans = [...shortPlans(row), ...(small ? [] : defaultPlans(row))]
  for (const [index, { sizes, kind, variant }] of plans.entries()) {
    // A case does not depend on what other ops and cases there are.
    const data = new Data(crc32(new TextEncoder().encode(`${seed} ${op} ${index}`)))
    const values = spoilt(row, disordered(row, makeValues(op, sizes, data, kind, variant.absent)))
    yield { op, index, sizes: sizesOf(row, values), values, aliased: variant.aliased }
  }
}

/** Cases that are run together, at most, and the numbers that they may hold before no other joins them. */
const CASES_TOGETHER = 16
const NUMBERS_TOGETHER = 2 ** 16

/** Cases in batches for `callAll`: small ones together, large ones alone. */
export function* batchesOf(cases: Iterable<OpCase>): Generator<OpCase[]> {
  let batch: OpCase[] = []
  let numbers = 0
  for (const one of cases) {
    batch.push(one)
    for (const value of Object.values(one.values))
      if (typeof value === 'object') numbers += value?.length ?? 0
    if (batch.length < CASES_TOGETHER && numbers < NUMBERS_TOGETHER) continue
    yield batch
    batch = []
    numbers = 0
  }
  if (batch.length > 0) yield batch
}

/** A call without its numbers. */
export interface OpCall {
  /** Its place among the cases of the op. */
  readonly index: number
  readonly sizes: Sizes
  readonly variant: Variant
}

/** The calls of the sizes of OPT-125m, without numbers. */
export function defaultCallsOf(op: KernelName): OpCall[] {
  const row = kernels[op]
  const first = shortPlans(row).length
  return defaultPlans(row).map(({ sizes, variant }, i) => ({ index: first + i, sizes, variant }))
}

/** What `small` leaves. */
function shortPlans(row: Kernel): CasePlan[] {
  return [...smallPlans(row), ...extremePlans(row)]
}

function smallPlans(row: Kernel): CasePlan[] {
  const variants = variantsOf(row)
  const letters = lettersOf(row)
  const turns = ROUNDS * letters.length * smallSizes.length
  return Array.from({ length: turns }, (_, turn) => {
    const size = smallSizes[turn % smallSizes.length]
    const round = Math.floor(turn / smallSizes.length)
    const letter = letters[round % letters.length]
    const wanted: Record<string, number> = Object.fromEntries(
      letters.map((other, o) => [other, besides[(turn + o) % besides.length]]),
    )
    // Every other time nothing is limited.
    for (const limit of turn % 2 ? limitsOf(row) : []) wanted[limit] = smallSizes[smallSizes.length - 1]
    return {
      sizes: fitSizes(row, { ...wanted, [letter]: size }, letter),
      kind: kinds[(turn + round) % kinds.length],
      variant: variants[(turn + round) % variants.length],
    }
  })
}

function extremePlans(row: Kernel): CasePlan[] {
  return extremes.flatMap((kind) => wholeAndBare(row, { sizes: PAST_TILE, whole: kind, bare: kind }))
}

function defaultPlans(row: Kernel): CasePlan[] {
  return DEFAULT_SIZES.flatMap((one) => wholeAndBare(row, one))
}

/** With every optional array, then without any. */
function wholeAndBare(row: Kernel, { sizes: wanted, whole, bare }: SuiteSizes): CasePlan[] {
  const sizes = fitSizes(row, withHalfChosen(row, wanted))
  const [variant] = variantsOf(row)
  const optional = arraysOf(row).flatMap((param) => (param.optional ? [param.name] : []))
  return [
    { sizes, kind: whole, variant },
    ...(optional.length > 0
      ? [{ sizes, kind: bare, variant: { ...variant, absent: new Set(optional) } }]
      : []),
  ]
}

/** Every list chooses half of its units. */
function withHalfChosen(row: Kernel, wanted: Sizes): Sizes {
  const sizes: Record<string, number> = { ...wanted }
  for (const { holds, dtype, shape, below } of arraysOf(row))
    if (dtype === 'i32' && shape[0] === 'R' && holds !== 'labels' && below !== null)
      sizes.R = Math.floor(wanted[below] / 2)
  return sizes
}

/** Lists that may be in any order are so, the last unit first: their order is that of a sum. */
function disordered(row: Kernel, values: Values): Values {
  const lists = arraysOf(row).filter(({ name, anyOrder }) => anyOrder && values[name])
  return {
    ...values,
    ...Object.fromEntries(lists.map(({ name }) => [name, (values[name] as Int32Array).toReversed()])),
  }
}

/**
 * Where rows of blocks lie side by side, scales and minima of places that hold no chosen row are NaN: what a kernel reads
 * with a row must not be in its result. Places past the last row are such, where packing left what was there.
 */
function spoilt(row: Kernel, values: Values): Values {
  const list = arraysOf(row).find(({ holds }) => holds === 'ascending')
  const weight = arraysOf(row).find(({ sideBySide }) => sideBySide > 0)
  if (!list?.below || !weight) return values
  const isChosen = (o: number): boolean =>
    values[list.name] === null
      ? o < (values[list.below as string] as number)
      : (values[list.name] as Int32Array).includes(o)
  const { sideBySide } = weight
  const [groups, blocks, size] = shapeOf(weight, sizesOf(row, values))
  const bytes = (values[weight.name] as Uint8Array).slice()
  const halves = new Uint16Array(bytes.buffer)
  for (let o = 0; o < sideBySide * groups; o++) {
    if (isChosen(o)) continue
    for (let b = 0; b < blocks; b++) {
      const at = (Math.floor(o / sideBySide) * blocks + b) * (size / 2) + (o % sideBySide)
      halves[at] = halves[at + sideBySide] = poison.f16
    }
  }
  return { ...values, [weight.name]: bytes }
}

/**
 * The calls every op is tried with by `parity run` and `parity export-ops`: the same ones for the same seed, everywhere.
 *
 * Each size letter is 0, 1 and the sizes of odd tails once, the other letters small; with optional arrays there and not,
 * and on data with ties, signed zeros, subnormals, huge numbers, infinities and NaN in turn. Then the sizes of OPT-125m,
 * for one token and for a short prompt, on plain data. It is a short form of the law of agreement (spec/ops), which tries
 * every size, every offset and every combination.
 */
import { kernels, type KernelName } from '../ops/catalog.ts'
import type { Kernel, Sizes } from '../ops/op.ts'
import { crc32 } from '../platform/platform.ts'
import { arraysOf, fitSizes, lettersOf, makeValues, variantsOf, type Variant } from '../testing/op_case.ts'
import { sizesOf, type Values } from '../testing/op_call.ts'
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

/** 0 and 1; then one past four lanes, a stripe, and one past two stripes. */
const smallSizes = [0, 1, 5, 16, 33]
const besides = [2, 3, 5]
const kinds: readonly DataKind[] = ['plain', 'wild', 'ties', 'steep', 'broken']

/** How often each size has its turn, with other neighbours, data and optional arrays. */
const ROUNDS = 3

/** OPT-125m's sizes by letter, and groups of three of its heads. R is half of what it chooses from. */
const usual: Sizes = { H: 12, K: 64, D: 768, I: 768, V: 2048, U: 12, B: 24, N: 3072 }
const DEFAULT_SIZES: readonly Sizes[] = [
  { ...usual, T: 1, P: 299, S: 300, C: 320, G: 12, O: 3072 },
  { ...usual, T: 9, P: 0, S: 9, C: 16, G: 4, O: 768 },
]

/** The cases of an op, one after the other; a large one is made when it is asked for. */
export function* casesOf(op: KernelName, { seed, small = false }: SuiteOptions): Generator<OpCase> {
  const row = kernels[op]
  const plans = [...smallPlans(row), ...(small ? [] : defaultPlans(row))]
  for (const [index, { sizes, kind, variant }] of plans.entries()) {
    // A case does not depend on what other ops and cases there are.
    const data = new Data(crc32(new TextEncoder().encode(`${seed} ${op} ${index}`)))
    const values = disordered(row, makeValues(op, sizes, data, kind, variant.absent))
    yield { op, index, sizes: sizesOf(row, values), values, aliased: variant.aliased }
  }
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
  const first = smallPlans(row).length
  return defaultPlans(row).map(({ sizes, variant }, i) => ({ index: first + i, sizes, variant }))
}

function smallPlans(row: Kernel): CasePlan[] {
  const variants = variantsOf(row)
  const letters = lettersOf(row)
  const turns = ROUNDS * letters.length * smallSizes.length
  return Array.from({ length: turns }, (_, turn) => {
    const size = smallSizes[turn % smallSizes.length]
    const round = Math.floor(turn / smallSizes.length)
    const letter = letters[round % letters.length]
    const wanted = Object.fromEntries(
      letters.map((other, o) => [other, besides[(turn + o) % besides.length]]),
    )
    return {
      sizes: fitSizes(row, { ...wanted, [letter]: size }, letter),
      kind: kinds[(turn + round) % kinds.length],
      variant: variants[(turn + round) % variants.length],
    }
  })
}

/** With every optional array on plain data, then without any on steep. */
function defaultPlans(row: Kernel): CasePlan[] {
  const [whole] = variantsOf(row)
  const bare = { ...whole, absent: new Set(arraysOf(row).flatMap((p) => (p.optional ? [p.name] : []))) }
  const calls = bare.absent.size > 0 ? [whole, bare, whole, bare] : [whole, whole]
  return calls.map((variant, i) => ({
    sizes: fitSizes(row, withHalfChosen(row, DEFAULT_SIZES[Math.floor((2 * i) / calls.length)])),
    kind: i % 2 === 0 ? 'plain' : 'steep',
    variant,
  }))
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

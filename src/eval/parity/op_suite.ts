/**
 * The calls every op is tried with by `parity run` and `parity export-ops`: the same ones for the same seed, everywhere.
 *
 * Each size letter is 0, 1 and the sizes of odd tails once, the other letters small; with optional arrays there and not,
 * and on data with ties, signed zeros, subnormals, huge numbers, infinities and NaN in turn. Then the sizes of OPT-125m,
 * for one token and for a short prompt, on plain data. It is a short form of the law of agreement (spec/ops), which tries
 * every size, every offset and every combination.
 */
import { opRow, type OpName } from '../../ops/catalog.ts'
import type { Op, Sizes } from '../../ops/op.ts'
import { crc32 } from '../../platform/platform.ts'
import { arraysOf, fitSizes, lettersOf, makeValues, variantsOf, type Variant } from './op_case.ts'
import { sizesOf, type Values } from './op_call.ts'
import { Data, type DataKind } from './seeded_data.ts'

/** One call of an op. */
export interface OpCase {
  readonly op: OpName
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

/** 0 and 1; then one past a lane, a stripe and no more, two stripes and one. */
const smallSizes = [0, 1, 5, 16, 33]
const besides = [2, 3, 5]
const kinds: readonly DataKind[] = ['plain', 'wild', 'ties', 'steep', 'broken']

/** OPT-125m's sizes by letter. R is half of what it chooses from. */
const usual: Sizes = { H: 12, K: 64, D: 768, I: 768, V: 2048, U: 12, N: 3072 }
const usualSizes: readonly Sizes[] = [
  { ...usual, T: 1, P: 63, S: 64, C: 80, O: 3072 },
  { ...usual, T: 9, P: 0, S: 9, C: 16, O: 768 },
]

/** The cases of an op, one after the other; a large one is made when it is asked for. */
export function* casesOf(op: OpName, { seed, small = false }: SuiteOptions): Generator<OpCase> {
  const row = opRow(op)
  const plans = [...smallPlans(row), ...(small ? [] : usualPlans(row))]
  for (const [index, { sizes, kind, variant }] of plans.entries()) {
    // A case does not depend on what other ops and cases there are.
    const data = new Data(crc32(new TextEncoder().encode(`${seed} ${op} ${index}`)))
    const values = makeValues(op, sizes, data, kind, variant.absent)
    yield { op, index, sizes: sizesOf(row, values), values, aliased: variant.aliased }
  }
}

/** How many cases an op has. */
export function countCases(op: OpName, { small = false }: Pick<SuiteOptions, 'small'> = {}): number {
  const row = opRow(op)
  return smallPlans(row).length + (small ? 0 : usualPlans(row).length)
}

function smallPlans(row: Op): CasePlan[] {
  const variants = variantsOf(row)
  const letters = lettersOf(row)
  return letters.flatMap((letter, l) =>
    smallSizes.map((size, s) => {
      const wanted = Object.fromEntries(
        letters.map((other, o) => [other, besides[(l + s + o) % besides.length]]),
      )
      const turn = l * smallSizes.length + s
      return {
        sizes: fitSizes(row, { ...wanted, [letter]: size }, letter),
        kind: kinds[(l + s) % kinds.length],
        variant: variants[turn % variants.length],
      }
    }),
  )
}

/** With every optional array, then without any. */
function usualPlans(row: Op): CasePlan[] {
  const [whole] = variantsOf(row)
  const bare = { ...whole, absent: new Set(arraysOf(row).flatMap((p) => (p.optional ? [p.name] : []))) }
  return usualSizes.flatMap((wanted) =>
    (bare.absent.size > 0 ? [whole, bare] : [whole]).map((variant) => ({
      sizes: fitSizes(row, withHalfChosen(row, wanted)),
      kind: 'plain' as const,
      variant,
    })),
  )
}

/** Every list chooses half of its units. */
function withHalfChosen(row: Op, wanted: Sizes): Sizes {
  const sizes: Record<string, number> = { ...wanted }
  for (const { holds, dtype, shape, below } of arraysOf(row))
    if (dtype === 'i32' && shape[0] === 'R' && holds !== 'labels' && below !== null)
      sizes.R = Math.floor(wanted[below] / 2)
  return sizes
}

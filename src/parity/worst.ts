/**
 * The worst number of many calls: which one it is, and where.
 */
import { kernels, type KernelName } from '../ops/catalog.ts'
import type { Sizes } from '../ops/op.ts'
import { indexOf } from './check.ts'
import { isWorse, type Difference } from '../testing/op_agreement.ts'
import { arraysOf, shapeOf } from '../testing/op_case.ts'

/** A difference and where it was. */
export interface PlacedDifference extends Difference {
  /** The place of the call among the cases of its op. */
  readonly case: number
  readonly sizes: Sizes
}

/** The worse of what was known and what one more call showed. */
export function worseOf(
  known: PlacedDifference | null,
  seen: Difference | null,
  { index, sizes }: { readonly index: number; readonly sizes: Sizes },
): PlacedDifference | null {
  if (seen === null || (known !== null && !isWorse(seen, known))) return known
  return { ...seen, case: index, sizes }
}

/** A number by its index along each axis: "y[0, 3]". */
export function placeOf(op: KernelName, { output, index, sizes }: PlacedDifference): string {
  const param = arraysOf(kernels[op]).find(({ name }) => name === output)
  return `${output}[${param ? indexOf(index, shapeOf(param, sizes)).join(', ') : index}]`
}

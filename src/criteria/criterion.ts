/**
 * What a criterion is: a number per unit that says how much the loss of one example minds losing it.
 *
 * Low scores are pruned first. A criterion reads one forward pass and its backward pass; the loss is the mean over the
 * scored tokens. Adding one is a file with its formula and source in the header, and a line in `index.ts`.
 */
import type { UnitScores } from '../masks/selection.ts'
import type { Gradients } from '../model/opt/backward.ts'
import type { Trace } from '../model/opt/trace.ts'

/** A criterion by its name. */
export interface Criterion {
  readonly name: string
  /** The formula, in one line. */
  readonly formula: string
  /** Scores of every unit of every layer: [L, H] and [L, F]. */
  score(trace: Trace, gradients: Gradients): UnitScores
}

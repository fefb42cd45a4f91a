/**
 * From scored windows to a table row of a report: perplexity both ways, and what was really skipped.
 */
import { methodRow } from '../evaluation/method.ts'
import { natsPerToken, natsPerWord, perplexityOf, skippedBy } from '../evaluation/tally.ts'
import type { LayerSparsity } from '../results/experiment_result.ts'
import type { MeasuredMethod } from '../evaluation/cache/measure.ts'
import type { MethodScore } from '../evaluation/window_evaluator.ts'
import type { ReproduceRow } from '../results/report.ts'

/** The row of a method. @param speed decoded tokens per second; null where it was not measured */
export function reproduceRow(
  { method, scores }: MeasuredMethod,
  seed: number,
  speed: number | null,
): ReproduceRow {
  const { heads, neurons, weights } = skippedBy(scores)
  return {
    ...methodRow(method),
    seed,
    achieved: { heads, neurons, weights },
    tokenPerplexity: perplexityOf(natsPerToken(scores)).value,
    wordPerplexity: perplexityOf(natsPerWord(scores)).value,
    decodeTokensPerSecond: speed,
  }
}

/** What windows skipped layer by layer, under a name: the mean over them; there must be at least one. */
export function layersOf(name: string, scores: readonly MethodScore[]): LayerSparsity {
  const { layers } = skippedBy(scores)
  return { name, heads: layers.map(({ heads }) => heads), neurons: layers.map(({ neurons }) => neurons) }
}

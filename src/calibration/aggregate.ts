/**
 * Aggregates the scores of many examples into one ranking of all units, which static pruning uses.
 *
 *   mean        the mean over examples
 *   sum         ShadowLLM's released code: the sum over the examples of each task, then the mean over tasks. Units are
 *               in the order of the mean, so masks are the same; the numbers allow a comparison with the released code.
 *   rank        the mean over examples of a unit's rank among all units of its kind, from 0 for the lowest; ties share
 *               their mean rank. An example with a large loss counts no more than another.
 *   per-layer   the mean over examples of scores scaled to [0, 1] within each layer
 *
 * Examples are taken in one by one and not kept. Sums are float64.
 */
import type { UnitShape } from '../masks/mask.ts'
import { ranks } from '../masks/ranks.ts'
import type { UnitScores } from '../masks/selection.ts'
import { min_max } from '../ops/min_max.ts'
import { aggregations, type Aggregation } from '../results/method.ts'
import { UsageError } from '../tensor/errors.ts'

/** A running aggregate of examples. */
export class ScoreAggregate {
  readonly #how: Aggregation
  readonly #groups = new Set<string>()
  #count = 0
  #sums: { shape: UnitShape; heads: Float64Array; neurons: Float64Array } | null = null

  /** @throws UsageError AGGREGATION for an unknown name */
  constructor(how: Aggregation = 'mean') {
    this.#how = how
    if (!aggregations.includes(how))
      throw new UsageError(
        'AGGREGATION',
        `how: expected one of ${aggregations.join(', ')}, got ${String(how)}`,
      )
  }

  /** Adds one example. @param group its task or genre; only `sum` uses it */
  add({ shape, heads, neurons }: UnitScores, group = ''): void {
    this.#sums ??= {
      shape,
      heads: new Float64Array(heads.length),
      neurons: new Float64Array(neurons.length),
    }
    addTo(this.#sums.heads, this.#shown(heads, shape.layers))
    addTo(this.#sums.neurons, this.#shown(neurons, shape.layers))
    this.#groups.add(group)
    this.#count++
  }

  /** The aggregate of the examples so far. @throws UsageError EXAMPLES if there are none */
  finish(): UnitScores {
    if (!this.#sums) throw new UsageError('EXAMPLES', 'examples: expected at least one, got none')
    const { shape, heads, neurons } = this.#sums
    const parts = this.#how === 'sum' ? this.#groups.size : this.#count
    return {
      shape,
      heads: Float32Array.from(heads, (total) => total / parts),
      neurons: Float32Array.from(neurons, (total) => total / parts),
    }
  }

  /** The summands of one example. */
  #shown(scores: Float32Array, layers: number): Float32Array {
    if (this.#how === 'rank') return ranks(scores)
    if (this.#how !== 'per-layer') return scores
    const scaled = new Float32Array(scores.length)
    min_max(scaled, scores, layers, scores.length / layers)
    return scaled
  }
}

function addTo(sums: Float64Array, values: Float32Array): void {
  for (let i = 0; i < sums.length; i++) sums[i] += values[i]
}

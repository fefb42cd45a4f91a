/**
 * How good an order of units is.
 *
 * A mask keeps the first of an order, at whatever sparsity. So the measure is where in the predicted order the true
 * scores lie: the mean place, from 0 (first) to 1 (last), of a unit drawn in proportion to its true score. It is the
 * area between the curve of score kept against units kept and a curve that keeps everything at once: an average over
 * all sparsities. Only differences mean something; `orderingLoss` sets them between the truth's own order and another.
 */

/** Places of the true scores in the order of the predicted ones: 0 is all in front, ties to the lower index. */
export function meanPlace(predicted: Float32Array, truth: Float32Array): number {
  const N = truth.length
  const order = Int32Array.from(predicted.keys()).sort((a, b) => predicted[b] - predicted[a] || a - b)
  // Scores may be negative (signed criteria); their least is no weight.
  const least = truth.reduce((low, value) => Math.min(low, value), Infinity)
  let total = 0
  let weighted = 0
  for (let place = 0; place < N; place++) {
    const weight = truth[order[place]] - least
    total += weight
    weighted += weight * place
  }
  return total > 0 ? weighted / (total * N) : 0
}

/**
 * Where an order stands between the truth's own (0) and a baseline's (1), over examples; above 1 it is worse than the
 * baseline. NaN where the baseline is perfect or there are no examples.
 */
export function orderingLoss(
  predicted: readonly Float32Array[],
  truth: readonly Float32Array[],
  baseline: Float32Array,
): number {
  let distance = 0
  let baselineDistance = 0
  truth.forEach((scores, i) => {
    const best = meanPlace(scores, scores)
    distance += meanPlace(predicted[i], scores) - best
    baselineDistance += meanPlace(baseline, scores) - best
  })
  return distance / baselineDistance
}

/**
 * Metrics of predicted scores against the oracle scores of an example.
 *
 * A mask depends only on the order of scores, so these measure orders:
 *
 *   spearman       rank correlation over all units of the layers that are not dense. Most of it comes from differences
 *                  between layers, which are the same for every text: a constant prediction has them too
 *   spearmanWithin the same within each layer, the mean over layers
 *   recall, precision, jaccard    the mask of the prediction against the mask of the oracle, at a budget
 *   scoreKept      the oracle score that the mask keeps, as a share of the maximum at this budget. The lowest score is
 *                  subtracted first, because signed criteria have negative scores
 *
 * The baseline is a constant prediction: the mean of the training targets. It is strong, so every number must be compared
 * with it.
 */
import type { Budget } from '../masks/budget.ts'
import { setOverlap, type Overlap } from '../masks/overlap.ts'
import { referenceTopK, selectMask, type TopK, type UnitScores } from '../masks/selection.ts'
import { recordOf } from '../tensor/records.ts'
import { unitKinds, type UnitKind } from '../masks/mask.ts'

/** The quality of a mask at one budget. */
export interface MaskQuality extends Overlap {
  /** The oracle score of the kept units, as a share of that of the best ones. */
  readonly scoreKept: number
}

/** The quality of the scores of one kind of unit; means over examples. */
export interface ScoreQuality {
  /** Rank correlation over all units of the kind. */
  readonly spearman: number
  /** The mean of that of each layer. */
  readonly spearmanWithin: number
  /** At each budget. */
  readonly at: readonly MaskQuality[]
}

/**
 * How well one order of units agrees with another, from -1 to 1: Spearman's rank correlation, ties having the mean of their ranks; 0
 * where either is constant and orders nothing.
 * @param a one number for each unit
 * @param b of the same units
 */
export function spearman(a: Float32Array, b: Float32Array): number {
  const [x, y] = [averageRanks(a), averageRanks(b)]
  const middle = (a.length + 1) / 2
  let product = 0
  let xSquare = 0
  let ySquare = 0
  for (let i = 0; i < x.length; i++) {
    product += (x[i] - middle) * (y[i] - middle)
    xSquare += (x[i] - middle) ** 2
    ySquare += (y[i] - middle) ** 2
  }
  return xSquare > 0 && ySquare > 0 ? product / Math.sqrt(xSquare * ySquare) : 0
}

/** Ranks from 1, the lowest first; equal values have the mean of the ranks they share. */
export function averageRanks(values: Float32Array): Float64Array {
  const order = Int32Array.from(values.keys()).sort((a, b) => values[a] - values[b])
  const ranks = new Float64Array(values.length)
  for (let start = 0, end = 0; start < order.length; start = end) {
    while (end < order.length && values[order[end]] === values[order[start]]) end++
    end = Math.max(end, start + 1) // NaN equals nothing
    for (let place = start; place < end; place++) ranks[order[place]] = (start + 1 + end) / 2
  }
  return ranks
}

/**
 * What a mask keeps of the most that a mask of its size can keep: the oracle score of the chosen units, as a share of that of the best
 * units. The lowest score is subtracted first; 1 if the best units have nothing more.
 * @param chosen not 0 for a chosen unit
 * @param best the same for the best units
 * @param oracleScores of the same units
 */
export function scoreKept(chosen: Float32Array, best: Float32Array, oracleScores: Float32Array): number {
  const lowest = oracleScores.reduce((low, score) => Math.min(low, score), Infinity)
  let kept = 0
  let most = 0
  oracleScores.forEach((score, unit) => {
    if (chosen[unit] !== 0) kept += score - lowest
    if (best[unit] !== 0) most += score - lowest
  })
  return most > 0 ? kept / most : 1
}

/** Running sums. */
interface Sums {
  spearman: number
  spearmanWithin: number
  readonly at: readonly Record<keyof MaskQuality, number>[]
}

const qualityNames = ['recall', 'precision', 'jaccard', 'scoreKept'] as const

/** Accumulates the quality of predictions, example by example. */
export class QualityMeter {
  readonly #budgets: readonly Budget[]
  readonly #dense: number
  readonly #topK: TopK
  readonly #sums: Record<UnitKind, Sums>
  #examples = 0

  /** @param budgets of the masks that are compared @param dense the number of dense layers, which are left out */
  constructor(budgets: readonly Budget[], dense: number, topK: TopK = referenceTopK) {
    this.#budgets = budgets.map((budget) => ({ ...budget, denseLayers: dense }))
    this.#dense = dense
    this.#topK = topK
    const sums = (): Sums => ({
      spearman: 0,
      spearmanWithin: 0,
      at: budgets.map(() => recordOf(qualityNames, () => 0)),
    })
    this.#sums = { heads: sums(), neurons: sums() }
  }

  add(predicted: UnitScores, oracleScores: UnitScores): void {
    this.#examples++
    const { shape } = oracleScores
    const masks = this.#budgets.map((budget) => [
      selectMask(predicted, budget, this.#topK),
      selectMask(oracleScores, budget, this.#topK),
    ])
    for (const kind of unitKinds) {
      const units = shape[kind]
      const from = (table: Float32Array): Float32Array => table.subarray(this.#dense * units)
      const [found, right] = [from(predicted[kind]), from(oracleScores[kind])]
      const sum = this.#sums[kind]
      sum.spearman += spearman(found, right)
      const layers = shape.layers - this.#dense
      for (let at = 0; at < layers * units; at += units)
        sum.spearmanWithin +=
          spearman(found.subarray(at, at + units), right.subarray(at, at + units)) / layers
      masks.forEach(([mask, best], i) => {
        const [chosen, wanted] = [from(mask[kind]), from(best[kind])]
        const one = { ...setOverlap(chosen, wanted), scoreKept: scoreKept(chosen, wanted, right) }
        for (const name of qualityNames) sum.at[i][name] += one[name]
      })
    }
  }

  /** The means over the examples; NaN before the first one. */
  read(): Record<UnitKind, ScoreQuality> {
    const share = 1 / this.#examples
    const mean = (sum: Sums): ScoreQuality => ({
      spearman: sum.spearman * share,
      spearmanWithin: sum.spearmanWithin * share,
      at: sum.at.map((total) => recordOf(qualityNames, (name) => total[name] * share)),
    })
    return { heads: mean(this.#sums.heads), neurons: mean(this.#sums.neurons) }
  }
}

/**
 * epenas: how much the correlation of gradients within a class differs between classes (EPE-NAS, Lopes et al. 2021). It
 * scores a whole data set.
 *
 *   c(w)  = sum over i, j of ln( |C_w[i, j]| + k ) / n_w,  k = 1e-5
 *   score = sum over w, w' of | c(w) - c(w') | / number of classes
 *
 * A token's class w is the token it is to predict, and C_w the matrix of correlations between the rows of the n_w tokens
 * of that class. Classes of one token have no correlations and are left out. This is EPE-NAS's form for more than a
 * hundred classes, because a vocabulary is larger than that.
 *   head:    a token's row is g[t, h] = dL/da at the position that predicts
 *   neuron:  the gradient of its incoming weights, gz[t, j] x[t]; |C_w| then is that of its inputs, over tokens it fired on
 *
 * In the released code of ShadowLLM the class is the token that the model predicts, a class needs five tokens, sums are
 * not divided, and only heads are scored.
 */
import type { UnitShape } from '../masks/mask.ts'
import type { UnitScores } from '../masks/selection.ts'
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import { log } from '../ops/float32.ts'
import type { DatasetCriterion } from './criterion.ts'
import { correlation, TokenSample, type SampledToken } from './token_sample.ts'
import { scoreLayers } from './unit_scores.ts'

/** The number of sampled tokens of a data set. */
const CAPACITY = 1024
const EPSILON = 1e-5

/** ln(|correlation| + k) between the rows of one class. */
interface ClassLogs {
  readonly members: readonly number[] // indices in the sample
  readonly logs: Float64Array // [n, n]
}

/** The indices of the tokens of every class, both in order of appearance. */
function classesOf(tokens: readonly SampledToken[]): number[][] {
  const classes = new Map<number, number[]>()
  tokens.forEach(({ target }, place) => {
    const members = classes.get(target)
    if (members) members.push(place)
    else classes.set(target, [place])
  })
  return [...classes.values()]
}

/** The logs of every class, from standardised rows; rows that are null are no members. */
function logsOf(
  classes: readonly (readonly number[])[],
  rows: readonly (Float64Array | null)[],
): ClassLogs[] {
  return classes.map((places) => {
    const members = places.filter((place) => rows[place] !== null)
    const own = members.map((place) => rows[place] as Float64Array)
    const logs = new Float64Array(own.length ** 2)
    own.forEach((a, i) =>
      own.forEach((b, j) => {
        if (j > i) return
        const value = log(Math.fround(Math.abs(i === j ? 1 : correlation(a, b)) + EPSILON))
        logs[i * own.length + j] = logs[j * own.length + i] = value
      }),
    )
    return { members, logs }
  })
}

/** The score over those members of each class for which `counts` holds. */
function spread(classes: readonly ClassLogs[], counts: (place: number) => boolean): number {
  const scores: number[] = []
  for (const { members, logs } of classes) {
    const chosen = [...members.keys()].filter((member) => counts(members[member]))
    if (chosen.length < 2) continue
    let total = 0
    for (const i of chosen) for (const j of chosen) total += logs[i * members.length + j]
    scores.push(total / chosen.length)
  }
  let total = 0
  for (const a of scores) for (const b of scores) total += Math.abs(a - b)
  return scores.length === 0 ? 0 : total / scores.length
}

function scoreSample(sample: TokenSample, shape: UnitShape): UnitScores {
  const { tokens } = sample
  const classes = classesOf(tokens)
  const scoreHead = (layer: number, head: number): number =>
    spread(logsOf(classes, sample.headRows(layer, head)), () => true)
  return scoreLayers(
    shape,
    (layer) => Float64Array.from({ length: shape.heads }, (_, head) => scoreHead(layer, head)),
    (layer) => {
      const logs = logsOf(classes, sample.inputRows(layer))
      return Float64Array.from({ length: shape.neurons }, (_, neuron) =>
        spread(logs, (place) => tokens[place].layers[layer].reached[neuron] === 1),
      )
    },
  )
}

/** The differences between classes of the correlations within them. */
export const epenas: DatasetCriterion = {
  name: 'epenas',
  formula:
    "sum_w,w' |c(w) - c(w')| / classes, c(w) = sum_ij ln(|corr_ij| + k) / n_w between tokens of class w",
  cost: { forward: 0, backward: 0 },
  begin: (shape, seed) => {
    const sample = new TokenSample(CAPACITY, seed)
    return {
      add: (input) => sample.add(input, (target) => target !== NOT_SCORED),
      finish: () => scoreSample(sample, shape),
    }
  },
}

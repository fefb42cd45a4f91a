/**
 * Scores of units that are learnt through the mask: those are good scores whose mask changes the model's distributions least.
 *
 *   m[u]  = sigmoid((s[u] - cut) / τ)       of units that compete with u; cut is the lowest score that is kept
 *   L     = mean over the tokens after the prompt of KL(dense || under m), of what follows each
 *   g[u]  = dL/dm[u]
 *   s[u] <- s[u] - η clip(g[u] / r, ±4)     r² is a running mean of the mean of g² over those units
 *
 * Scores begin as ranks within the units that compete: those of a layer, or of all ranked layers, as the budget's scope has
 * it. The mask hardens while it is learnt: τ is 0.06 in the first half and 0.03 in the second. What is used is the
 * hard mask, `selectMask` of the scores. g is taken of the mask and not of the score, whose derivative is zero far from the
 * cut: a unit that is skipped for sure still learns whether it would help (a straight-through estimate, Bengio et al. 2013,
 * arXiv 1308.3432). Scores of units whose budget skips none stay as they are.
 *
 * With moments, what is learnt is the mask of a compensated model (src/compensation): units a become m a + (1 - m) â, where â is what
 * the kept units say of a unit (estimate.ts). At a hard mask these are the folded weights. The estimates are held while a step is
 * taken, so that
 *
 *   g[u]  = sum over tokens of <dL/da'[u], a[u] - â[u]>      a': after the mask
 *
 * A unit is worth what cannot be recovered of it.
 *
 * Static scores by a criterion estimate the loss of each unit alone, at the dense model. These are learnt beside one another,
 * at the mask.
 */
import { estimateBy } from '../compensation/estimate.ts'
import type { HeldMoments } from '../compensation/held_moments.ts'
import { maskGradients } from '../criteria/plainact.ts'
import { backward } from '../engine/backward.ts'
import { expectFinite } from '../engine/finite_logits.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { sumRow } from '../engine/divergence.ts'
import { traceForward, type Trace } from '../engine/trace.ts'
import { firstRanked, unitsKept, type Budget } from '../masks/budget.ts'
import type { Estimate } from '../masks/compensation.ts'
import { makeMask, unitKinds, type UnitKind, type UnitMask } from '../masks/mask.ts'
import type { Prefill } from '../masks/planner.ts'
import { nthLargest, ranks } from '../masks/ranks.ts'
import type { UnitScores } from '../masks/selection.ts'
import { NOT_SCORED } from '../ops/cross_entropy.ts'

/** The widths of the mask's slope: in the first half of the steps, and in the second. */
const WIDTHS = [0.06, 0.03] as const
/** How much of r² is kept at each step. */
const MEMORY = 0.95
/** A step moves no score further than this many rates. */
const MOST_STEP = 4
/** η of the first 15 % of the steps. From there on it falls in a line, to 0.15 times this at the end. */
export const DEFAULT_RATE = 0.008

/** Units that compete for places in the mask: entries start to end of a table. */
interface Group {
  readonly kind: UnitKind
  readonly start: number
  readonly end: number
  readonly kept: number
}

/** The groups of units of which a budget skips some. Floors are left to the hard mask. */
export function groupsOf({ layers, ...units }: UnitScores['shape'], budget: Budget): Group[] {
  const first = firstRanked(budget)
  const sparsities = { heads: budget.headSparsity, neurons: budget.neuronSparsity }
  return unitKinds.flatMap((kind) => {
    const size = budget.scope === 'per-layer' ? units[kind] : Math.max(0, layers - first) * units[kind]
    const kept = unitsKept(size, sparsities[kind], budget.policy)
    if (size === 0 || kept === size) return []
    const count = budget.scope === 'per-layer' ? Math.max(0, layers - first) : 1
    return Array.from({ length: count }, (_, i) => {
      const start = first * units[kind] + i * size
      return { kind, start, end: start + size, kept }
    })
  })
}

/** m: 1 where the budget skips nothing. */
export function softMask(scores: UnitScores, groups: readonly Group[], width: number): UnitMask {
  const { shape } = scores
  const tables = {
    heads: new Float32Array(scores.heads.length).fill(1),
    neurons: new Float32Array(scores.neurons.length).fill(1),
  }
  for (const { kind, start, end, kept } of groups) {
    const s = scores[kind].subarray(start, end)
    const cut = kept === 0 ? Infinity : nthLargest(s.slice(), kept)
    for (let u = 0; u < s.length; u++) tables[kind][start + u] = 1 / (1 + Math.exp((cut - s[u]) / width))
  }
  return makeMask(shape, tables.heads, tables.neurons)
}

/** A text, as a dense pass has run it, and where its prompt ends: what follows is compared. */
export interface LearningText {
  readonly dense: Trace
  readonly promptLength: number
}

/** L in nats, and its derivative by each entry of the mask. */
export interface MaskedDivergence {
  /** L, in nats: the mean over the tokens. */
  readonly kl: number
  readonly gradients: UnitScores
}

/**
 * How far a mask moves what the model predicts: KL(dense || under the mask) in nats, a mean over the tokens after the prompt, with its
 * derivative by each entry of the mask. `ScoreLearner` goes down along it.
 * @param prefill whether the prompt runs under the mask too
 * @param estimate what is put in the place of skipped units, see `TraceOptions`; null: zeros
 * @throws as `traceForward` and `backward`; UsageError LABELS for a single token after the prompt
 */
export function maskedDivergence(
  model: LanguageModel,
  { dense, promptLength }: LearningText,
  mask: UnitMask,
  prefill: Prefill,
  estimate: Estimate | null = null,
): MaskedDivergence {
  const { vocabulary: V } = model.config
  const { tokens } = dense
  const teacher = dense.logits().subarray(promptLength * V)
  const [trace, first] =
    prefill === 'dense'
      ? [
          traceForward(model, tokens.slice(promptLength), {
            mask,
            estimate,
            after: { trace: dense, length: promptLength },
          }),
          0,
        ]
      : [traceForward(model, tokens, { mask, estimate }), promptLength]
  try {
    const logits = trace.logits()
    const gradient = new Float32Array(logits.length)
    const count = trace.length - first
    let kl = 0
    for (let t = 0; t < count; t++) {
      const row = (rows: Float32Array, at: number): Float32Array => rows.subarray(at * V, (at + 1) * V)
      kl += divergeRow(row(gradient, first + t), row(teacher, t), row(logits, first + t), 1 / count)
    }
    expectFinite(kl)
    const labels = trace.tokens.map((id, t) => (t < first ? NOT_SCORED : id))
    const gradients = backward(model, trace, labels, { logitsGradient: gradient })
    try {
      return { kl: kl / count, gradients: maskGradients({ model, trace, gradients }) }
    } finally {
      gradients.dispose()
    }
  } finally {
    trace.dispose()
  }
}

/** KL(p || q) of two rows of logits; writes its derivative by q, times a weight. */
function divergeRow(gradient: Float32Array, p: Float32Array, q: Float32Array, weight: number): number {
  const [pSum, qSum] = [p, q].map((logits) => sumRow(logits, 0, logits.length).logSum)
  let kl = 0
  for (let v = 0; v < p.length; v++) {
    const [logP, logQ] = [p[v] - pSum, q[v] - qSum]
    const probability = Math.exp(logP)
    kl += probability * (logP - logQ)
    gradient[v] = weight * (Math.exp(logQ) - probability)
  }
  return kl
}

/** How scores are learnt. */
export interface LearningOptions {
  /** How many steps there will be: the rate and the width follow it. */
  readonly steps: number
  /** η, in ranks; default DEFAULT_RATE. */
  readonly rate?: number
  /** Whether prompts run dense, as default, or under the mask too. Scores are good for the one they were learnt with. */
  readonly prefill?: Prefill
  /** Moments, of `holdMoments`, by whose least squares kept units make up for skipped ones; default: nothing does. */
  readonly moments?: HeldMoments
}

/** The state of learning: everything that the next step depends on. */
export interface LearnerState {
  readonly scores: UnitScores
  /** r² of each group. */
  readonly squares: Float32Array
  /** Steps that were taken. */
  readonly step: number
}

/**
 * Learns scores that are the same for every prompt, through the masks that they select: one text a step, then `state.scores` for
 * `staticPlanner`. `PredictorLearner` learns with it, and how a prompt deviates too.
 */
export class ScoreLearner {
  readonly #model: LanguageModel
  readonly #groups: readonly Group[]
  readonly #scores: UnitScores
  readonly #squares: Float32Array
  readonly #estimate: Estimate | null
  readonly #options: Required<Omit<LearningOptions, 'moments'>>
  #step = 0

  /** @param start scores to begin with, of which only the order counts, or what another learner left */
  constructor(
    model: LanguageModel,
    start: UnitScores | LearnerState,
    budget: Budget,
    { steps, rate = DEFAULT_RATE, prefill = 'dense', moments }: LearningOptions,
  ) {
    this.#model = model
    this.#estimate = moments ? estimateBy(moments) : null
    this.#options = { steps, rate, prefill }
    const { shape, heads, neurons } = 'step' in start ? start.scores : start
    this.#scores = { shape, heads: heads.slice(), neurons: neurons.slice() }
    this.#groups = groupsOf(shape, budget)
    this.#squares = new Float32Array(this.#groups.length)
    if ('step' in start) {
      this.#squares.set(start.squares)
      this.#step = start.step
      return
    }
    for (const { kind, start: from, end } of this.#groups) {
      const s = this.#scores[kind].subarray(from, end)
      s.set(ranks(s).map((rank) => (rank + 0.5) / s.length))
    }
  }

  /** The state of learning. Tables change with each step. */
  get state(): LearnerState {
    return { scores: this.#scores, squares: this.#squares, step: this.#step }
  }

  /** One step. @returns L before it, in nats @throws as `maskedDivergence`; UsageError MATRIX where moments are too few to solve by */
  step(text: LearningText): number {
    const { steps, rate: highest, prefill } = this.#options
    const { kl, gradients } = maskedDivergence(this.#model, text, this.mask(), prefill, this.#estimate)
    const rate = highest * Math.min(1, 1.15 - this.#step / steps)
    for (const [i, { kind, start, end }] of this.#groups.entries()) {
      const s = this.#scores[kind].subarray(start, end)
      const g = gradients[kind].subarray(start, end)
      const square = g.reduce((sum, value) => sum + value * value, 0) / g.length
      this.#squares[i] = this.#step === 0 ? square : MEMORY * this.#squares[i] + (1 - MEMORY) * square
      const size = Math.sqrt(this.#squares[i])
      if (size === 0) continue
      for (let u = 0; u < s.length; u++) s[u] -= rate * Math.max(-MOST_STEP, Math.min(MOST_STEP, g[u] / size))
    }
    this.#step++
    return kl
  }

  /** The soft mask of the next step. */
  mask(): UnitMask {
    return softMask(this.#scores, this.#groups, WIDTHS[2 * this.#step < this.#options.steps ? 0 : 1])
  }
}

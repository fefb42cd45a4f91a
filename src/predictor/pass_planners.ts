/**
 * Planners that run an additional pass over the text so far.
 *
 * `prompt-plainact` needs no predictor: a criterion scores each unit by the loss of the prompt itself, where every token
 * predicts the next. It costs a forward and a backward pass. The DejaVu-style baseline of ShadowLLM's authors predicts the
 * scores of a layer from the outputs of its own heads, so it needs a dense pass first. It measures the quality of such
 * scores and cannot save work on the prompt. The buffers of these passes are freed before the mask is returned.
 */
import type { Criterion } from '../criteria/criterion.ts'
import { withPass } from '../criteria/pass.ts'
import { plainact } from '../criteria/plainact.ts'
import type { Budget } from '../masks/budget.ts'
import type { PromptView } from '../masks/planner.ts'
import { referenceTopK, type TopK, type UnitScores } from '../masks/selection.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { traceForward, type Trace } from '../engine/trace.ts'
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import { UsageError } from '../tensor/errors.ts'
import type { InputScaling } from './dejavu_style.ts'
import { rankingPlanner, type RankingPlanner } from './ranking.ts'
import { contextWidth } from '../engine/config.ts'

/**
 * A criterion's scores of one text, dense.
 * @param labels [T], the tokens, or -100 where a position is not scored
 * @throws UsageError LABELS if nothing is scored, TOKENS, CONTEXT_LENGTH
 */
export function scoreText(
  model: LanguageModel,
  tokens: Int32Array,
  labels: Int32Array,
  criterion: Criterion = plainact,
  seed = 0,
): UnitScores {
  return withPass(model, { tokens, labels }, criterion.score, { seed })
}

/** A criterion's scores of the tokens that follow a prompt, dense. @throws UsageError as `scoreText` */
export function scoreContinuation(
  model: LanguageModel,
  prompt: Int32Array,
  continuation: ArrayLike<number>,
  criterion: Criterion,
  seed?: number,
): UnitScores {
  const tokens = Int32Array.of(...prompt, ...Array.from(continuation))
  return scoreText(model, tokens, tokens.slice().fill(NOT_SCORED, 0, prompt.length), criterion, seed)
}

/** Options of a prompt planner. */
export interface PromptPlannerOptions {
  /** Default plainact. */
  readonly criterion?: Criterion
  readonly seed?: number
  readonly topK?: TopK
}

/** Keeps the units with the highest scores for the loss of the prompt, which must have at least two tokens. */
export function promptPlanner(
  model: LanguageModel,
  budget: Budget,
  { criterion = plainact, seed = 0, topK = referenceTopK }: PromptPlannerOptions = {},
): RankingPlanner {
  const name = `prompt-${criterion.name}`
  const scores = ({ ids }: PromptView): UnitScores => {
    if (ids.length < 2)
      throw new UsageError(
        'PROMPT',
        `planner ${name}: expected a prompt of at least two tokens, got ${ids.length}`,
      )
    return scoreText(model, ids, ids, criterion, seed)
  }
  return rankingPlanner(name, { scores, criterion: criterion.name, budget }, topK)
}

/** The predictor of the dejavu-style planner, such as `DejavuStylePredictor`. */
export interface HeadOutputsPredictor {
  /** The criterion that it predicts. */
  readonly config?: { readonly criterion?: string }
  /**
   * @param last the heads' outputs of every layer at the last token: [L, D]
   * @param scaling `as-shipped` leaves them unscaled, see dejavu_style.ts
   */
  predict(last: Float32Array, scaling?: InputScaling): UnitScores
}

/**
 * Keeps the units with the highest scores, predicted from the head outputs of every layer at the last prompt token of a dense
 * pass. The paper's code does not scale them unless units compete within their layer; nor does the paper-compatible policy.
 */
export function dejavuStylePlanner(
  model: LanguageModel,
  predictor: HeadOutputsPredictor,
  budget: Budget,
  topK: TopK = referenceTopK,
): RankingPlanner {
  const asShipped = budget.policy === 'paper-compatible' && budget.scope !== 'per-layer'
  const scaling: InputScaling = asShipped ? 'as-shipped' : 'fixed'
  const scores = ({ ids }: PromptView): UnitScores => {
    const trace = traceForward(model, ids)
    try {
      return predictor.predict(lastHeadOutputs(trace), scaling)
    } finally {
      trace.dispose()
    }
  }
  return rankingPlanner(
    'dejavu-style',
    { scores, criterion: predictor.config?.criterion ?? null, budget },
    topK,
  )
}

/** The heads' outputs of every layer at the last token: [L, H K]. */
export function lastHeadOutputs(trace: Trace): Float32Array {
  const { config } = trace.model
  const { layers } = config
  const width = contextWidth(config)
  const outputs = new Float32Array(layers * width)
  for (let layer = 0; layer < layers; layer++)
    outputs.set(trace.headOut(layer).subarray((trace.length - 1) * width), layer * width)
  return outputs
}

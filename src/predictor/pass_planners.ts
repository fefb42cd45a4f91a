/**
 * Planners that run a pass of their own over the text so far.
 *
 * `prompt-plainact` needs no predictor: a criterion scores what each unit does for the loss of the prompt itself, every
 * token predicting the next. It costs a forward and a backward pass. The DejaVu-style baseline of ShadowLLM's authors
 * predicts each layer's scores from that layer's own heads' outputs, so it needs a dense pass before anything can be
 * skipped: it tells how good such scores are, it cannot save a prompt's work. Whatever these passes allocate is freed
 * before the mask is handed out.
 */
import type { Criterion } from '../criteria/criterion.ts'
import { plainact } from '../criteria/plainact.ts'
import type { Budget } from '../masks/budget.ts'
import type { PromptView } from '../masks/planner.ts'
import { referenceTopK, type TopK, type UnitScores } from '../masks/selection.ts'
import { backward } from '../engine/backward.ts'
import type { OptModel } from '../engine/opt_model.ts'
import { traceForward, type Trace } from '../engine/trace.ts'
import { UsageError } from '../tensor/errors.ts'
import type { InputScaling } from './dejavu_style.ts'
import { rankingPlanner, type RankingPlanner } from './ranking.ts'

/**
 * A criterion's scores of one text, dense.
 * @param labels [T], the tokens, or -100 where a position is not scored
 * @throws UsageError LABELS if nothing is scored, TOKENS, CONTEXT_LENGTH
 */
export function scoreText(
  model: OptModel,
  tokens: Int32Array,
  labels: Int32Array,
  criterion: Criterion = plainact,
  seed = 0,
): UnitScores {
  const trace = traceForward(model, tokens)
  try {
    const gradients = backward(model, trace, labels)
    try {
      return criterion.score({ model, tokens, labels, trace, gradients, seed })
    } finally {
      gradients.dispose()
    }
  } finally {
    trace.dispose()
  }
}

/** What else a prompt planner may be told. */
export interface PromptPlannerOptions {
  /** Default plainact. */
  readonly criterion?: Criterion
  readonly seed?: number
  readonly topK?: TopK
}

/** Keeps what the prompt's own loss minds losing most. Its prompt must have two tokens at least. */
export function promptPlanner(
  model: OptModel,
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

/** What the dejavu-style planner asks; a `DejavuStylePredictor` is one. */
export interface HeadOutputsPredictor {
  /** Its criterion is what it predicts. */
  readonly config?: { readonly criterion?: string }
  /**
   * @param last the heads' outputs of every layer at the last token: [L, D]
   * @param scaling `as-shipped` leaves them unscaled, see dejavu_style.ts
   */
  predict(last: Float32Array, scaling?: InputScaling): UnitScores
}

/**
 * Keeps what is predicted from every layer's own heads' outputs at the last prompt token of a dense pass. The released
 * code forgets to scale them unless units compete within their layer; under the released policy so does this.
 */
export function dejavuStylePlanner(
  model: OptModel,
  predictor: HeadOutputsPredictor,
  budget: Budget,
  topK: TopK = referenceTopK,
): RankingPlanner {
  const asShipped = budget.policy === 'released' && budget.scope !== 'per-layer'
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

/** The heads' outputs of every layer at the last token: [L, D]. */
export function lastHeadOutputs(trace: Trace): Float32Array {
  const { layers, width } = trace.model.config
  const outputs = new Float32Array(layers * width)
  for (let layer = 0; layer < layers; layer++)
    outputs.set(trace.headOut(layer).subarray((trace.length - 1) * width), layer * width)
  return outputs
}

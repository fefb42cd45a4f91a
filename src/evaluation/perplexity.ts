/**
 * Perplexity of continuations under a mask that only the prompt decides.
 *
 * Each window is two feeds of one sequence: the prompt, during which the planner is asked, then the continuation, every
 * token of which is scored. Perplexity is printed both ways: per token, exp(nll / tokens), which depends on the
 * tokeniser; and per word, exp(nll / words), over the whitespace-separated words the scored tokens spell, which does not.
 * Sums run over all windows before the exponential is taken, so every scored token counts the same.
 */
import type { UnitMask } from '../masks/mask.ts'
import type { MaskPlanner } from '../masks/planner.ts'
import type { MaskMode } from '../engine/active_block.ts'
import type { OptModel } from '../engine/opt_model.ts'
import { ratioOf } from '../results/ratio.ts'
import type { Window } from '../data/windows.ts'

/** What one window costs. */
export interface WindowScore {
  /** Negative log-likelihood of the continuation, in nats. */
  readonly nll: number
  readonly tokens: number
  readonly words: number
  /** The mask the continuation ran under; null is dense. */
  readonly mask: UnitMask | null
}

/** How a window runs. */
export interface ScoreOptions {
  /** Who decides during the prompt; without one nothing is skipped. */
  readonly planner?: MaskPlanner | null
  /** A mask known beforehand, in place of a planner. */
  readonly mask?: UnitMask | null
  /** `skip` leaves the work out (default), `simulate` multiplies by the mask. */
  readonly mode?: MaskMode
}

/** What of a window is needed to score it. */
export type ScoredText = Pick<Window, 'tokens' | 'promptLength' | 'words'>

/** Scores the continuation of one window. Its last token is scored and never fed: there may be one more than positions. */
export function scoreWindow(model: OptModel, window: ScoredText, options: ScoreOptions = {}): WindowScore {
  const { tokens, promptLength, words } = window
  const last = tokens.length - 1
  const sequence = model.begin({ ...options, capacity: last })
  try {
    const first = sequence.feed(tokens.slice(0, promptLength), 'last')
    let nll = scoreLogits(model, first, tokens[promptLength])
    if (promptLength < last) {
      const rest = sequence.score(tokens.slice(promptLength, last), tokens.slice(promptLength + 1))
      nll = rest.reduce((total, value) => total + value, nll)
    }
    return { nll, tokens: tokens.length - promptLength, words, mask: sequence.mask }
  } finally {
    sequence.dispose()
  }
}

/** Negative log-likelihood of one token under logits [V]. */
function scoreLogits(model: OptModel, logits: Float32Array, token: number): number {
  const { backend } = model
  const buffers = [
    backend.allocate('f32', [1]),
    backend.upload(logits, [1, logits.length]),
    backend.upload(Int32Array.of(token)),
  ]
  const [nll, row, label] = buffers
  try {
    backend.ops.cross_entropy(nll, row, label)
    return backend.readF32(nll)[0]
  } finally {
    for (const buffer of buffers) backend.free(buffer)
  }
}

/** What a comparison looks at. */
type Cost = Pick<WindowScore, 'nll' | 'tokens'>

/** A difference in nats per token, and how far chance moves it. */
export interface Difference {
  readonly nats: number
  /** Standard error over windows; NaN for fewer than two. */
  readonly error: number
}

/**
 * How much more `first` costs than `second` per token, both scored on the same windows in the same order. What the
 * windows have in common cancels, so small differences can be told; the error is that of a ratio of sums.
 */
export function compareScores(first: readonly Cost[], second: readonly Cost[]): Difference {
  const { value, error } = ratioOf(
    first.map((score, i) => score.nll - second[i].nll),
    first.map((score) => score.tokens),
  )
  return { nats: value, error }
}

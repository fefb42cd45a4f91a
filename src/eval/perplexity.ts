/**
 * Perplexity of continuations under a mask that only the prompt decides.
 *
 * Each window is two feeds of one sequence: the prompt, during which the planner is asked, then the continuation, every
 * token of which is scored. Perplexity is printed both ways: per token, exp(nll / tokens), which depends on the
 * tokeniser; and per word, exp(nll / words), over the whitespace-separated words the scored tokens spell, which does not.
 * Sums run over all windows before the exponential is taken, so every scored token counts the same.
 */
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import type { UnitMask } from '../masks/mask.ts'
import type { MaskPlanner } from '../masks/planner.ts'
import type { OptModel } from '../model/opt/opt_model.ts'
import type { Window } from './windows.ts'

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
  /** `skip` leaves the work out (default), `simulate` multiplies by the mask. */
  readonly mode?: 'skip' | 'simulate'
}

/** Scores the continuation of one window. */
export function scoreWindow(model: OptModel, window: Window, options: ScoreOptions = {}): WindowScore {
  const { tokens, promptLength, words } = window
  const sequence = model.begin({ ...options, capacity: tokens.length })
  try {
    const first = scoreLogits(
      model,
      sequence.feed(tokens.slice(0, promptLength), 'last'),
      tokens[promptLength],
    )
    const continuation = tokens.slice(promptLength)
    const targets = new Int32Array(continuation.length).fill(NOT_SCORED)
    targets.set(continuation.subarray(1))
    const rest = sequence.score(continuation, targets)
    const nll = rest.reduce((total, value) => total + value, first)
    return { nll, tokens: continuation.length, words, mask: sequence.mask }
  } finally {
    sequence.dispose()
  }
}

/** Negative log-likelihood of one token under logits [V]. */
function scoreLogits(model: OptModel, logits: Float32Array, token: number): number {
  const { backend } = model
  const buffers = [backend.allocate('f32', 1), backend.upload(logits), backend.upload(Int32Array.of(token))]
  const [nll, row, label] = buffers
  try {
    backend.ops.cross_entropy(nll, row, label, 1, logits.length)
    return backend.readF32(nll)[0]
  } finally {
    for (const buffer of buffers) backend.free(buffer)
  }
}

/** Windows added up. */
export class PerplexitySum {
  windows = 0
  nll = 0
  tokens = 0
  words = 0

  add(score: WindowScore): void {
    this.windows++
    this.nll += score.nll
    this.tokens += score.tokens
    this.words += score.words
  }

  /** NaN before anything was added. */
  get tokenPerplexity(): number {
    return Math.exp(this.nll / this.tokens)
  }

  /** NaN before anything was added. */
  get wordPerplexity(): number {
    return Math.exp(this.nll / this.words)
  }
}

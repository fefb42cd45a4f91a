/**
 * The end of a text under a mask, row by row of logits beside the dense ones: what each costs, how far they are apart.
 *
 * All sums are float64 over the model's float32 logits.
 */
import type { UnitMask } from '../masks/mask.ts'
import type { MaskPlanner } from '../masks/planner.ts'
import type { OptModel } from '../engine/opt_model.ts'
import type { MaskMode } from '../engine/active_block.ts'
import type { CacheStorage } from '../engine/layer_cache.ts'
import { leakyMask } from '../predictor/leaky.ts'

/** Logits of the scored end of a text. */
export interface Span {
  /** Row i scores token `start + i`: [N, V]. */
  readonly logits: Float32Array
  readonly start: number
  /** What they were computed under; null is dense. */
  readonly mask: UnitMask | null
}

/** How a text is read. */
export interface SpanOptions {
  /** The first token that is scored, at least 1. */
  readonly start: number
  /** How many tokens a planner sees, at most `start`; default all before `start`. */
  readonly prompt?: number
  /** Null is dense. A leaky one sees all that is fed. */
  readonly planner?: MaskPlanner | null
  readonly mode?: MaskMode
  /** What keys and values are stored as; default `int8` where weights are, else `f32`. */
  readonly cache?: CacheStorage
}

/**
 * Reads a text; its last token is scored and not fed.
 * @param tokens [T]
 */
export function readSpan(model: OptModel, tokens: Int32Array, options: SpanOptions): Span {
  const { start, prompt = start, planner = null, mode, cache } = options
  const { vocabulary: V } = model.config
  const fed = tokens.subarray(0, -1)
  const plan = planner?.leaky ? { mask: leakyMask(model, planner, fed.slice()) } : { planner }
  const sequence = model.begin({ ...plan, mode, cache, capacity: fed.length })
  try {
    const logits = new Float32Array((tokens.length - start) * V)
    if (prompt < start) sequence.feed(fed.slice(0, prompt), 'none')
    logits.set(sequence.feed(fed.slice(prompt < start ? prompt : 0, start), 'last'))
    if (start < fed.length) logits.set(sequence.feed(fed.slice(start), 'all'), V)
    return { logits, start, mask: sequence.mask }
  } finally {
    sequence.dispose()
  }
}

/** One row of logits, summed up. */
interface RowSum {
  /** log of the sum of exp. */
  readonly logSum: number
  /** The likeliest token, the first of equals. */
  readonly best: number
}

function sumRow(logits: Float32Array, at: number, V: number): RowSum {
  let best = 0
  for (let v = 1; v < V; v++) if (logits[at + v] > logits[at + best]) best = v
  const most = logits[at + best]
  let sum = 0
  for (let v = 0; v < V; v++) sum += Math.exp(logits[at + v] - most)
  return { logSum: most + Math.log(sum), best }
}

/** The dense rows of a text, which others are compared with. */
export class DenseSpan {
  readonly span: Span
  readonly #tokens: Int32Array
  readonly #rows: RowSum[] = []
  readonly #vocabulary: number

  /** @param tokens the text, [T] */
  constructor(span: Span, tokens: Int32Array, vocabulary: number) {
    this.span = span
    this.#tokens = tokens
    this.#vocabulary = vocabulary
    for (let at = 0; at < span.logits.length; at += vocabulary)
      this.#rows.push(sumRow(span.logits, at, vocabulary))
  }

  /** What the dense model makes of the tokens from `start` on. */
  scoreFrom(start: number): SpanScore {
    let nll = 0
    for (let t = start; t < this.#tokens.length; t++) {
      const row = t - this.span.start
      nll += this.#rows[row].logSum - this.span.logits[row * this.#vocabulary + this.#tokens[t]]
    }
    const tokens = this.#tokens.length - start
    return { nll, tokens, kl: 0, agreed: tokens, firstDifference: null }
  }

  /** What other logits make of the tokens they are of. */
  compare({ logits, start }: Span): SpanScore {
    const V = this.#vocabulary
    let nll = 0
    let kl = 0
    let agreed = 0
    let firstDifference: number | null = null
    for (let t = start; t < this.#tokens.length; t++) {
      const at = (t - start) * V
      const denseAt = (t - this.span.start) * V
      const dense = this.#rows[t - this.span.start]
      const { logSum, best } = sumRow(logits, at, V)
      nll += logSum - logits[at + this.#tokens[t]]
      kl += divergence(this.span.logits, denseAt, dense.logSum, logits, at, logSum, V)
      if (best === dense.best) agreed++
      else firstDifference ??= t - start
    }
    return { nll, tokens: this.#tokens.length - start, kl, agreed, firstDifference }
  }
}

/** The sum over tokens of p (log p - log q). */
function divergence(
  p: Float32Array,
  pAt: number,
  pLogSum: number,
  q: Float32Array,
  qAt: number,
  qLogSum: number,
  V: number,
): number {
  let sum = 0
  for (let v = 0; v < V; v++) {
    const logP = p[pAt + v] - pLogSum
    sum += Math.exp(logP) * (logP - (q[qAt + v] - qLogSum))
  }
  return sum
}

/** KL(dense || other) of the logits of one position, in nats; both [V]. */
export function logitsDivergence(dense: Float32Array, other: Float32Array): number {
  const V = dense.length
  return divergence(dense, 0, sumRow(dense, 0, V).logSum, other, 0, sumRow(other, 0, V).logSum, V)
}

/** What one text costs, beside dense. */
export interface SpanScore {
  /** Negative log-likelihood of the scored tokens, in nats. */
  readonly nll: number
  readonly tokens: number
  /** KL(dense || this) summed over them, in nats. */
  readonly kl: number
  /** At how many of them the likeliest token is the dense one. */
  readonly agreed: number
  /** Which scored token is the first where it is not; null if none is. */
  readonly firstDifference: number | null
}

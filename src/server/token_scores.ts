/**
 * Log-probabilities of tokens, for `logprobs`: of the token that follows, and of the likeliest ones.
 *
 * Every number is the negated result of the backend's own `cross_entropy` on the same row of logits. So a token has the bits that
 * scoring it has in the library, and a token that is the likeliest has exactly the largest number among the likeliest, by
 * which a client tells greedy continuations. They are of the model's own distribution, whatever temperature draws tokens.
 */
import { BufferScope } from '../backends/buffer_scope.ts'
import { expectFinite } from '../engine/finite_logits.ts'
import type { LanguageModel } from '../engine/language_model.ts'

/** One of the likeliest tokens, in nats. */
export interface LikelyToken {
  readonly token: number
  readonly logprob: number
}

/** A token, and what was expected in its place. */
export interface TokenScore {
  readonly token: number
  /** Null for the first token of a text, which nothing comes before. */
  readonly logprob: number | null
  /** The likeliest first, of equals the lower id; the token itself is added at the end if it is not among them. */
  readonly top: readonly LikelyToken[] | null
}

/** The first token of a text: nothing predicts it. */
export function unscored(token: number): TokenScore {
  return { token, logprob: null, top: null }
}

/**
 * Scores the tokens that follow.
 * @param logits [T, V]
 * @param tokens [T], each the one that follows its row
 * @param count of the likeliest tokens
 * @throws InputError LOGITS_NOT_FINITE
 */
export function scoreTokens(
  model: LanguageModel,
  logits: Float32Array,
  tokens: ArrayLike<number>,
  count: number,
): TokenScore[] {
  const T = tokens.length
  const V = logits.length / T
  const likeliest = Array.from({ length: T }, (_, t) => highest(logits.subarray(t * V, (t + 1) * V), count))
  const columns = Array.from({ length: Math.min(count, V) }, (_, i) => likeliest.map((ids) => ids[i]))
  const [own, ...others] = logProbabilities(model, logits, [Array.from(tokens), ...columns], V)
  return likeliest.map((ids, t) => {
    const token = tokens[t]
    const top = ids.map((id, i) => ({ token: id, logprob: others[i][t] }))
    const isAmong = count === 0 || ids.includes(token)
    return { token, logprob: own[t], top: isAmong ? top : [...top, { token, logprob: own[t] }] }
  })
}

/** Log-probabilities of one token of each row, for each list of tokens: each [T]. */
function logProbabilities(
  { backend }: LanguageModel,
  logits: Float32Array,
  lists: readonly (readonly number[])[],
  V: number,
): Float32Array[] {
  const T = logits.length / V
  return BufferScope.within(backend, (scope) => {
    const rows = scope.upload(logits, [T, V])
    const nll = scope.allocate('f32', [T])
    return lists.map((ids) => {
      const labels = scope.upload(Int32Array.from(ids))
      backend.ops.cross_entropy(nll, rows, labels)
      scope.free(labels)
      const costs = backend.readF32(nll)
      costs.forEach(expectFinite)
      return costs.map((value) => 0 - value)
    })
  })
}

/** The ids of the highest logits, highest first, of equals the lower id. Insertion into a short list: O(V) for one. */
function highest(logits: Float32Array, count: number): number[] {
  const ids: number[] = []
  if (count === 0) return ids
  for (let id = 0; id < logits.length; id++) {
    if (ids.length === count && !(logits[id] > logits[ids[count - 1]])) continue
    let at = ids.length === count ? count - 1 : ids.length
    while (at > 0 && logits[id] > logits[ids[at - 1]]) {
      ids[at] = ids[at - 1]
      at--
    }
    ids[at] = id
  }
  return ids
}

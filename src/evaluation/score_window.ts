/**
 * The one function that scores a text, for every measurement: it feeds a prompt, in which a planner decides a mask, then
 * scores every token after it under that mask.
 *
 * The tokens are two feeds of one sequence, or three where scoring begins after the prompt. Costs are negative
 * log-likelihoods in nats. Without dense logits they come from the backend's own cross entropy, in float32, and no logits
 * leave the backend. Beside dense logits they are float64 sums over logits that are read, and so are the distances from
 * dense.
 */
import type { UnitMask } from '../masks/mask.ts'
import type { MaskPlanner } from '../masks/planner.ts'
import { divergence, sumRow, type RowSum } from '../engine/divergence.ts'
import { expectFinite } from '../engine/finite_logits.ts'
import { modeOption } from '../engine/active_layer.ts'
import { withSequence, type LanguageModel } from '../engine/language_model.ts'
import { cacheOption } from '../engine/layer_cache.ts'
import type { Sequence, SequenceOptions } from '../engine/sequence.ts'
import { leakyMask } from '../planners/leaky.ts'
import { windowFields, type Window } from '../data/windows.ts'
import { isPlannerObject } from '../results/method.ts'
import { expectOption, kinds, orNull, recordOption } from '../tensor/option.ts'

/** The part of a window that scoring needs. */
export interface ScoredText extends Pick<Window, 'tokens' | 'promptLength' | 'words'> {
  /** The first token that is scored; default the first after the prompt. */
  readonly start?: number
}

/** How a window runs. */
export interface ScoreOptions extends Pick<SequenceOptions, 'mode' | 'cache'> {
  /** Decides during the prompt; without one nothing is skipped. A leaky one is shown all tokens that are fed. */
  readonly planner?: MaskPlanner | null
  /** The dense model's logits of the same tokens, to compare with. */
  readonly dense?: DenseLogits
}

/** The cost of some tokens. */
export interface Cost {
  /** Negative log-likelihood of the scored tokens, in nats. */
  readonly nll: number
  readonly tokens: number
  /** What they were cut from. Costs of one document resemble one another: errors are over documents, else over windows. */
  readonly document?: string
}

/** How far from dense the logits of some tokens are. */
export interface DenseDistance {
  /** KL(dense || this) summed over them, in nats. */
  readonly kl: number
  /** At how many of them the likeliest token is the dense one. */
  readonly agreed: number
  /** Which scored token is the first where it is not; null if none is. */
  readonly firstDifference: number | null
}

/** The cost of some tokens, compared with dense. */
export interface ComparedCost extends Cost, DenseDistance {}

/** The cost of one window; compared with dense if dense logits were given. */
export interface WindowScore extends Cost, Partial<DenseDistance> {
  /** How many words its scored tokens are. */
  readonly words: number
  /** The mask the last scored token ran under; null is dense. */
  readonly mask: UnitMask | null
  /** How many times a mask was decided; only if dense logits were given. */
  readonly decisions?: number
}

const windowOption = recordOption<ScoredText>('tokens, promptLength and words', {
  ...windowFields,
  start: kinds.number,
})
const scoreOption = recordOption<ScoreOptions>('options of scoreWindow', {
  planner: orNull({ words: 'a planner object', holds: isPlannerObject }),
  dense: kinds.object,
  mode: modeOption,
  cache: cacheOption,
})

/**
 * The loss of one window of text, dense or under a planner, and with `dense` its distance from the dense model: what `textPerplexity`
 * sums up, for a loop of your own. `compareScores` compares lists of them. The last token is scored and never fed: there may be one more
 * than positions.
 * @param window its tokens, and how many of them are the prompt
 * @param scored the planner, if one decides, and what its logits are compared with
 * @throws UsageError OPTION_TYPE for what is no model, window or option; InputError LOGITS_NOT_FINITE
 * @example
 * ```ts
 * import { makeBudget, randomPlanner, ShadowModel } from 'shadowllm'
 * import { compareScores, scoreWindow } from 'shadowllm/eval'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const { model } = opt
 * const tokens = Int32Array.from(opt.encode('Once upon a time, there was a little girl', { prefix: true }))
 * const window = { tokens, promptLength: 5, words: 9 }
 * const planner = randomPlanner(model.shape, makeBudget(0.5), 1)
 * const { nats } = compareScores([scoreWindow(model, window, { planner })], [scoreWindow(model, window)])
 * console.log(`${nats.toFixed(2)} nats a token more than the dense model`)
 * await opt.dispose()
 * ```
 */
export function scoreWindow(
  model: LanguageModel,
  window: ScoredText,
  scored: ScoreOptions = {},
): WindowScore {
  expectOption('model', model, kinds.model)
  expectOption('window', window, windowOption)
  expectOption('options', scored, scoreOption)
  const { dense, ...options } = scored
  const { words } = window
  if (dense) {
    const read = readLogits(model, window, options)
    return { ...dense.compare(read), words, mask: read.mask, decisions: read.decisions }
  }
  return withPrompt(model, window, options, (sequence, first, rest, start) => {
    const { tokens } = window
    let nll = scoreLogits(model, first, tokens[start])
    if (rest.length > 0)
      nll = sequence.score(rest, tokens.slice(start + 1)).reduce((total, value) => total + value, nll)
    return { nll, tokens: tokens.length - start, words, mask: sequence.mask }
  })
}

/**
 * Feeds a window up to its first scored token.
 * @param work is given the logits [V] of that token, and the tokens that are still to be fed
 */
function withPrompt<T>(
  model: LanguageModel,
  { tokens, promptLength, start = promptLength }: ScoredText,
  { planner = null, ...options }: Omit<ScoreOptions, 'dense'>,
  work: (sequence: Sequence, first: Float32Array, rest: Int32Array, start: number) => T,
): T {
  const fed = tokens.slice(0, -1)
  const plan = planner?.leaky
    ? { mask: leakyMask(model, planner, fed), compensation: planner.compensation }
    : { planner }
  return withSequence(model, { ...options, ...plan, capacity: fed.length }, (sequence) => {
    if (promptLength < start) sequence.feed(fed.slice(0, promptLength), 'none')
    const first = sequence.feed(fed.slice(promptLength < start ? promptLength : 0, start), 'last')
    return work(sequence, first, fed.slice(start), start)
  })
}

/** Negative log-likelihood of one token under logits [V]. */
function scoreLogits(model: LanguageModel, logits: Float32Array, token: number): number {
  const { backend } = model
  const buffers = [
    backend.allocate('f32', [1]),
    backend.upload(logits, [1, logits.length]),
    backend.upload(Int32Array.of(token)),
  ]
  const [nll, row, label] = buffers
  try {
    backend.ops.cross_entropy(nll, row, label)
    const [cost] = backend.readF32(nll)
    expectFinite(cost)
    return cost
  } finally {
    for (const buffer of buffers) backend.free(buffer)
  }
}

// ---- Beside dense logits ---------------------------------------------------------------------------------------------

/** Logits of the scored tokens of a text. */
export interface ScoredLogits {
  /** Row i scores token `start + i`: [N, V]. */
  readonly logits: Float32Array
  readonly start: number
  /** The mask the last of them were computed under; null is dense. */
  readonly mask: UnitMask | null
  /** How many times a mask was decided. */
  readonly decisions?: number
}

/** Reads the logits of a window's scored tokens. */
export function readLogits(
  model: LanguageModel,
  window: ScoredText,
  options: Omit<ScoreOptions, 'dense'> = {},
): ScoredLogits {
  const { vocabulary: V } = model.config
  return withPrompt(model, window, options, (sequence, first, rest, start) => {
    const logits = new Float32Array((rest.length + 1) * V)
    logits.set(first)
    if (rest.length > 0) logits.set(sequence.feed(rest, 'all'), V)
    return { logits, start, mask: sequence.mask, decisions: sequence.decisions }
  })
}

/** The dense logits of a text, which others are compared with. */
export class DenseLogits {
  readonly read: ScoredLogits
  readonly #tokens: Int32Array
  readonly #rows: RowSum[] = []
  readonly #vocabulary: number

  /** @param tokens the text, [T] */
  constructor(read: ScoredLogits, tokens: Int32Array, vocabulary: number) {
    this.read = read
    this.#tokens = tokens
    this.#vocabulary = vocabulary
    for (let at = 0; at < read.logits.length; at += vocabulary)
      this.#rows.push(sumRow(read.logits, at, vocabulary))
  }

  /** The cost of the tokens from `start` on in the dense model. @throws InputError LOGITS_NOT_FINITE */
  scoreFrom(start: number): ComparedCost {
    let nll = 0
    for (let t = start; t < this.#tokens.length; t++) {
      const row = t - this.read.start
      nll += this.#rows[row].logSum - this.read.logits[row * this.#vocabulary + this.#tokens[t]]
    }
    expectFinite(nll)
    const tokens = this.#tokens.length - start
    return { nll, tokens, kl: 0, agreed: tokens, firstDifference: null }
  }

  /** The cost of the tokens of other logits, compared with dense. @throws InputError LOGITS_NOT_FINITE */
  compare({ logits, start }: ScoredLogits): ComparedCost {
    const V = this.#vocabulary
    const tokens = logits.length / V
    let nll = 0
    let kl = 0
    let agreed = 0
    let firstDifference: number | null = null
    for (let t = start; t < start + tokens; t++) {
      const at = (t - start) * V
      const denseAt = (t - this.read.start) * V
      const dense = this.#rows[t - this.read.start]
      const { logSum, best } = sumRow(logits, at, V)
      nll += logSum - logits[at + this.#tokens[t]]
      kl += divergence(this.read.logits, denseAt, dense.logSum, logits, at, logSum, V)
      if (best === dense.best) agreed++
      else firstDifference ??= t - start
    }
    expectFinite(nll + kl)
    return { nll, tokens, kl, agreed, firstDifference }
  }
}

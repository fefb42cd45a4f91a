/**
 * From logits to the next token: greedy, or drawn at a temperature from the top-k, top-p and min-p tokens.
 *
 * Penalties and biases change the logits first, also for greedy texts, in this order: the repetition penalty divides or multiplies,
 * the frequency and presence penalties are subtracted, the bias is added. The temperature follows, then top-k, top-p and min-p.
 *
 * The order of tokens is total: higher logit first, then lower id; NaN ranks below everything. So greedy ties go to the
 * lower id, top-k keeps exactly k, and top-p keeps the shortest prefix whose probability reaches p. Probabilities use
 * this project's own `exp`: a seed draws the same tokens on every engine and backend.
 */
import { nthLargest } from '../masks/ranks.ts'
import { exp } from '../ops/float32.ts'
import {
  entriesOption,
  expectOption,
  numberOption,
  rangeOption,
  seedOption,
  wholeOption,
  type OptionRecord,
} from '../tensor/option.ts'
import { UsageError } from '../tensor/errors.ts'
import { Random } from '../tensor/random.ts'

const { fround } = Math

/**
 * Chooses a token from the logits [V] of the last position: one of `makeSampler`, or any function of your own. `generate`, `chat` and
 * `generateTokens` take it as `sampler`.
 * @example
 * ```ts
 * import { ShadowModel } from 'shadowllm'
 * import { argmax, type Sampler } from 'shadowllm/model'
 *
 * // The likeliest token that is not among the last eight.
 * const sampler: Sampler = (logits, before = []) => {
 *   const changed = logits.slice()
 *   for (const id of before.slice(-8)) changed[id] = -Infinity
 *   return argmax(changed)
 * }
 * const opt = await ShadowModel.fromPretrained()
 * for await (const { text } of opt.generate('Once upon a time', { maxTokens: 12, sampler })) console.log(text)
 * await opt.dispose()
 * ```
 */
export interface Sampler {
  /**
   * @param before the prompt and the tokens that follow it so far
   * @param prompt how many of them are the prompt; default all
   */
  (logits: Float32Array, before?: readonly number[], prompt?: number): number
  /** A sampler that draws the random numbers which this one is yet to draw; without it a sampler draws none. */
  readonly fork?: () => Sampler
  /** The stream that it draws from, if it draws. */
  readonly random?: Random
}

/** How a token is chosen. */
export interface SamplerOptions {
  /** 0 is greedy, and the default; 1 draws from the model's own distribution. */
  readonly temperature?: number
  /** Draw among this many tokens only; default all. It needs a temperature, as `topP` and `minP` do. */
  readonly topK?: number
  /** Draw among the likeliest tokens that hold this share of the probability together; 0 keeps one, 1 all. Default 1. */
  readonly topP?: number
  /**
   * By how much tokens of the prompt and of the text so far are made less likely: their logits are divided by it, those below 0
   * multiplied (CTRL, arXiv 1909.05858, section 4.1, in the form of Hugging Face). Default 1: not at all.
   */
  readonly repetitionPenalty?: number
  /**
   * Draw among the tokens that are at least so many times as likely as the likeliest one, from 0 to 1 (arXiv 2407.01082); default 0:
   * all that top-k and top-p leave.
   */
  readonly minP?: number
  /** Subtracted from the logit of each token that the text after the prompt has, from -2 to 2, as in the OpenAI API; default 0. */
  readonly presencePenalty?: number
  /** Subtracted once for each time that the text after the prompt has the token, from -2 to 2, as in the OpenAI API; default 0. */
  readonly frequencyPenalty?: number
  /** Added to the logits of tokens: numbers from -100 to 100 by id. */
  readonly logitBias?: LogitBias
  /** Default 0. */
  readonly seed?: number
}

/** Numbers that are added to logits, by id. */
export type LogitBias = Readonly<Record<string, number>>

/** How many ids may have a bias. */
const MAX_BIASES = 1024

const isBias = ([id, bias]: [string, unknown]): boolean =>
  /^(0|[1-9]\d{0,9})$/.test(id) && typeof bias === 'number' && Math.abs(bias) <= 100

/** What each of them takes. */
export const samplingOptions: {
  readonly [Name in keyof SamplerOptions]-?: OptionRecord<NonNullable<SamplerOptions[Name]>>
} = {
  temperature: rangeOption('TEMPERATURE', 0),
  topK: wholeOption('TOP_K', 1),
  topP: rangeOption('TOP_P', 0, 1),
  repetitionPenalty: numberOption(
    'REPETITION_PENALTY',
    'a number above 0',
    (value) => value > 0 && value < Infinity,
  ),
  minP: rangeOption('MIN_P', 0, 1),
  presencePenalty: rangeOption('PRESENCE_PENALTY', -2, 2),
  frequencyPenalty: rangeOption('FREQUENCY_PENALTY', -2, 2),
  logitBias: entriesOption(
    'LOGIT_BIAS',
    `an object of up to ${MAX_BIASES} ids, each with a number from -100 to 100`,
    MAX_BIASES,
    isBias,
  ),
  seed: seedOption,
}

/** Their names. */
export const samplingNames = Object.keys(samplingOptions) as readonly (keyof SamplerOptions)[]

/** Options of how a token is drawn, which a greedy text does not read. */
export const drawingOptions = ['topK', 'topP', 'minP'] as const satisfies readonly (keyof SamplerOptions)[]

/**
 * Refuses such an option where no temperature is given, so that none is drawn. At temperature 0, which is greedy by name, they are taken.
 * @throws UsageError TOP_K, TOP_P, MIN_P
 */
export function expectTemperature(options: SamplerOptions): void {
  const name = drawingOptions.find((option) => options[option] !== undefined)
  if (name === undefined || options.temperature !== undefined) return
  throw new UsageError(
    samplingOptions[name].code,
    `${name}: expected a temperature beside it, because without one the likeliest token is taken, got none`,
    { option: name },
  )
}

/**
 * How tokens are chosen where some options are left open: as the model has them. A greedy text has nothing of the model's options.
 * @param asked what is not left open
 * @param own the model's options
 * @param temperature where neither has one
 */
export function fillSampling<Asked extends SamplerOptions>(
  asked: Asked,
  own: SamplerOptions,
  temperature: number,
): Asked & { readonly temperature: number } {
  const given = Object.fromEntries(
    Object.entries(asked).filter(([, value]) => value !== undefined && value !== null),
  ) as unknown as Asked
  const filled = { temperature, ...own, ...given }
  return filled.temperature === 0 ? { ...given, temperature: 0 } : filled
}

/**
 * Makes what chooses a token from logits, with a random stream of its own: `generate`, `chat` and `generateTokens` take it as `sampler`. Without options it
 * takes the likeliest, as `argmax` does.
 * @throws UsageError TEMPERATURE, TOP_K, TOP_P, MIN_P, REPETITION_PENALTY, PRESENCE_PENALTY, FREQUENCY_PENALTY, LOGIT_BIAS, SEED for
 *   what `samplingOptions` do not take, and as `expectTemperature`; the sampler throws LOGIT_BIAS for an id that the vocabulary does not have
 */
export function makeSampler(options: SamplerOptions = {}): Sampler {
  for (const [name, option] of Object.entries(samplingOptions)) {
    const value = options[name as keyof SamplerOptions]
    if (value !== undefined) expectOption(name, value, option)
  }
  expectTemperature(options)
  const { temperature = 0, seed = 0 } = options
  const kept = { topK: options.topK ?? Infinity, topP: options.topP ?? 1, minP: options.minP ?? 0 }
  const change = changeOf(options)
  const penalised = (choose: (logits: Float32Array) => number): Sampler =>
    change === null
      ? choose
      : (logits, before = [], prompt = before.length) => choose(change(logits, before, prompt))
  if (temperature === 0) return penalised(argmax)
  const drawing = (random: Random): Sampler =>
    Object.assign(
      penalised((logits) => draw(logits, temperature, kept, random)),
      { fork: () => drawing(random.copy()), random },
    )
  return drawing(new Random(seed))
}

/** Logits [V] after the penalties and the bias, of which each is rounded to float32 once. */
type Change = (logits: Float32Array, before: readonly number[], prompt: number) => Float32Array

/** The change of the logits by penalties and biases; null for none. */
function changeOf(options: SamplerOptions): Change | null {
  const {
    repetitionPenalty: penalty = 1,
    presencePenalty: presence = 0,
    frequencyPenalty: frequency = 0,
  } = options
  const biases = Object.entries(options.logitBias ?? {}).map(([id, bias]) => [Number(id), bias] as const)
  if (penalty === 1 && presence === 0 && frequency === 0 && biases.length === 0) return null
  return (logits, before, prompt) => {
    const changed = logits.slice()
    if (penalty !== 1)
      for (const id of before) changed[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty
    if (presence !== 0 || frequency !== 0) {
      const counts = new Map<number, number>()
      for (const id of before.slice(prompt)) counts.set(id, (counts.get(id) ?? 0) + 1)
      for (const [id, count] of counts) changed[id] -= presence + frequency * count
    }
    for (const [id, bias] of biases) {
      if (id >= logits.length)
        throw new UsageError(
          'LOGIT_BIAS',
          `logitBias: expected ids from 0 to ${logits.length - 1}, got ${id}`,
          { option: 'logitBias' },
        )
      changed[id] += bias
    }
    return changed
  }
}

/**
 * The token of the highest logit; ties go to the lower id, and NaN is below -Infinity.
 * @param logits [V]
 */
export function argmax(logits: Float32Array): number {
  let best = 0
  let most = logits[0]
  for (let id = 1; id < logits.length; id++) {
    const logit = logits[id]
    // Nearly all of them end here.
    if (logit <= most) continue
    if (logit > most || (Number.isNaN(most) && !Number.isNaN(logit))) {
      best = id
      most = logit
    }
  }
  return best
}

function rank(logit: number): number {
  return logit === logit ? logit : -Infinity
}

/** Which tokens may be drawn. */
type Kept = Readonly<Required<Pick<SamplerOptions, 'topK' | 'topP' | 'minP'>>>

function draw(logits: Float32Array, temperature: number, { topK, topP, minP }: Kept, random: Random): number {
  const likeliest = argmax(logits)
  const most = rank(logits[likeliest])
  if (!Number.isFinite(most)) return likeliest
  const all = new Int32Array(logits.length)
  for (let id = 0; id < all.length; id++) all[id] = id
  const best = topK < all.length ? keepHighest(all, logits, topK) : all
  const weights = new Float32Array(logits.length) // [V], of those in `best`. The likeliest token has the weight 1.
  for (const id of best) weights[id] = exp(fround(fround(rank(logits[id]) - most) / temperature))
  const nucleus = topP < 1 ? keepNucleus(best, logits, weights, topP) : best
  const kept = minP > 0 ? nucleus.filter((id) => weights[id] >= minP) : nucleus
  let total = 0
  for (const id of kept) total += weights[id]
  let left = random.uniform() * total
  for (const id of kept) {
    left -= weights[id]
    if (left < 0) return id
  }
  return kept.findLast((id) => weights[id] > 0) as number
}

/** Unlike a difference, it also compares two infinities. */
function compare(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1
}

/** Sorts ids by logit, highest first, then by id. */
function sortByLogit(ids: Int32Array, logits: Float32Array): Int32Array {
  return ids.sort((a, b) => compare(rank(logits[b]), rank(logits[a])) || a - b)
}

/** The `count` highest, best first. */
function keepHighest(ids: Int32Array, logits: Float32Array, count: number): Int32Array {
  const values = new Float32Array(ids.length)
  for (let i = 0; i < ids.length; i++) values[i] = rank(logits[ids[i]])
  const threshold = nthLargest(values, count)
  return sortByLogit(
    ids.filter((id) => rank(logits[id]) >= threshold),
    logits,
  ).subarray(0, count)
}

/** How many ids a nucleus is first looked for in, and how many times as many next. */
const FEW = 64
const MORE = 16

/** The shortest best-first prefix, of one id at least, that holds `share` of the weight. */
function keepNucleus(
  ids: Int32Array,
  logits: Float32Array,
  weights: Float32Array,
  share: number,
): Int32Array {
  let total = 0
  for (const id of ids) total += weights[id]
  for (let most = FEW; ; most *= MORE) {
    const likely = keepHighest(ids, logits, Math.min(most, ids.length))
    let reached = 0
    let count = 0
    do reached += weights[likely[count++]]
    while (count < likely.length && reached < share * total)
    if (reached >= share * total || likely.length === ids.length) return likely.subarray(0, count)
  }
}

/**
 * From logits to the next token: greedy, or drawn at a temperature from the top-k and top-p tokens.
 *
 * The order of tokens is total: higher logit first, then lower id; NaN ranks below everything. So greedy ties go to the
 * lower id, top-k keeps exactly k, and top-p keeps the shortest prefix whose probability reaches p. Probabilities use
 * this project's own `exp`: a seed draws the same tokens on every engine and backend.
 */
import { exp } from '../ops/float32.ts'
import {
  expectOption,
  numberOption,
  rangeOption,
  seedOption,
  wholeOption,
  type OptionRecord,
} from '../tensor/option.ts'
import { Random } from '../tensor/random.ts'

const { fround } = Math

/** Chooses a token from the logits [V] of the last position. */
export interface Sampler {
  /** @param before the prompt and the tokens that follow it so far */
  (logits: Float32Array, before?: readonly number[]): number
  /** A sampler that draws the random numbers which this one is yet to draw; without it a sampler draws none. */
  readonly fork?: () => Sampler
  /** The stream that it draws from, if it draws. */
  readonly random?: Random
}

/** How a token is chosen. */
export interface SamplerOptions {
  /** 0 is greedy, and the default; 1 draws from the model's own distribution. */
  readonly temperature?: number
  /** Draw among this many tokens only; default all. */
  readonly topK?: number
  /** Draw among the likeliest tokens that hold this share of the probability together; default 1. */
  readonly topP?: number
  /**
   * By how much tokens of the prompt and of the text so far are made less likely: their logits are divided by it, those below 0
   * multiplied (CTRL, arXiv 1909.05858, section 4.1, in the form of Hugging Face). Default 1: not at all.
   */
  readonly repetitionPenalty?: number
  /** Default 0. */
  readonly seed?: number
}

/** What each of them takes. */
export const samplingOptions: Readonly<Record<keyof SamplerOptions, OptionRecord>> = {
  temperature: rangeOption('TEMPERATURE', 0),
  topK: wholeOption('TOP_K', 1),
  topP: numberOption('TOP_P', 'a share above 0, up to 1', (value) => value > 0 && value <= 1),
  repetitionPenalty: numberOption(
    'REPETITION_PENALTY',
    'a number above 0',
    (value) => value > 0 && value < Infinity,
  ),
  seed: seedOption,
}

/**
 * Makes a sampler with a random stream of its own.
 * @throws UsageError TEMPERATURE, TOP_K, TOP_P, REPETITION_PENALTY, SEED for what `samplingOptions` do not take
 */
export function makeSampler(options: SamplerOptions = {}): Sampler {
  for (const [name, option] of Object.entries(samplingOptions)) {
    const value = options[name as keyof SamplerOptions]
    if (value !== undefined) expectOption(name, value, option)
  }
  const { temperature = 0, topK = Infinity, topP = 1, repetitionPenalty: penalty = 1, seed = 0 } = options
  const penalised = (choose: (logits: Float32Array) => number): Sampler =>
    penalty === 1 ? choose : (logits, before = []) => choose(penalise(logits, before, penalty))
  if (temperature === 0) return penalised(argmax)
  const drawing = (random: Random): Sampler =>
    Object.assign(
      penalised((logits) => draw(logits, temperature, topK, topP, random)),
      { fork: () => drawing(random.copy()), random },
    )
  return drawing(new Random(seed))
}

/** The logits with those of earlier tokens moved down. */
function penalise(logits: Float32Array, before: readonly number[], penalty: number): Float32Array {
  const penalised = logits.slice()
  for (const id of before) penalised[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty
  return penalised
}

/** The token of the highest logit; ties go to the lower id, and NaN is below -Infinity. */
export function argmax(logits: Float32Array): number {
  let best = 0
  for (let id = 1; id < logits.length; id++)
    if (logits[id] > logits[best] || (Number.isNaN(logits[best]) && !Number.isNaN(logits[id]))) best = id
  return best
}

function rank(logit: number): number {
  return logit === logit ? logit : -Infinity
}

function draw(logits: Float32Array, temperature: number, topK: number, topP: number, random: Random): number {
  const most = rank(logits[argmax(logits)])
  if (!Number.isFinite(most)) return argmax(logits)
  const weights = Float32Array.from(logits, (logit) => exp(fround(fround(rank(logit) - most) / temperature))) // [V]
  const kept = keepTop(logits, weights, topK, topP)
  let total = 0
  for (const id of kept) total += weights[id]
  let left = random.uniform() * total
  for (const id of kept) {
    left -= weights[id]
    if (left < 0) return id
  }
  return kept.findLast((id) => weights[id] > 0) as number
}

/** The ids that may be drawn, best first wherever some are left out. */
function keepTop(logits: Float32Array, weights: Float32Array, topK: number, topP: number): Int32Array {
  const ids = Int32Array.from(logits.keys())
  if (topK >= ids.length && topP === 1) return ids
  const best = topK < ids.length ? keepHighest(ids, logits, topK) : ids
  return topP < 1 ? keepNucleus(best, logits, weights, topP) : best
}

/** Unlike a difference, it also compares two infinities. */
function compare(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1
}

/** Sorts ids by logit, highest first, then by id. */
function sortByLogit(ids: Int32Array, logits: Float32Array): Int32Array {
  return ids.sort((a, b) => compare(rank(logits[b]), rank(logits[a])) || a - b)
}

/** The `count` highest. Sorting the logits as plain numbers first leaves few ids to compare. */
function keepHighest(ids: Int32Array, logits: Float32Array, count: number): Int32Array {
  const threshold = logits.map(rank).sort()[logits.length - count]
  return sortByLogit(
    ids.filter((id) => rank(logits[id]) >= threshold),
    logits,
  ).subarray(0, count)
}

/** The shortest best-first prefix that holds `share` of the weight. */
function keepNucleus(
  ids: Int32Array,
  logits: Float32Array,
  weights: Float32Array,
  share: number,
): Int32Array {
  let total = 0
  for (const id of ids) total += weights[id]
  // All ids under this weight together hold less than what may be left out: they need no sorting.
  const least = ((1 - share) * total) / ids.length
  const likely = sortByLogit(
    ids.filter((id) => weights[id] >= least),
    logits,
  )
  let reached = 0
  let count = 0
  while (count < likely.length && reached < share * total) reached += weights[likely[count++]]
  return likely.subarray(0, count)
}

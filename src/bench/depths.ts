/**
 * How the speed of the dense model depends on the length of its text: a prompt of each length is read at once, then a few tokens are
 * decoded after it, one by one. Short texts come first, and a length whose prompt would take longer than the time that is left is
 * left out, with all that are longer.
 */
import type { CacheStorage } from '../engine/layer_cache.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { now } from '../platform/platform.ts'
import { pause } from '../platform/pause.ts'
import { median } from '../results/interleaved_rounds.ts'
import { randomIds } from './job.ts'
import type { BenchRow } from './rows.ts'

/** Lengths of texts. At 0 tokens are decoded after the one that a text needs to begin with. */
export const depths = [0, 128, 512, 1024, 2048, 4096, 8000] as const

/** Tokens decoded at each. */
const DECODED = 8

/** The speed at one length. */
export interface DepthRow extends Pick<BenchRow, 'model' | 'storage' | 'threadsAsked'> {
  readonly length: number
  /** Of the prompt, in tokens per second; null for none. */
  readonly prompt: number | null
  /** The median of a few tokens, in tokens per second. */
  readonly decode: number
}

/** What was measured, and what was left out for lack of time. */
export interface Depths {
  readonly rows: readonly DepthRow[]
  readonly leftOut: readonly number[]
}

/** What is measured, and within how many milliseconds. */
export interface DepthOptions {
  readonly cache?: CacheStorage
  readonly seed: number
  readonly milliseconds: number
  readonly onLength: (length: number) => void
  readonly signal?: AbortSignal
}

/** The part of a row that a model gives. */
export type Measurement = Pick<DepthRow, 'length' | 'prompt' | 'decode'>

/**
 * Measures a model at each length that fits its context, from the shortest to the longest, and yields what was found; returns the
 * lengths that were left out. @throws the signal's reason if it is aborted
 */
export async function* measureDepths(
  model: LanguageModel,
  { cache, seed, milliseconds, onLength, signal }: DepthOptions,
): AsyncGenerator<Measurement, number[], void> {
  const { positions, vocabulary } = model.config
  const fitting = depths.filter((length) => Math.max(length, 1) + DECODED <= positions)
  const end = now() + milliseconds
  /** Of a token of a prompt, at the length before. */
  let tokenTime = 0
  for (const [i, length] of fitting.entries()) {
    if (now() + length * tokenTime > end) return fitting.slice(i)
    onLength(length)
    await pause(signal)
    const ids = randomIds(Math.max(length, 1), vocabulary, seed)
    const sequence = model.begin({ cache, capacity: ids.length + DECODED })
    try {
      const start = now()
      sequence.feed(ids, 'last')
      const time = now() - start
      if (length > 0) tokenTime = time / length
      const times: number[] = []
      for (let n = 0; n < DECODED; n++) {
        signal?.throwIfAborted()
        const before = now()
        sequence.feed(ids.subarray(0, 1), 'last')
        times.push(now() - before)
      }
      yield { length, prompt: length > 0 ? (1000 * length) / time : null, decode: 1000 / median(times) }
    } finally {
      sequence.dispose()
    }
  }
  return []
}

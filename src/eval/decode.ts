/**
 * How fast text comes out: greedy decoding, one token at a time, units really skipped.
 *
 * Tokens per second are N generated tokens over the time of their N steps plus whatever the planner and the packing of
 * what it keeps took. The prompt's own pass, which every arm pays, is left out. Arms take turns, so that a machine that slows down slows down for all;
 * an arm's figure is the median of its turns. Only figures of one run can be compared.
 */
import type { MaskPlanner } from '../masks/planner.ts'
import type { OptModel } from '../model/opt/opt_model.ts'
import { argmax } from '../model/opt/sampling.ts'
import { now } from '../platform/platform.ts'
import { pause } from '../train/pause.ts'

/** How much is decoded. */
export interface DecodeSizes {
  /** Tokens of the prompt. */
  readonly prompt: number
  /** Tokens generated after it. */
  readonly tokens: number
  /** Turns of each arm. */
  readonly rounds: number
}

/** A planner under the clock; null is dense. */
export type DecodeArm = MaskPlanner | null

/** One turn of one arm, in tokens per second. @param prompt at least one token */
export function decodeOnce(model: OptModel, prompt: Int32Array, tokens: number, arm: DecodeArm): number {
  let planning = 0
  const planner = arm && timed(arm, (milliseconds) => (planning += milliseconds))
  const sequence = model.begin({ planner, capacity: prompt.length + tokens, expectedTokens: tokens })
  try {
    let token = argmax(sequence.feed(prompt, 'last'))
    // A planner that is asked again is on the clock of the steps anyway.
    const planned = planning + sequence.preparing
    const start = now()
    for (let n = 0; n < tokens; n++) token = argmax(sequence.feed(Int32Array.of(token), 'last'))
    return (1000 * tokens) / (now() - start + planned)
  } finally {
    sequence.dispose()
  }
}

/** The same planner, its time reported. */
function timed(planner: MaskPlanner, report: (milliseconds: number) => void): MaskPlanner {
  const onClock = <Result>(work: () => Result): Result => {
    const start = now()
    const result = work()
    report(now() - start)
    return result
  }
  const { name, placement, every } = planner
  const { afterAttention, beforeLayer } = planner
  return {
    name,
    placement,
    every,
    ...(afterAttention && { afterAttention: (view) => onClock(() => afterAttention.call(planner, view)) }),
    ...(beforeLayer && {
      beforeLayer: (layer, x, count) => onClock(() => beforeLayer.call(planner, layer, x, count)),
    }),
  }
}

/**
 * The median tokens per second of each arm, after one untimed turn.
 * @throws the signal's reason, between turns, if it is aborted
 */
export async function measureDecode(
  model: OptModel,
  prompt: Int32Array,
  arms: readonly DecodeArm[],
  sizes: DecodeSizes,
  onTurn: (done: number, total: number) => void = () => {},
  signal?: AbortSignal,
): Promise<number[]> {
  const samples = arms.map((): number[] => [])
  decodeOnce(model, prompt, sizes.tokens, null)
  const total = sizes.rounds * arms.length
  let done = 0
  for (let round = 0; round < sizes.rounds; round++)
    for (let arm = 0; arm < arms.length; arm++) {
      await pause(signal)
      samples[arm].push(decodeOnce(model, prompt, sizes.tokens, arms[arm]))
      onTurn(++done, total)
    }
  return samples.map(median)
}

/** The middle value, or the mean of the two in the middle. NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return NaN
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

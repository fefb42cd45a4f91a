/**
 * What was measured, window by window, as plain data: every figure of an experiment is computed from it, and can be again
 * from a file.
 */
import type { AchievedSparsity } from '../masks/achieved.ts'
import type { Method } from './method.ts'

/** Windows under several methods. */
export interface MeasuredRun {
  /** It drew the windows and what was learnt for these methods. */
  readonly seed: number
  /** Most tokens of a prompt, and of what follows it. */
  readonly prompt: number
  readonly continuation: number
  readonly windows: readonly MeasuredWindow[]
  readonly methods: readonly MethodWindows[]
}

/** A window: where it comes from, and what of it is scored. */
export interface MeasuredWindow {
  /** The document that it was cut from; windows of one resemble one another. */
  readonly document: string
  /** Tokens of the prompt, and those after it. */
  readonly prompt: number
  readonly tokens: number
  /** Words that the tokens after the prompt spell. */
  readonly words: number
}

/** A method on the windows of its run; each list has a number for each window. */
export interface MethodWindows {
  readonly method: Method
  /** SHA-256 of the predictor or the calibration that was given to it; null where it asks none. */
  readonly given: string | null
  /** Shares that were skipped of all heads, neurons and weights of the model. */
  readonly heads: readonly number[]
  readonly neurons: readonly number[]
  readonly weights: readonly number[]
  /** Negative log-likelihood of the scored tokens, in nats. */
  readonly nll: readonly number[]
  /** Where it was compared with dense: KL(dense || this) of them, in nats, and at how many the likeliest token is the dense one. */
  readonly kl?: readonly number[]
  readonly agreed?: readonly number[]
}

/** What one window cost, and what it skipped. */
interface MeasuredScore {
  readonly nll: number
  readonly tokens: number
  readonly words: number
  readonly kl?: number
  readonly agreed?: number
  readonly achieved: AchievedSparsity
}

/** The windows of a method as lists. @param scores in the order of the windows */
export function listWindows(
  method: Method,
  given: string | null,
  scores: readonly MeasuredScore[],
): MethodWindows {
  const list = (valueOf: (score: MeasuredScore) => number): number[] => scores.map(valueOf)
  const isCompared = scores.every(({ kl }) => kl !== undefined)
  return {
    method,
    given,
    heads: list(({ achieved }) => achieved.heads),
    neurons: list(({ achieved }) => achieved.neurons),
    weights: list(({ achieved }) => achieved.weights),
    nll: list(({ nll }) => nll),
    ...(isCompared && { kl: list(({ kl }) => Number(kl)), agreed: list(({ agreed }) => Number(agreed)) }),
  }
}

/** The windows of a method as scores with their documents; what was not kept (layers, the first difference) is empty. */
export function scoresOf(
  { windows }: MeasuredRun,
  { heads, neurons, weights, nll, kl, agreed }: MethodWindows,
): (MeasuredScore & { readonly document: string; readonly firstDifference: null })[] {
  return windows.map(({ document, tokens, words }, i) => ({
    document,
    tokens,
    words,
    nll: nll[i],
    ...(kl && agreed && { kl: kl[i], agreed: agreed[i] }),
    firstDifference: null,
    achieved: { heads: heads[i], neurons: neurons[i], weights: weights[i], layers: [] },
  }))
}

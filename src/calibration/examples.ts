/**
 * One example of a calibration: what a prompt shows of itself, and what each criterion says its continuation needs
 * (arXiv 2406.16635). All criteria share one forward and one backward pass; the loss is over the continuation only.
 *
 * A calibration source gives windows: tokens, and how many of them are the prompt. Text gives them (windows.ts), and so
 * do tasks, whose continuation is the right answer.
 */
import type { Criterion, CriterionInput, DatasetScores } from '../criteria/index.ts'
import type { UnitMask } from '../masks/mask.ts'
import type { UnitScores } from '../masks/selection.ts'
import { backward } from '../engine/backward.ts'
import { shiftLabels } from '../engine/loss.ts'
import type { OptModel } from '../engine/opt_model.ts'
import { traceForward, type Trace } from '../engine/trace.ts'
import { now } from '../platform/platform.ts'
import type { CalibrationExample, PromptFeatures } from '../predictor/example.ts'
import { lastTokenContext, meanContext } from '../predictor/features.ts'
import { UsageError } from '../tensor/errors.ts'
import { Random } from '../tensor/random.ts'
import { continuationLabels, type Window } from '../data/windows.ts'

/** Where windows come from. */
export interface CalibrationSource {
  /** What a person calls it, such as "Brown corpus". */
  readonly name: string
  /** In an order that is always the same; a calibration takes the first ones. */
  readonly windows: Iterable<Window> | AsyncIterable<Window>
}

/** The first `count` windows, or all there are. @throws UsageError WINDOWS if there is none */
export async function takeWindows({ name, windows }: CalibrationSource, count: number): Promise<Window[]> {
  const taken: Window[] = []
  if (count > 0)
    for await (const window of windows) {
      taken.push(window)
      if (taken.length === count) break
    }
  if (taken.length > 0) return taken
  throw new UsageError('WINDOWS', `${name}: expected text for at least one window, got too little`)
}

/** An example of a group: a genre of a corpus, or a task. */
export interface GroupedExample extends CalibrationExample {
  readonly group: string
}

/** Seconds that the parts of one example took. */
export interface CollectTimes {
  /** A plain forward pass over the same tokens, that keeps nothing but the loss. */
  plain: number
  forward: number
  backward: number
  /** By criterion, those of data sets too. */
  readonly criteria: Map<string, number>
}

/** Times of an example that is yet to be collected. */
export function newTimes(): CollectTimes {
  return { plain: 0, forward: 0, backward: 0, criteria: new Map() }
}

/** How an example is collected. */
export interface CollectOptions {
  /** Its place in the set; default 0. */
  readonly index?: number
  /** Of the whole set; an example's own seed is drawn from this and its place. Default 0. */
  readonly seed?: number
  /** Also keep what layer 0 shows of every prompt token. */
  readonly keepSequence?: boolean
  /**
   * The pass runs under this mask, multiplied in: scores are those of a pruned model, and so are features of layers it
   * prunes below. Default: none.
   */
  readonly mask?: UnitMask | null
  /** Data sets, by criterion, that take the example in as well. */
  readonly dataset?: ReadonlyMap<string, DatasetScores>
  /** Measures; then a plain forward pass is run besides. */
  readonly times?: CollectTimes
}

/**
 * Collects one example.
 * @throws UsageError TOKENS, CONTEXT_LENGTH as `traceForward`, LABELS for a window without a continuation
 */
export function collectExample(
  model: OptModel,
  window: Window,
  criteria: readonly Criterion[],
  options: CollectOptions = {},
): GroupedExample {
  const {
    index = 0,
    seed = 0,
    keepSequence = false,
    mask = null,
    dataset = new Map<string, DatasetScores>(),
    times,
  } = options
  const labels = continuationLabels(window)
  const timed = <T>(work: () => T, note: (times: CollectTimes, seconds: number) => void): T => {
    const start = now()
    const result = work()
    if (times) note(times, (now() - start) / 1000)
    return result
  }
  if (times)
    timed(
      () => runPlain(model, window.tokens, labels),
      (to, s) => (to.plain = s),
    )
  const trace = timed(
    () => traceForward(model, window.tokens, { mask }),
    (to, s) => (to.forward = s),
  )
  try {
    const gradients = timed(
      () => backward(model, trace, labels),
      (to, s) => (to.backward = s),
    )
    try {
      const own = exampleSeed(seed, index)
      const input: CriterionInput = { model, tokens: window.tokens, labels, trace, gradients, seed: own }
      const scores = new Map<string, UnitScores>()
      for (const criterion of criteria)
        scores.set(
          criterion.name,
          timed(
            () => criterion.score(input),
            (to, s) => to.criteria.set(criterion.name, s),
          ),
        )
      for (const [name, set] of dataset)
        timed(
          () => set.add(input),
          (to, s) => to.criteria.set(name, s),
        )
      const features = promptFeatures(trace, window.promptLength, keepSequence)
      return { index, group: window.genre, features, scores, loss: gradients.loss }
    } finally {
      gradients.dispose()
    }
  } finally {
    trace.dispose()
  }
}

/** The seed of one example: what is drawn for it does not depend on which others are drawn for. */
export function exampleSeed(seed: number, index: number): number {
  return new Random((seed + Math.imul(index, 0x9e3779b1)) >>> 0).uint32()
}

function runPlain(model: OptModel, tokens: Int32Array, labels: Int32Array): void {
  const sequence = model.begin({ capacity: tokens.length })
  try {
    sequence.score(tokens, shiftLabels(labels))
  } finally {
    sequence.dispose()
  }
}

/**
 * What the first `length` tokens of a pass show. Attention looks back only, so tokens after them change nothing.
 * @param keepSequence also keep every token's row of layer 0
 */
function promptFeatures(trace: Trace, length: number, keepSequence = false): PromptFeatures {
  const { layers, width: D } = trace.model.config
  const last = new Float32Array(layers * D) // [L, D]
  const mean = new Float32Array(layers * D) // [L, D]
  const stream = new Float32Array(layers * D) // [L, D]
  let sequence: Float32Array | null = null // [T, D]
  for (let layer = 0; layer < layers; layer++) {
    const heads = trace.headOut(layer).subarray(0, length * D)
    last.set(lastTokenContext(heads, length), layer * D)
    mean.set(meanContext(heads, length), layer * D)
    stream.set(trace.hidden(layer).subarray((length - 1) * D, length * D), layer * D)
    if (layer === 0 && keepSequence) sequence = heads.slice()
  }
  return { last, mean, stream, sequence }
}

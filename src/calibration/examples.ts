/**
 * One example of a calibration: the features of a prompt, and the scores of each criterion for its continuation
 * (arXiv 2406.16635). All criteria share one forward and one backward pass; the loss is over the continuation only.
 *
 * A calibration source provides windows: tokens, and how many of them are the prompt. Sources are texts (windows.ts) and
 * tasks, whose continuation is the correct answer.
 */
import type { Criterion, CriterionInput, DatasetScores } from '../criteria/index.ts'
import type { UnitMask } from '../masks/mask.ts'
import type { UnitScores } from '../masks/selection.ts'
import type { CollectTimes } from '../cost/calibration_cost.ts'
import { backward } from '../engine/backward.ts'
import { expectFinite } from '../engine/finite_logits.ts'
import { shiftLabels } from '../engine/loss.ts'
import { withSequence, type LanguageModel } from '../engine/language_model.ts'
import { traceForward, type Trace } from '../engine/trace.ts'
import { now } from '../platform/platform.ts'
import type { CalibrationExample, PromptFeatures } from '../predictor/example.ts'
import { lastTokenContext, meanContext } from '../predictor/features.ts'
import { isObject } from '../tensor/arguments.ts'
import { UsageError } from '../tensor/errors.ts'
import { expectOption, kinds, recordOption, required, type Kind } from '../tensor/option.ts'
import { Random } from '../tensor/random.ts'
import { continuationLabels, windowFields, type Window } from '../data/windows.ts'
import { contextWidth } from '../engine/config.ts'

/** A source of windows. */
export interface CalibrationSource {
  /** Its name, such as "Brown corpus". */
  readonly name: string
  /** The windows, always in the same order; a calibration takes the first ones. */
  readonly windows: Iterable<Window> | AsyncIterable<Window>
  /** How much text a window takes, in words. */
  readonly needs?: string
}

/** A source of windows; `takeWindows` checks each window. */
export const sourceOption: Kind = recordOption<CalibrationSource>('a source of textSource or taskSource', {
  name: required(kinds.text),
  windows: required({
    words: 'a list of windows, or an iterable',
    holds: (value) => isObject(value) && (Symbol.iterator in value || Symbol.asyncIterator in value),
  }),
  needs: kinds.text,
})
const windowOption = recordOption<Window>('a window', {
  ...windowFields,
  document: required(kinds.text),
  genre: required(kinds.text),
})

/** The first `count` windows, or all if there are fewer. @throws UsageError WINDOWS if there are none, OPTION_TYPE for what is no window */
export async function takeWindows(
  { name, windows, needs }: CalibrationSource,
  count: number,
): Promise<Window[]> {
  const taken: Window[] = []
  if (count > 0)
    for await (const window of windows) {
      expectOption(`${name}, window ${taken.length}`, window, windowOption)
      taken.push(window)
      if (taken.length === count) break
    }
  if (taken.length > 0) return taken
  throw new UsageError(
    'WINDOWS',
    `${name}: expected text for at least one window${needs ? ` of ${needs}` : ''}, got too little`,
  )
}

/** An example with its group: a genre of a corpus, or a task. */
export interface GroupedExample extends CalibrationExample {
  readonly group: string
}

/** Options of `collectExample`. */
interface CollectOptions {
  /** Its index in the set; default 0. */
  readonly index?: number
  /** The seed of the set; the seed of an example depends on this and its index. Default 0. */
  readonly seed?: number
  /** Whether to keep the layer-0 features of every prompt token. */
  readonly keepSequence?: boolean
  /**
   * The pass runs under this mask, multiplied in: scores are those of a pruned model, and so are features of layers it
   * prunes below. Default: none.
   */
  readonly mask?: UnitMask | null
  /** Data-set criteria by name; the example is added to each. */
  readonly dataset?: ReadonlyMap<string, DatasetScores>
  /** Collects times; an additional forward pass is run for comparison. */
  readonly times?: CollectTimes
}

/**
 * Collects one example.
 * @throws UsageError TOKENS, CONTEXT_LENGTH as `traceForward`, LABELS for a window without a continuation; InputError
 *   LOGITS_NOT_FINITE
 */
export function collectExample(
  model: LanguageModel,
  window: Window,
  criteria: readonly Criterion[],
  options: CollectOptions = {},
): GroupedExample {
  const { index = 0, seed = 0, keepSequence = false, mask = null, dataset = new Map(), times } = options
  const labels = continuationLabels(window)
  const timed = <T>(part: string, work: () => T): T => {
    const start = now()
    const result = work()
    times?.set(part, (now() - start) / 1000)
    return result
  }
  if (times) timed('plain', () => runPlain(model, window.tokens, labels))
  const trace = timed('forward', () => traceForward(model, window.tokens, { mask }))
  try {
    const gradients = timed('backward', () => backward(model, trace, labels))
    try {
      expectFinite(gradients.loss)
      const own = exampleSeed(seed, index)
      const input: CriterionInput = { model, tokens: window.tokens, labels, trace, gradients, seed: own }
      const scores = new Map<string, UnitScores>()
      for (const criterion of criteria) {
        const { name } = criterion
        scores.set(
          name,
          timed(name, () => criterion.score(input)),
        )
      }
      for (const [name, set] of dataset) timed(name, () => set.add(input))
      const features = promptFeatures(trace, window.promptLength, keepSequence)
      return { index, group: window.genre, features, scores, loss: gradients.loss }
    } finally {
      gradients.dispose()
    }
  } finally {
    trace.dispose()
  }
}

/** The seed of one example. It does not depend on the other examples. */
export function exampleSeed(seed: number, index: number): number {
  return new Random((seed + Math.imul(index, 0x9e3779b1)) >>> 0).uint32()
}

function runPlain(model: LanguageModel, tokens: Int32Array, labels: Int32Array): void {
  withSequence(model, { capacity: tokens.length }, (sequence) => sequence.score(tokens, shiftLabels(labels)))
}

/**
 * The features of the first `length` tokens of a pass. Attention is causal, so later tokens change nothing.
 * @param keepSequence whether to keep the row of every token in layer 0
 */
function promptFeatures(trace: Trace, length: number, keepSequence = false): PromptFeatures {
  const { config } = trace.model
  const { layers, width: D } = config
  const C = contextWidth(config)
  const last = new Float32Array(layers * C) // [L, C]
  const mean = new Float32Array(layers * C) // [L, C]
  const stream = new Float32Array(layers * D) // [L, D]
  let sequence: Float32Array | null = null // [T, C]
  for (let layer = 0; layer < layers; layer++) {
    const heads = trace.headOut(layer).subarray(0, length * C)
    last.set(lastTokenContext(heads, length), layer * C)
    mean.set(meanContext(heads, length), layer * C)
    stream.set(trace.hidden(layer).subarray((length - 1) * D, length * D), layer * D)
    if (layer === 0 && keepSequence) sequence = heads.slice()
  }
  return { last, mean, stream, sequence }
}

/**
 * Collecting what predictors learn from: for each window a forward pass, the loss of its continuation, a backward pass,
 * a criterion's scores, and the layer-0 context of the last prompt token (arXiv 2406.16635).
 *
 * Examples come one by one, so a caller decides what to keep; the model's activations are freed in between.
 */
import type { Criterion } from '../criteria/criterion.ts'
import type { UnitScores } from '../masks/selection.ts'
import { backward } from '../model/opt/backward.ts'
import type { OptModel } from '../model/opt/opt_model.ts'
import { traceForward } from '../model/opt/trace.ts'
import { pause } from '../train/pause.ts'
import type { Example } from '../train/train_predictor.ts'
import { continuationLabels, type Window } from './windows.ts'

/** An example and where it is from. */
export interface CalibratedExample extends Example {
  readonly window: Window
  /** Mean negative log-likelihood of the continuation, dense, in nats per token. */
  readonly loss: number
}

/**
 * One window: what the prompt shows, and what its continuation turns out to need.
 * @param seed of what the criterion draws at random
 */
export function calibrateWindow(
  model: OptModel,
  window: Window,
  criterion: Criterion,
  seed = 0,
): CalibratedExample {
  const { width } = model.config
  const { tokens } = window
  const last = window.promptLength - 1
  const labels = continuationLabels(window)
  const trace = traceForward(model, tokens)
  try {
    const gradients = backward(model, trace, labels)
    try {
      // Attention looks back only, so row `last` is what the prompt alone gives.
      const context = trace.headOut(0).slice(last * width, (last + 1) * width)
      const scores = criterion.score({ model, tokens, labels, trace, gradients, seed })
      return { window, context, loss: gradients.loss, scores }
    } finally {
      gradients.dispose()
    }
  } finally {
    trace.dispose()
  }
}

/** Every window in turn, its place in the list as its seed. @throws the signal's reason, between windows, if it is aborted */
export async function* calibrate(
  model: OptModel,
  windows: readonly Window[],
  criterion: Criterion,
  signal?: AbortSignal,
): AsyncGenerator<CalibratedExample, void, void> {
  for (const [index, window] of windows.entries()) {
    await pause(signal)
    yield calibrateWindow(model, window, criterion, index)
  }
}

/** The mean of the examples' scores: what static pruning ranks by. There must be at least one example. */
export function meanScores(examples: readonly { readonly scores: UnitScores }[]): UnitScores {
  const { shape } = examples[0].scores
  const mean = (kind: 'heads' | 'neurons'): Float32Array => {
    const sums = new Float64Array(examples[0].scores[kind].length)
    for (const { scores } of examples) for (let i = 0; i < sums.length; i++) sums[i] += scores[kind][i]
    return Float32Array.from(sums, (total) => total / examples.length)
  }
  return { shape, heads: mean('heads'), neurons: mean('neurons') }
}

/**
 * Calibration in memory with one criterion: what an experiment that keeps nothing needs of it. See calibration/.
 */
import type { Criterion } from '../criteria/criterion.ts'
import type { UnitScores } from '../masks/selection.ts'
import type { OptModel } from '../model/opt/opt_model.ts'
import { pause } from '../train/pause.ts'
import { aggregateScores } from './calibration/aggregate.ts'
import { collectExample } from './calibration/examples.ts'
import type { Window } from './windows.ts'

/** An example and where it is from. */
export interface CalibratedExample {
  /** The layer-0 context of the last prompt token: [D]. */
  readonly context: Float32Array
  /** The criterion's scores: [L, H] and [L, F]. */
  readonly scores: UnitScores
  readonly window: Window
  /** Mean negative log-likelihood of the continuation, dense, in nats per token. */
  readonly loss: number
}

/**
 * One window: what the prompt shows, and what its continuation turns out to need.
 * @param index of what the criterion draws at random
 */
export function calibrateWindow(
  model: OptModel,
  window: Window,
  criterion: Criterion,
  index = 0,
): CalibratedExample {
  const { features, scores, loss } = collectExample(model, window, [criterion], { index })
  const context = features.last.slice(0, model.config.width)
  return { window, context, loss, scores: scores.get(criterion.name) as UnitScores }
}

/** Every window in turn. @throws the signal's reason, between windows, if it is aborted */
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
  return aggregateScores(examples, 'mean')
}

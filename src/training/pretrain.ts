/**
 * Training a small OPT from text: the loop over steps, what is measured on the way, and when it is kept.
 *
 * Everything a step does follows from its number, the settings and the text; so a run that was stopped after any step
 * and goes on from what was kept there has, bit for bit, the weights of one that was not. Measuring and keeping change
 * nothing of that.
 */
import type { Backend } from '../backends/backend.ts'
import type { OptConfig } from '../engine/config.ts'
import { initialWeights, residualScale } from '../engine/initial_weights.ts'
import { OptModel } from '../engine/opt_model.ts'
import { now } from '../platform/platform.ts'
import { ShadowError } from '../tensor/errors.ts'
import { memorySource } from '../tensor/memory_source.ts'
import { seededBatches, spread, type PretrainWindows } from './pretrain_data.ts'
import { checkSettings, type PretrainSettings } from './pretrain_settings.ts'
import { LanguageTrainer, type TrainerState } from './pretrain_trainer.ts'
import { cosineSchedule } from './schedule.ts'

/** Windows the held-out loss is measured on, at most. */
const HELD_OUT_WINDOWS = 32

/** What a step did. */
export interface StepReport {
  /** From 1: how many steps the weights have after it. */
  readonly step: number
  /** Mean loss of its batch before it, in nats per token. */
  readonly loss: number
  /** Of the gradient before clipping. */
  readonly norm: number
  readonly rate: number
  /** Tokens it went through. */
  readonly tokens: number
  readonly seconds: number
}

/** What was measured on text that is not learnt from. */
export interface HeldOutReport {
  /** How many steps the weights have. */
  readonly step: number
  /** Mean loss in nats per token. */
  readonly heldOut: number
}

/** What to train, on what, and who is told. */
export interface PretrainOptions {
  readonly config: OptConfig
  readonly backend: Backend
  readonly windows: PretrainWindows
  readonly settings: PretrainSettings
  /** What an earlier run of the same settings and windows kept; null begins anew. */
  readonly from: TrainerState | null
  /** Steps between two measurements on held-out windows, which also take place before the first and after the last. */
  readonly evaluateEvery: number
  /** Steps between two states that are kept; the last one always is, and that in which the run is stopped. */
  readonly saveEvery: number
  readonly onStep?: (report: StepReport) => void | Promise<void>
  readonly onHeldOut?: (report: HeldOutReport) => void | Promise<void>
  /** Keeps a state. */
  readonly save: (state: TrainerState) => Promise<void>
  /** Stops the run within a window; the state after the last whole step is kept. */
  readonly signal?: AbortSignal
}

/**
 * Trains until the last step of the settings.
 * @returns the final state, which was also kept
 * @throws UsageError SETTING, WINDOWS; ShadowError DIVERGED (exit code 1) where loss or gradient is no number any more;
 *   the signal's reason, after keeping the state; what the callbacks throw
 */
export async function pretrain(options: PretrainOptions): Promise<TrainerState> {
  const { config, backend, settings, from } = options
  checkSettings(settings, config.positions)
  const weights =
    from?.weights ?? initialWeights(config, { seed: settings.seed, residual: residualScale(config) })
  const model = await OptModel.load(config, memorySource(weights), backend)
  const trainer = new LanguageTrainer(model, settings.decay)
  try {
    if (from) trainer.writeState(from)
    await run(trainer, options)
    return trainer.readState()
  } finally {
    trainer.dispose()
    model.dispose()
  }
}

async function run(trainer: LanguageTrainer, options: PretrainOptions): Promise<void> {
  const { settings, saveEvery, save, signal } = options
  const batchOf = seededBatches(options.windows.training.length, settings.batch, settings.seed)
  const schedule = cosineSchedule(settings.rate, settings.steps, settings.warmup, settings.floor)
  // The state gone on from is kept again where one is due: the files that follow from it may be older than it.
  let saved = -1
  const keep = async (): Promise<void> => {
    if (saved === trainer.steps) return
    await save(trainer.readState())
    saved = trainer.steps
  }
  try {
    while (trainer.steps < settings.steps) {
      if (trainer.steps % saveEvery === 0) await keep()
      await measure(trainer, options)
      await takeStep(trainer, batchOf(trainer.steps), schedule(trainer.steps), options)
    }
    await keep()
    await measure(trainer, options)
  } catch (error) {
    if (signal?.aborted) await keep()
    throw error
  }
}

/** The held-out loss, where it is due. */
async function measure(trainer: LanguageTrainer, options: PretrainOptions): Promise<void> {
  const { windows, settings, evaluateEvery, onHeldOut, signal } = options
  const due = trainer.steps % evaluateEvery === 0 || trainer.steps === settings.steps
  if (!due || windows.heldOut.length === 0) return
  const heldOut = await trainer.loss(spread(windows.heldOut, HELD_OUT_WINDOWS), signal)
  await onHeldOut?.({ step: trainer.steps, heldOut })
}

async function takeStep(
  trainer: LanguageTrainer,
  batch: Int32Array,
  rate: number,
  { windows, settings, onStep, signal }: PretrainOptions,
): Promise<void> {
  const start = now()
  const chosen = Array.from(batch, (place) => windows.training[place])
  const loss = await trainer.accumulate(chosen, signal)
  const norm = Number.isFinite(loss) ? trainer.step(rate, settings.clip) : NaN
  if (!Number.isFinite(norm))
    throw new ShadowError(
      'DIVERGED',
      `training: expected a finite loss and gradient after ${trainer.steps} steps, got ${loss} and ${norm}; a lower rate may help`,
      1,
    )
  const tokens = chosen.reduce((sum, { length }) => sum + length, 0)
  await onStep?.({ step: trainer.steps, loss, norm, rate, tokens, seconds: (now() - start) / 1000 })
}

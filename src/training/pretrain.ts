/**
 * Trains a small model from text: the loop over steps, with measurements and checkpoints.
 *
 * A step depends only on its number, the settings and the text. So a run that is stopped after any step and resumed has the
 * same weights, bit for bit, as an uninterrupted run. Measurements and checkpoints do not change the weights.
 */
import type { Backend } from '../backends/backend.ts'
import type { ModelConfig } from '../engine/config.ts'
import { initialWeights, residualScale } from '../engine/initial_weights.ts'
import { LanguageModel } from '../engine/language_model.ts'
import { now } from '../platform/platform.ts'
import { ShadowError } from '../tensor/errors.ts'
import { memorySource } from '../tensor/memory_source.ts'
import { seededBatches, spread, type PretrainWindows } from './pretrain_data.ts'
import { checkSettings, type PretrainSettings } from './pretrain_settings.ts'
import { LanguageTrainer, type TrainerState } from './pretrain_trainer.ts'
import { cosineSchedule } from './schedule.ts'

/** The maximal number of windows for the held-out loss. */
const HELD_OUT_WINDOWS = 32

/** The report of a step. */
export interface StepReport {
  /** The number of the step, from 1. */
  readonly step: number
  /** Mean loss of its batch before it, in nats per token. */
  readonly loss: number
  /** Of the gradient before clipping. */
  readonly norm: number
  readonly rate: number
  /** Tokens of its batch. */
  readonly tokens: number
  readonly seconds: number
}

/** A measurement on held-out text. */
export interface HeldOutReport {
  /** The number of steps before it. */
  readonly step: number
  /** Mean loss in nats per token. */
  readonly heldOut: number
}

/** Options of a run. */
export interface PretrainOptions {
  readonly config: ModelConfig
  readonly backend: Backend
  readonly windows: PretrainWindows
  readonly settings: PretrainSettings
  /** The saved state of a run with the same settings and windows; null starts a new run. */
  readonly from: TrainerState | null
  /** Steps between two held-out measurements; there is one before the first and one after the last step too. */
  readonly evaluateEvery: number
  /** Steps between two checkpoints; the last state and the state of a stopped run are saved too. */
  readonly saveEvery: number
  readonly onStep?: (report: StepReport) => void | Promise<void>
  readonly onHeldOut?: (report: HeldOutReport) => void | Promise<void>
  /** Saves a state. */
  readonly save: (state: TrainerState) => Promise<void>
  /** Stops the run within a window; the state after the last complete step is saved. */
  readonly signal?: AbortSignal
}

/**
 * Trains a language model from the beginning, or goes on from a saved state, until the last step of the settings. `holdOut` makes
 * `windows`; {@link embeddedRecipe} is the settings of the embedded model. For a loop of your own there is `LanguageTrainer`.
 * @returns the final state, which was also saved
 * @throws UsageError SETTING, WINDOWS; ShadowError DIVERGED (exit code 1) if loss or gradient is not finite;
 *   the signal's reason, after saving the state; what the callbacks throw
 * @example
 * ```ts
 * import { ShadowModel } from 'shadowllm'
 * import { createBackend } from 'shadowllm/backends'
 * import { makeConfig } from 'shadowllm/model'
 * import { cutStream, embeddedRecipe, holdOut, joinDocuments, makeTextEncoder, pretrain } from 'shadowllm/train'
 *
 * const opt = await ShadowModel.fromPretrained() // for its tokenizer
 * const encode = makeTextEncoder((text) => opt.encode(text))
 * const stories = ['The dog ran to the park. ', 'The girl had a red ball. '].map((text) => encode(text.repeat(20)))
 * const { bosId } = opt.config
 * const windows = holdOut(cutStream(joinDocuments(stories, bosId), 16, bosId), 5)
 *
 * // A real training has thousands of steps.
 * const config = makeConfig({ vocabulary: opt.config.vocabulary, width: 16, layers: 2, heads: 2, neurons: 32, positions: 16 })
 * const backend = await createBackend('wasm')
 * const settings = { ...embeddedRecipe, steps: 3, warmup: 1, batch: 2, length: 16 }
 * const often = { evaluateEvery: 3, saveEvery: 3 }
 * const { weights } = await pretrain({
 *   config,
 *   backend,
 *   windows,
 *   settings,
 *   from: null,
 *   ...often,
 *   save: async () => {}, // a file, in a real training
 *   onHeldOut: (report) => console.log(report),
 * })
 * console.log(weights.size, 'parameters')
 * backend.dispose()
 * await opt.dispose()
 * ```
 */
export async function pretrain(options: PretrainOptions): Promise<TrainerState> {
  const { config, backend, settings, from } = options
  checkSettings(settings, config.positions)
  const weights =
    from?.weights ?? initialWeights(config, { seed: settings.seed, residual: residualScale(config) })
  const model = await LanguageModel.load(config, memorySource(weights), backend)
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
  // The state that was resumed is saved again if one is due, because the other files may be older.
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

/** The held-out loss, if it is due. */
async function measure(trainer: LanguageTrainer, options: PretrainOptions): Promise<void> {
  const { windows, settings, evaluateEvery, onHeldOut, signal } = options
  const due = trainer.steps % evaluateEvery === 0 || trainer.steps === settings.steps
  if (!due || windows.heldOut.length === 0) return
  const heldOut = await trainer.loss(spread(windows.heldOut, HELD_OUT_WINDOWS), signal)
  if (!Number.isFinite(heldOut)) throw diverged(`held-out loss after ${trainer.steps} steps, got ${heldOut}`)
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
    throw diverged(`loss and gradient after ${trainer.steps} steps, got ${loss} and ${norm}`)
  const tokens = chosen.reduce((sum, { length }) => sum + length, 0)
  await onStep?.({ step: trainer.steps, loss, norm, rate, tokens, seconds: (now() - start) / 1000 })
}

function diverged(what: string): ShadowError {
  return new ShadowError('DIVERGED', `training: expected a finite ${what}; a lower rate may help`, 1)
}

/**
 * How large an experiment is. `full` answers within minutes on two cores, `quick` within one; both run on any OPT.
 */
import type { TrainingOptions } from '../train/predictor_training.ts'
import type { DecodeSizes } from './decode.ts'

/** The sizes of an experiment. */
export interface Settings {
  /** Most tokens of a window's prompt and of its continuation. */
  readonly prompt: number
  readonly continuation: number
  /** How many windows are calibrated on. */
  readonly calibration: number
  /** How many windows are scored. */
  readonly evaluation: number
  readonly sparsities: readonly number[]
  readonly headHidden: number
  readonly neuronHidden: number
  readonly training: Omit<TrainingOptions, 'signal' | 'onEpoch'>
  readonly decode: DecodeSizes
}

const training = { epochs: 40, batch: 32, rate: 1e-3, decay: 0.01, heldOut: 0.1, patience: 8 } as const

export const fullSettings: Settings = {
  prompt: 128,
  continuation: 128,
  calibration: 640,
  evaluation: 60,
  sparsities: [0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95],
  headHidden: 64,
  neuronHidden: 128,
  training,
  decode: { prompt: 64, tokens: 64, rounds: 5 },
}

export const quickSettings: Settings = {
  prompt: 64,
  continuation: 64,
  calibration: 60,
  evaluation: 12,
  sparsities: [0.5, 0.7, 0.8, 0.9],
  headHidden: 32,
  neuronHidden: 64,
  training,
  decode: { prompt: 32, tokens: 16, rounds: 3 },
}

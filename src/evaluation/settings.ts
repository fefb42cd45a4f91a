/**
 * How large an experiment is. On the embedded model and two cores `quick` takes about a minute, `usual` about three, and `full`
 * about eight. All run on any model.
 *
 * Features are standardised and targets are raw scores, where the released code scales both to [0, 1]. On the embedded
 * model raw targets matter most: a global budget compares layers, and scaling each layer to [0, 1] throws away by how
 * much one layer matters more than another. Standardised features learn more from the same examples, and so do errors
 * that are measured in each unit's own deviation. Networks wider than this brought nothing.
 */
import type { PredictorSettings } from '../results/method.ts'
import type { DecodeSizes } from './decode.ts'

/** The sizes of an experiment. */
export interface Settings extends Omit<PredictorSettings, 'loss' | 'top'> {
  /** Most tokens of a window's prompt and of its continuation. */
  readonly prompt: number
  readonly continuation: number
  /**
   * The sparsities at which predictors' targets are measured, under static masks; a method takes the nearest to its own.
   * None: in the dense model, as in the paper.
   */
  readonly pruned: readonly number[]
  /** How many windows are calibrated on. */
  readonly calibration: number
  /** How many windows are scored. */
  readonly evaluation: number
  /** Shares of the ranked units that are skipped, from 0 to 1. */
  readonly sparsities: readonly number[]
  /** How long the texts are that speeds are measured on, and how many rounds. */
  readonly decode: DecodeSizes
}

/**
 * Windows that are scored cost most of the time, and decide how sure a comparison is. More windows to calibrate on than this
 * change little on the embedded model: from 64 to 480, ShadowLLM's perplexity at 50 % goes from 94.7 to 94.0, of dense 74.3.
 */
const fullSettings: Settings = {
  prompt: 128,
  continuation: 128,
  pruned: [0.5, 0.8],
  calibration: 96,
  evaluation: 32,
  sparsities: [0.3, 0.5, 0.7, 0.8, 0.9],
  features: 'standard',
  targets: 'raw',
  sourceLayer: 0,
  pooling: 'last',
  headHidden: 64,
  neuronHidden: 32,
  training: { epochs: 40, batch: 32, rate: 1e-3, decay: 0.01, heldOut: 0.1, patience: 8, spread: 'unit' },
  decode: { prompt: 64, tokens: 64, rounds: 8 },
}

/** Fewer windows and sparsities, and targets of one pruned model; whole windows still. */
const usualSettings: Settings = {
  ...fullSettings,
  pruned: [0.5],
  calibration: 64,
  evaluation: 24,
  sparsities: [0.5, 0.7],
  decode: { prompt: 64, tokens: 64, rounds: 8 },
}

/** Short windows. */
const quickSettings: Settings = {
  ...fullSettings,
  prompt: 96,
  continuation: 64,
  calibration: 40,
  evaluation: 10,
  sparsities: [0.5, 0.8],
  headHidden: 32,
  decode: { prompt: 32, tokens: 16, rounds: 3 },
}

/** The settings by how long they take. */
export const settingsBySize = { quick: quickSettings, usual: usualSettings, full: fullSettings }
/** How large an experiment is. */
export type ExperimentSize = keyof typeof settingsBySize

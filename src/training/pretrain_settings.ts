/**
 * The settings of the training of a language model, and those of the first part of the embedded model's training: 4,279 steps
 * of 16 windows of 256 tokens, AdamW with betas 0.9 and 0.95 and weight decay 0.1 on matrices, gradients clipped to a norm
 * of 1, rate 1.5e-3 after 200 steps of warm-up, down to 5 % of it along a cosine. That run used more text than this package
 * contains, and bfloat16 products; otherwise it is the same. The second part is in fixtures/tiny-opt/README.md.
 */
import { UsageError } from '../tensor/errors.ts'

/** The settings. Together with the text they determine the weights. */
export interface PretrainSettings {
  readonly steps: number
  /** Windows per step. */
  readonly batch: number
  /** Tokens of a window, `</s>` included. */
  readonly length: number
  /** The highest learning rate. */
  readonly rate: number
  /** Steps over which the rate rises. */
  readonly warmup: number
  /** The final rate of the cosine, as a share of the highest rate. */
  readonly floor: number
  /** Decoupled weight decay of matrices. */
  readonly decay: number
  /** The maximal norm of the gradients. */
  readonly clip: number
  /** The seed of the initial weights and of the order of the windows. */
  readonly seed: number
}

/** The recipe of the first part of the embedded model's training. */
export const embeddedRecipe: PretrainSettings = {
  steps: 4279,
  batch: 16,
  length: 256,
  rate: 1.5e-3,
  warmup: 200,
  floor: 0.05,
  decay: 0.1,
  clip: 1,
  seed: 0,
}

/** The names of the settings. */
export const settingNames = Object.keys(embeddedRecipe) as (keyof PretrainSettings)[]

/** @throws UsageError SETTING for a window longer than the model's context */
export function checkSettings({ length }: PretrainSettings, positions: number): void {
  if (length > positions)
    throw new UsageError(
      'SETTING',
      `length: expected at most the model's ${positions} positions, got ${length}`,
    )
}

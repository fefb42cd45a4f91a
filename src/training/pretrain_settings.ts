/**
 * How a language model is trained, and the recipe the embedded model was trained by: 4,279 steps of 16 windows of 256
 * tokens, AdamW with betas 0.9 and 0.95 and weight decay 0.1 on matrices, gradients clipped to a norm of 1, rate 1.5e-3
 * after 200 steps of warm-up, down to 5 % of it along a cosine. That run had more text than comes with this package and
 * computed its products in bfloat16; everything else of it is here.
 */
import { UsageError } from '../tensor/errors.ts'

/** What decides which weights come out; with the text and the first weights' seed, all of it. */
export interface PretrainSettings {
  readonly steps: number
  /** Windows a step learns from. */
  readonly batch: number
  /** Tokens of a window, `</s>` included. */
  readonly length: number
  /** The highest learning rate. */
  readonly rate: number
  /** Steps over which the rate rises. */
  readonly warmup: number
  /** The share of the highest rate that the cosine goes down to. */
  readonly floor: number
  /** Decoupled weight decay of matrices. */
  readonly decay: number
  /** The norm gradients are scaled down to where they are longer. */
  readonly clip: number
  /** Of the first weights and of the order of the windows. */
  readonly seed: number
}

/** The recipe of the embedded model. */
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

/** Every setting's name. */
export const settingNames = Object.keys(embeddedRecipe) as (keyof PretrainSettings)[]

/** @throws UsageError SETTING for a window longer than the model's context */
export function checkSettings({ length }: PretrainSettings, positions: number): void {
  if (length > positions)
    throw new UsageError(
      'SETTING',
      `length: expected at most the model's ${positions} positions, got ${length}`,
    )
}

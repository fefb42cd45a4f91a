/**
 * The forward and the backward pass of one text, which criteria read.
 */
import type { UnitMask } from '../masks/mask.ts'
import { backward, type BackwardOptions } from '../engine/backward.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { traceForward } from '../engine/trace.ts'
import type { CriterionInput } from './criterion.ts'

/** Tokens, and which of them are scored. */
export type Text = Pick<CriterionInput, 'tokens' | 'labels'>

/** Options of the passes. */
export interface PassOptions extends BackwardOptions {
  readonly mask?: UnitMask
  /** Default 0. */
  readonly seed?: number
}

/**
 * Runs both passes, calls `work` on them, and frees their buffers.
 * @throws as `traceForward` and `backward`
 */
export function withPass<Result>(
  model: LanguageModel,
  { tokens, labels }: Text,
  work: (input: CriterionInput) => Result,
  { mask, seed = 0, ...options }: PassOptions = {},
): Result {
  const trace = traceForward(model, tokens, { mask })
  try {
    const gradients = backward(model, trace, labels, options)
    try {
      return work({ model, tokens, labels, trace, gradients, seed })
    } finally {
      gradients.dispose()
    }
  } finally {
    trace.dispose()
  }
}

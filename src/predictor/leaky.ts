/**
 * Masks decided beforehand, for a sequence that is to run under them from the start.
 *
 * A leaky mask has seen the answer. The published numbers of ShadowLLM were measured that way: the predictor was shown
 * the last token of the whole window, answer included. Ours are not; this is for parity, and labelled so (`leaky`).
 */
import { denseMask, type UnitMask } from '../masks/mask.ts'
import type { MaskPlanner } from '../masks/planner.ts'
import type { OptModel } from '../engine/opt_model.ts'

/**
 * The mask a planner decides for a prompt.
 * @param prompt [T]
 * @throws what `OptModel.begin` and `Sequence.feed` throw
 */
export function promptMask(model: OptModel, planner: MaskPlanner, prompt: Int32Array): UnitMask {
  const sequence = model.begin({ planner, capacity: prompt.length })
  try {
    sequence.feed(prompt, 'none')
    return sequence.mask ?? denseMask(model.shape)
  } finally {
    sequence.dispose()
  }
}

/**
 * The mask a planner decides when it is shown all of a text as if it were the prompt.
 * @param tokens [T], prompt and answer
 * @throws as `promptMask`
 */
export function leakyMask(model: OptModel, planner: MaskPlanner, tokens: Int32Array): UnitMask {
  return promptMask(model, { ...planner, leaky: undefined }, tokens)
}

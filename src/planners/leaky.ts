/**
 * Masks that are decided before a sequence runs under them.
 *
 * A leaky mask is decided from the answer too. The published numbers of ShadowLLM were measured with leaky masks: the
 * predictor saw the last token of the whole window, answer included. This is for parity with them only (`leaky`).
 */
import { denseMask, type UnitMask } from '../masks/mask.ts'
import type { MaskPlanner } from '../masks/planner.ts'
import { withSequence, type LanguageModel } from '../engine/language_model.ts'

/**
 * The mask a planner decides for a prompt, which is run for it and then forgotten. `ShadowModel.mask` does so from text and a name;
 * `givenMask` lets a text run under the mask.
 * @param prompt [T]
 * @throws what `LanguageModel.begin` and `Sequence.feed` throw
 * @specified `plan`
 */
export function promptMask(model: LanguageModel, planner: MaskPlanner, prompt: Int32Array): UnitMask {
  return withSequence(model, { planner, capacity: prompt.length }, (sequence) => {
    sequence.feed(prompt, 'none')
    return sequence.mask ?? denseMask(model.shape)
  })
}

/**
 * The mask a planner decides from a whole text, as if it were the prompt.
 * @param tokens [T], prompt and answer
 * @throws as `promptMask`
 */
export function leakyMask(model: LanguageModel, planner: MaskPlanner, tokens: Int32Array): UnitMask {
  return promptMask(model, { ...planner, leaky: undefined }, tokens)
}

/**
 * Masks that have seen the answer. The published numbers of ShadowLLM were measured that way: the predictor was shown
 * the last token of the whole window, answer included. Ours are not; this is for parity, and labelled so (`leaky`).
 */
import { denseMask, type UnitMask } from '../masks/mask.ts'
import type { MaskPlanner } from '../masks/planner.ts'
import type { OptModel } from '../model/opt/opt_model.ts'

/**
 * The mask a planner decides when it is shown all of a text, for a sequence that is to run under it from the start. It
 * is asked once, whatever its `every`.
 * @param tokens [T], prompt and answer
 * @throws what `OptModel.begin` and `Sequence.feed` throw
 */
export function leakyMask(model: OptModel, planner: MaskPlanner, tokens: Int32Array): UnitMask {
  const sequence = model.begin({
    planner: { ...planner, every: undefined, leaky: undefined },
    capacity: tokens.length,
  })
  try {
    sequence.feed(tokens, 'none')
    return sequence.mask ?? denseMask(model.shape)
  } finally {
    sequence.dispose()
  }
}

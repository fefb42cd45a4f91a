/**
 * snip: the size of the derivative of the loss with respect to a unit's mask (SNIP, Lee et al. 2019).
 *
 *   | dL/dm |  at m = 1,  =  | sum over tokens of <a, dL/da> |
 *
 * SNIP multiplies every weight by a connection c and takes |dL/dc| at c = 1; here what is multiplied is a unit. It is
 * the size of `plainact-signed`, and differs from `plainact`, which takes the size of each token's term: a unit that
 * helps one token as much as it harms another scores 0 here.
 *
 * The released code of ShadowLLM hooks something else under this name: for heads, the sizes of the gradient of the
 * attention module's output, that is after out_proj, its columns cut into H groups, which are no heads any more; for
 * neurons, the sizes of the gradient before ReLU. No mask is in either.
 */
import type { Criterion } from './criterion.ts'
import { plainactHeads, plainactNeurons } from './plainact.ts'
import { scoreLayers } from './unit_scores.ts'

/** The size of the mask's gradient. */
export const snip: Criterion = {
  name: 'snip',
  formula: '|dL/dm| = |sum_t <a, dL/da>|',
  cost: { forward: 0, backward: 0 },
  score: (input) =>
    scoreLayers(
      input.model.shape,
      (layer) => plainactHeads(input, layer, true).map(Math.abs),
      (layer) => plainactNeurons(input, layer, true).map(Math.abs),
    ),
}

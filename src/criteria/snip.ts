/**
 * snip: the size of the derivative of the loss with respect to a unit's mask (SNIP, Lee et al. 2019).
 *
 *   | dL/dm |  at m = 1,  =  | sum over tokens of <a, dL/da> |
 *
 * SNIP multiplies every weight by a connection c and takes |dL/dc| at c = 1; here c multiplies a unit. It is
 * the size of `plainact-signed`. It differs from `plainact`, which takes the size of each token's term: here a unit whose
 * terms of two tokens cancel scores 0.
 *
 * The released code of ShadowLLM computes something else under this name. For heads it takes the sizes of the gradient of
 * the attention module's output, after out_proj, with columns cut into H groups that are not heads. For neurons it takes
 * the sizes of the gradient before ReLU. Neither contains a mask.
 */
import type { Criterion } from './criterion.ts'
import { plainactHeads, plainactNeurons } from './plainact.ts'
import { scoreLayers } from './unit_scores.ts'

/** The size of the mask's gradient. */
export const snip: Criterion = {
  name: 'snip',
  help: 'How fast the loss changes as the unit is turned down: the size of plainact-signed.',
  formula: '|dL/dm| = |sum_t <a, dL/da>|',
  cost: { forward: 0, backward: 0 },
  score: (input) =>
    scoreLayers(
      input.model.shape,
      (layer) => plainactHeads(input, layer, true).map(Math.abs),
      (layer) => plainactNeurons(input, layer, true).map(Math.abs),
    ),
}

/**
 * grasp: the effect of removing a unit on the norm of the gradient (GraSP, Wang et al. 2020), in the space of unit masks.
 *
 *   score = - m (H g)   at m = 1,     g = dL/dm,  H = d²L/dm²,  over all heads and neurons of all layers together
 *
 * Moving the masks by d changes |g|² by 2 dᵀ H g to first order, and removing unit u is d = -e_u: a positive score means
 * that the gradient grows when the unit is removed. As in zero-cost proxies (Abdelfattah et al. 2021) and the released code
 * of ShadowLLM, low scores are pruned first; GraSP itself prunes the highest scores, because it keeps the gradient of a
 * network before training; negate the scores for that.
 *
 * H g is a central difference of mask gradients, (g(1 + s g) - g(1 - s g)) / 2s: two more forward and backward passes.
 * The step s moves the mask with the largest change by 2^-6. Its error falls with the square of the step, that of rounding grows
 * as the step shrinks, and float32 gradients agree to six digits: 2^-6 is where the two meet, and few kinks of ReLU
 * lie so near.
 *
 * A comment in the released code says that its pass is wrong: gradients of three passes accumulate in the buffers it reads,
 * so first-order terms are mixed in.
 */
import { makeMask, type UnitKind } from '../masks/mask.ts'
import type { UnitScores } from '../masks/selection.ts'
import type { Criterion, CriterionInput } from './criterion.ts'
import { withPass } from './pass.ts'
import { maskGradients } from './plainact.ts'

/** The largest change of a mask. */
const MAX_MOVE = 2 ** -6

/** The Hessian of the loss in the masks, times a direction. */
function hessianTimes(input: CriterionInput, direction: UnitScores): UnitScores {
  const { shape } = direction
  const largest = [direction.heads, direction.neurons].reduce(
    (largest, table) => table.reduce((sofar, value) => Math.max(sofar, Math.abs(value)), largest),
    0,
  )
  if (largest === 0) return direction
  const step = MAX_MOVE / largest
  const moved = (by: number): UnitScores => {
    const table = (kind: UnitKind): Float32Array => direction[kind].map((value) => 1 + by * value)
    return withPass(input.model, input, maskGradients, {
      mask: makeMask(shape, table('heads'), table('neurons')),
    })
  }
  const ahead = moved(step)
  const behind = moved(-step)
  const slope = (kind: UnitKind): Float32Array =>
    ahead[kind].map((value, unit) => (value - behind[kind][unit]) / (2 * step))
  return { shape, heads: slope('heads'), neurons: slope('neurons') }
}

/** Minus the Hessian times the gradient. */
export const grasp: Criterion = {
  name: 'grasp',
  help: 'How much the gradient of the whole model would grow without the unit.',
  formula: '-m (H g), g = dL/dm, H = d²L/dm², at m = 1',
  cost: { forward: 2, backward: 2 },
  score: (input) => {
    const { shape, heads, neurons } = hessianTimes(input, maskGradients(input))
    return { shape, heads: heads.map((value) => 0 - value), neurons: neurons.map((value) => 0 - value) }
  },
}

/**
 * The gradient of the loss with respect to the weights of fc1, layer by layer, for criteria that read weights of neurons.
 *
 * dW1 = gzᵀ x, with gz = dL/d(fc1's output before ReLU) and x = what fc1 reads: which the trace and its
 * gradients contain. So the backward pass stores no gradients of parameters, and only one layer's is in memory at a time.
 *
 * Cost: of the six matrices of a layer, fc1 is multiplied again: F D of 4 D D + 2 F D, a third of a
 * pass where F = 4 D, as in every OPT.
 */
import { BufferScope } from '../backends/buffer_scope.ts'
import type { CriterionCost, CriterionInput } from './criterion.ts'

/** The cost of the gradients of all layers. */
export const weightGradientCost: CriterionCost = { forward: 0, backward: 1 / 3 }

/** d loss / d fc1's weights of one layer, a row per neuron: [F, D]. */
export function fc1WeightGradient(
  { model, trace, gradients }: Pick<CriterionInput, 'model' | 'trace' | 'gradients'>,
  layer: number,
): Float32Array {
  const { backend, config } = model
  const { neurons: F, width: D } = config
  return BufferScope.within(backend, (scope) => {
    const weightGrad = scope.allocate('f32', [F, D])
    const preGrad = scope.upload(gradients.fc1Pre(layer), [trace.length, F])
    const input = scope.upload(trace.fc1Input(layer), [trace.length, D])
    backend.ops.linear_backward_weight(weightGrad, preGrad, input, null)
    return backend.readF32(weightGrad)
  })
}

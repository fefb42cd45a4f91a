/**
 * The derivatives of the loss in every step of a program, in reverse: each operation passes the derivative in its result on to what
 * it read, by one rule. A value that several steps read gets the sum, in the order of those steps.
 *
 *   loss = −(1 / N) Σ log softmax(logits[t])[label[t]]     over the N tokens t that have a label
 *
 * `linear` and `combine` are each other's gradients; the gradient of `units` is `units`. A matrix that rounds activations
 * rounds a derivative likewise.
 */
import { attention_backward } from '../ops/attention.ts'
import { cross_entropy_backward, NOT_SCORED } from '../ops/cross_entropy.ts'
import { gates, relu_backward } from '../ops/activations.ts'
import { layer_norm_backward } from '../ops/layer_norm.ts'
import { mask_units } from '../ops/mask_units.ts'
import { rms_norm_backward } from '../ops/rms_norm.ts'
import { rotary_backward, rotaryTable } from '../ops/rotary.ts'
import { soft_cap_backward } from '../ops/soft_cap.ts'
import {
  byHead,
  factorsOf,
  maskUnits,
  normWeight,
  result,
  zeros,
  type Mask,
  type Tensor,
  type Weights,
} from './plain.ts'
import { EPSILON, scoring, stepsOf, type Value } from './program.ts'

/** The derivative of the loss in the logits [T, V]. labels [T]: what follows each token; NOT_SCORED has no part in it. */
export function lossBackward(logits: Tensor, labels: Int32Array): Tensor {
  const [T, V] = logits.shape
  const share = 1 / labels.filter((label) => label !== NOT_SCORED).length
  const each = new Float32Array(T).fill(share)
  return result([T, V], (grad) => cross_entropy_backward(grad, each, logits.data, labels, T, V))
}

/**
 * The derivative of a number in every step, from its derivative in the last.
 * @param results what `run` computed @param endGrad in the last step: [T, V]
 */
export function gradients(
  end: Value,
  weights: Weights,
  results: ReadonlyMap<Value, Tensor>,
  endGrad: Tensor,
  mask: Mask = null,
): Map<Value, Tensor> {
  const steps = stepsOf(end)
  /** What later steps pass to a value, the last of them first. */
  const passed = new Map<Value, Tensor[]>([[end, [endGrad]]])
  const sums = new Map<Value, Tensor>()
  const at = (value: Value): Tensor => results.get(value) as Tensor
  for (const step of steps.toReversed()) {
    const parts = passed.get(step)
    // Ids have no derivatives.
    if (parts === undefined) continue
    const grad = parts.toReversed().reduce(plus)
    sums.set(step, grad)
    propagate(step, grad, { weights, at, mask }).forEach((part, i) => {
      const value = step.of[i]
      passed.set(value, [...(passed.get(value) ?? []), part])
    })
  }
  return sums
}

const plus = (a: Tensor, b: Tensor): Tensor =>
  result(a.shape, (y) => a.data.forEach((value, i) => (y[i] = value + b.data[i])))

/** What a rule reads. */
interface Rest {
  readonly weights: Weights
  readonly at: (value: Value) => Tensor
  readonly mask: Mask
}

/** The derivatives in what a step read, from that in its result [T, width]. */
function propagate(step: Value, grad: Tensor, { weights, at, mask }: Rest): Tensor[] {
  const [T] = grad.shape
  const [x, y, z] = step.of.map(at)
  switch (step.op) {
    case 'tokens':
    case 'positions':
    case 'embedding':
      return []
    case 'layerNorm': {
      const { data: weight } = weights.vector(step.weight)
      const { width: D } = step
      return [
        result(x.shape, (g) => layer_norm_backward(g, null, null, grad.data, x.data, weight, EPSILON, T, D)),
      ]
    }
    case 'rmsNorm': {
      const { data: weight, size: D } = normWeight(weights, step.weight)
      const { epsilon } = step
      const rows = x.size / D
      return [result(x.shape, (g) => rms_norm_backward(g, null, grad.data, x.data, weight, epsilon, rows, D))]
    }
    case 'linear':
      return [weights.matrix(step.weight, false).sums(grad, null)]
    case 'combine':
      return [weights.matrix(step.weight, true).dots(grad, null)]
    case 'rotate': {
      const { headSize: K, width } = step
      const table = rotaryTable(step.rotary, T, K)
      const [H, R] = [width / K, table.length / T]
      return [result(x.shape, (g) => rotary_backward(g, grad.data, table, T, H, R, K))]
    }
    case 'attention': {
      const { headSize: K, width } = step
      const G = y.shape[1] / K
      const grads = [x, y, z].map(({ shape }) => zeros(...shape))
      const [q, k, v] = grads.map(({ data }) => data)
      const inputs = [grad.data, x.data, byHead(y, K), byHead(z, K)] as const
      const { scale, cap, window } = scoring(step, T)
      attention_backward(q, k, v, ...inputs, scale, cap, T, window, T, width / K, G, K)
      return grads
    }
    case 'units':
      return [maskUnits(grad, factorsOf(mask, step.kind, step.layer))]
    case 'add':
      return [grad, grad]
    case 'scale':
      return [result(x.shape, (g) => mask_units(g, grad.data, Float32Array.of(step.factor), 1, 1, x.size))]
    case 'cap':
      return [result(x.shape, (g) => soft_cap_backward(g, grad.data, x.data, step.cap, x.size))]
    case 'relu':
      return [result(x.shape, (g) => relu_backward(g, grad.data, x.data, x.size))]
    case 'gate': {
      const grads = [x, y].map(({ shape }) => zeros(...shape))
      gates[step.activation].backward(grads[0].data, grads[1].data, grad.data, x.data, y.data, x.size)
      return grads
    }
  }
}

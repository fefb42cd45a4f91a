/**
 * Bugs planted in the operations of src/ops/layer_norm.ts.
 */
import * as layerNormLaws from '../../src/verify/ops/layer_norm.ts'
import { agree, gradients, mutant, type Mutant } from './mutant.ts'

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'layer_norm',
    'leaves the mean in',
    [layerNormLaws.standardises, layerNormLaws.isClosedForm, layerNormLaws.constantRow],
    (layer_norm) => (y, x, weight, bias, epsilon, T, D) => {
      layer_norm(y, x, weight, bias, epsilon, T, D)
      y.set(y.map((value, n) => value + x[n]))
    },
  ),

  mutant(
    'layer_norm',
    'ignores epsilon',
    [...agree('layer_norm'), layerNormLaws.isClosedForm],
    (layer_norm) => (y, x, weight, bias, _, T, D) => layer_norm(y, x, weight, bias, 0, T, D),
  ),

  mutant(
    'layer_norm',
    'divides the variance by D - 1',
    [...agree('layer_norm'), layerNormLaws.standardises, layerNormLaws.isClosedForm],
    (layer_norm) => (y, x, weight, bias, epsilon, T, D) => {
      const narrow = weight.map((w) => w * Math.sqrt(Math.max(D - 1, 1) / D))
      layer_norm(y, x, narrow, bias, epsilon, T, D)
    },
  ),

  mutant(
    'layer_norm_backward',
    'has one sign wrong',
    [...agree('layer_norm_backward'), ...gradients('layer_norm'), layerNormLaws.gradientIsOrthogonal],
    (backward) => (x_grad, weight_grad, bias_grad, y_grad, x, weight, epsilon, T, D) => {
      const sum = x_grad.slice()
      backward(x_grad, weight_grad, bias_grad, y_grad, x, weight, epsilon, T, D)
      // scale (g - mean(g)) is what a gradient without the second mean gives; reflecting about it flips that mean.
      for (let t = 0; t < T; t++) {
        const row = (values: Float32Array): Float32Array => values.subarray(t * D, (t + 1) * D)
        const mean = row(x).reduce((total, value) => total + value, 0) / D
        const variance = row(x).reduce((total, value) => total + (value - mean) ** 2, 0) / D
        const g = row(y_grad).map((value, d) => value * weight[d])
        const gMean = g.reduce((total, value) => total + value, 0) / D
        row(sum).set(g.map((value) => (value - gMean) / Math.sqrt(variance + epsilon)))
      }
      x_grad.set(x_grad.map((value, n) => 2 * sum[n] - value))
    },
  ),
]

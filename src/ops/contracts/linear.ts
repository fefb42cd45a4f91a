/**
 * The contracts of linear in every storage, and of its gradients: parameters, cost, gradients and bounds.
 */
import {
  accumulator,
  arrayTypes,
  chosen,
  defineOp,
  defineStoredOp,
  input,
  kernelName,
  output,
  quotient,
  sizes,
  stored,
  type StorageDescription,
  type GradientRule,
  type Op,
  type Stored,
  type InStorage,
  type PlainOp,
} from '../op.ts'
import { linear_i4 } from '../linear_i4.ts'
import { BLOCK } from '../../tensor/int4.ts'
import { linear_i8 } from '../linear_i8.ts'
import type { FloatStorage } from '../../tensor/halves.ts'
import { linear, linear_backward_weight, linear_backward_bias } from '../linear.ts'
import { chain, striped, sequential } from '../relaxed.ts'

/** The int4 kernel of `linear`. */
const linearI4: StorageDescription<Parameters<typeof linear_i4>> = {
  formula:
    'y[t,o] = sum over b of ((scale[o,b] step[t,b]) <q[t,b], n[o,b]> + minimum[o,b] sum[t,b]) + bias[o] for chosen rows o, else 0; x[t,b] ~ step[t,b] q[t,b]',
  reference: linear_i4,
  stored: [input('weight', 'G B 80', { sideBySide: 4 })],
  sizes: [quotient('G', 'O', 4), quotient('B', 'I', BLOCK)],
  most: { I: 65_536 },
  flops: ({ T, R, I }) => 2 * T * R * I,
  bytes: ({ T, O, I, R, B }) => 4 * (T * O + T * I + 2 * R) + 20 * R * B,
}

/** The int8 kernel of `linear`. */
const linearI8: StorageDescription<Parameters<typeof linear_i8>> = {
  formula:
    'y[t,o] = step[t] scales[o] <q[t], weight[o]> + bias[o] for chosen rows o, else 0; x[t] ~ step[t] q[t]',
  reference: linear_i8,
  most: { I: 32_768 },
  flops: ({ T, R, I }) => 2 * T * R * I,
  bytes: ({ T, O, I, R }) => 4 * (T * O + T * I + 3 * R) + R * I,
}

/** In a storage that is widened. */
function inFloats(
  storage: FloatStorage,
  more: readonly GradientRule[] = [],
): StorageDescription<Parameters<typeof linear>> {
  const width = arrayTypes[storage].BYTES_PER_ELEMENT
  return {
    formula: 'y[t,o] = <x[t], weight[o]> + bias[o] for chosen rows o, else 0',
    reference: (y, x, weight, bias, rows, T, O, I, R) =>
      linear(y, x, weight, bias, rows, T, O, I, R, storage),
    relaxed: chain(({ I }) => striped(I) + 1, 'x weight bias'),
    fast: chain(({ I }) => sequential(I) + 1, 'x weight bias'),
    flops: ({ T, R, I }) => 2 * T * R * I,
    bytes: ({ T, O, I, R }) => 4 * (T * O + T * I + 2 * R) + width * R * I,
    gradients: [
      {
        of: ['x'],
        op: kernelName('linear_input_major', storage),
        bind: { y: 'x_grad', x: 'y_grad', bias: null, inputs: 'rows', O: 'I', I: 'O' },
      },
      { of: ['bias'], op: 'linear_backward_bias' },
      ...more,
    ],
  }
}

/** Weights learn in float32 only. */
const weightGradient: GradientRule = {
  of: ['weight'],
  op: 'linear_backward_weight',
}

/** Op definition. */
export const linearOp: Op<
  [y: Float32Array, x: Float32Array, weight: Stored, bias: Float32Array | null, rows: Int32Array | null],
  {
    f32: InStorage<typeof linear, Float32Array>
    bf16: InStorage<typeof linear, Uint16Array>
    f16: InStorage<typeof linear, Uint16Array>
    i8: typeof linear_i8
    i4: typeof linear_i4
  }
> = defineStoredOp(
  'linear',
  [
    output('y', 'T O'),
    input('x', 'T I'),
    stored(input('weight', 'O I'), input('scales', 'O', { least: 0 })),
    input('bias', 'O', { optional: true }),
    chosen('rows', 'R', 'O'),
    ...sizes('T O I R'),
  ],
  {
    f32: inFloats('f32', [weightGradient]),
    bf16: inFloats('bf16'),
    f16: inFloats('f16'),
    i8: linearI8,
    i4: linearI4,
  },
)

/** Op definition. */
export const linearBackwardWeightOp: PlainOp<typeof linear_backward_weight> = defineOp({
  name: 'linear_backward_weight',
  formula: 'weight_grad[o,i] += sum over t of y_grad[t,o] x[t,i] for chosen rows o',
  params: [
    accumulator('weight_grad', 'O I'),
    input('y_grad', 'T O'),
    input('x', 'T I'),
    chosen('rows', 'R', 'O'),
    ...sizes('T O I R'),
  ],
  reference: linear_backward_weight,
  relaxed: chain(({ T }) => sequential(T), 'weight_grad y_grad x'),
  flops: ({ T, R, I }) => 2 * T * R * I,
  bytes: ({ T, R, I }) => 4 * (R * I + T * R + T * I + R),
})

/** Op definition. */
export const linearBackwardBiasOp: PlainOp<typeof linear_backward_bias> = defineOp({
  name: 'linear_backward_bias',
  formula: 'bias_grad[o] += sum over t of y_grad[t,o] for chosen rows o',
  params: [
    accumulator('bias_grad', 'O'),
    input('y_grad', 'T O'),
    chosen('rows', 'R', 'O'),
    ...sizes('T O R'),
  ],
  reference: linear_backward_bias,
  flops: ({ T, R }) => T * R,
  bytes: ({ T, R }) => 4 * (2 * R + T * R),
})

/**
 * The contract of linear_input_major in every storage: parameters, cost, gradients and bounds.
 */
import {
  arrayTypes,
  chosenTerms,
  defineStoredOp,
  ids,
  input,
  kernelName,
  output,
  quotient,
  size,
  sizeNeededBy,
  sizes,
  stored,
  type StorageDescription,
  type GradientRule,
  type Op,
  type Stored,
  type InStorage,
} from '../op.ts'
import { linear_input_major_i4 } from '../linear_input_major_i4.ts'
import { TILE_BYTES, TILE, BLOCK } from '../../tensor/int4.ts'
import { linear_input_major_i8 } from '../linear_input_major_i8.ts'
import type { FloatStorage } from '../../tensor/halves.ts'
import { linear_input_major } from '../linear_input_major.ts'
import { chain, sequential } from '../relaxed.ts'

/** The int4 kernel of `linear_input_major`. */
const linearInputMajorI4: StorageDescription<Parameters<typeof linear_input_major_i4>> = {
  formula:
    'y[t,o] = sum over b of ((scale[b,o] step[t,b]) (sum over chosen i of b of q[t,i] n[i,o]) + minimum[b,o] sum[t,b]) + bias[o]; x[t,i] ~ step[t,b] q[t,i]',
  reference: linear_input_major_i4,
  stored: [
    input('weight', `C S ${TILE_BYTES}`),
    input('scales', `C B ${2 * TILE}`, { finite: true }),
    ids('blocks', 'I', 'B'),
  ],
  sizes: [quotient('C', 'O', TILE), size('S', 'I'), sizeNeededBy('B', 'I')],
  most: { I: 49_152, B: 49_152 },
  flops: ({ T, R, O }) => 2 * T * R * O,
  bytes: ({ T, O, R, C }) =>
    4 * (T * O + T * R + O + 3 * R) + C * (TILE_BYTES * R + 8 * TILE * Math.ceil(R / BLOCK)),
}

/** The int8 kernel of `linear_input_major`. */
const linearInputMajorI8: StorageDescription<Parameters<typeof linear_input_major_i8>> = {
  formula:
    'y[t,o] = step[t] (sum over chosen i of q[t,i] weight[i,o]) + bias[o]; x[t,i] scales[i] ~ step[t] q[t,i]',
  reference: linear_input_major_i8,
  most: { I: 65_536 },
  flops: ({ T, R, O }) => 2 * T * R * O,
  bytes: ({ T, O, R }) => 4 * (T * O + T * R + O + 2 * R) + R * O,
}

/** In a storage that is widened. */
function inFloats(
  storage: FloatStorage,
  more: readonly GradientRule[] = [],
): StorageDescription<Parameters<typeof linear_input_major>> {
  const width = arrayTypes[storage].BYTES_PER_ELEMENT
  return {
    formula: 'y[t,o] = sum over chosen inputs i of x[t,i] weight[i,o], + bias[o]',
    reference: (y, x, weight, bias, inputs, T, O, I, R) =>
      linear_input_major(y, x, weight, bias, inputs, T, O, I, R, storage),
    relaxed: chain(({ I }) => sequential(I) + 1, 'x weight bias'),
    fast: chain(({ I }) => sequential(I) + 1, 'x weight bias'),
    flops: ({ T, R, O }) => 2 * T * R * O,
    bytes: ({ T, O, R }) => 4 * (T * O + T * R + O + R) + width * R * O,
    gradients: [
      {
        of: ['x'],
        op: kernelName('linear', storage),
        bind: { y: 'x_grad', x: 'y_grad', bias: null, rows: 'inputs', O: 'I', I: 'O' },
      },
      {
        of: ['bias'],
        op: 'linear_backward_bias',
        bind: { rows: null, R: 'O' },
      },
      ...more,
    ],
  }
}

/** Weights learn in float32 only. */
const weightGradient: GradientRule = {
  of: ['weight'],
  op: 'linear_backward_weight',
  bind: { y_grad: 'x', x: 'y_grad', rows: 'inputs', O: 'I', I: 'O' },
}

/** Op definition. */
export const linearInputMajorOp: Op<
  [y: Float32Array, x: Float32Array, weight: Stored, bias: Float32Array | null, inputs: Int32Array | null],
  {
    f32: InStorage<typeof linear_input_major, Float32Array>
    bf16: InStorage<typeof linear_input_major, Uint16Array>
    f16: InStorage<typeof linear_input_major, Uint16Array>
    i8: typeof linear_input_major_i8
    i4: typeof linear_input_major_i4
  }
> = defineStoredOp(
  'linear_input_major',
  [
    output('y', 'T O'),
    input('x', 'T I'),
    stored(input('weight', 'I O', { finite: true }), input('scales', 'I', { least: 0, finite: true })),
    input('bias', 'O', { optional: true }),
    chosenTerms('inputs', 'R', 'I'),
    ...sizes('T O I R'),
  ],
  {
    f32: inFloats('f32', [weightGradient]),
    bf16: inFloats('bf16'),
    f16: inFloats('f16'),
    i8: linearInputMajorI8,
    i4: linearInputMajorI4,
  },
)

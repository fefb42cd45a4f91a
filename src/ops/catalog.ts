/**
 * The catalogue: every op of the project.
 *
 * Backends implement their kernels; laws and benches loop over these. Each op is defined in src/ops/<op>.ts, and
 * src/ops/contracts/<op>.ts says what its callers and kernels owe each other: parameters, ranges, bounds, costs, gradients. This
 * page only lists them. Adding an op: write both, add it here, write assembly/<op>.ts; the laws come for free.
 */
import { adamwStepOp } from './contracts/adamw_step.ts'
import { addOp } from './contracts/add.ts'
import { attentionBackwardOp, attentionOp } from './contracts/attention.ts'
import { bceBackwardOp, bceOp } from './contracts/bce.ts'
import { cacheAppendOp } from './contracts/cache_append.ts'
import { choleskyOp, solveCholeskyOp } from './contracts/cholesky.ts'
import { copyInterleavedRowsOp } from './contracts/copy_interleaved_rows.ts'
import { copyRowsOp } from './contracts/copy_rows.ts'
import { crossEntropyBackwardOp, crossEntropyOp } from './contracts/cross_entropy.ts'
import { embeddingBackwardOp, embeddingOp } from './contracts/embedding.ts'
import { expOp, logOp } from './contracts/exp.ts'
import { layerNormBackwardOp, layerNormOp } from './contracts/layer_norm.ts'
import { linearBackwardBiasOp, linearBackwardWeightOp, linearOp } from './contracts/linear.ts'
import { linearInputMajorOp } from './contracts/linear_input_major.ts'
import { logSumExpBackwardOp, logSumExpOp } from './contracts/log_sum_exp.ts'
import { maskUnitsOp } from './contracts/mask_units.ts'
import { minMaxOp } from './contracts/min_max.ts'
import { mseBackwardOp, mseOp } from './contracts/mse.ts'
import { narrowOp } from './contracts/narrow.ts'
import { quantizeRowsOp } from './contracts/quantize_rows.ts'
import {
  geluTanhGateBackwardOp,
  geluTanhGateOp,
  reluBackwardOp,
  reluGateBackwardOp,
  reluGateOp,
  reluOp,
  siluGateBackwardOp,
  siluGateOp,
} from './contracts/activations.ts'
import { rmsNormBackwardOp, rmsNormOp } from './contracts/rms_norm.ts'
import { rotaryBackwardOp, rotaryOp } from './contracts/rotary.ts'
import { softCapBackwardOp, softCapOp } from './contracts/soft_cap.ts'
import { softmaxBackwardOp, softmaxOp } from './contracts/softmax.ts'
import { sumOp } from './contracts/sum.ts'
import { sumSquaresOp } from './contracts/sum_squares.ts'
import { topKOp } from './contracts/top_k.ts'
import { transposeOp } from './contracts/transpose.ts'
import type { Kernel, Op } from './op.ts'

/** Every op by name. */
export const catalog = {
  embedding: embeddingOp,
  embedding_backward: embeddingBackwardOp,
  linear: linearOp,
  linear_input_major: linearInputMajorOp,
  linear_backward_weight: linearBackwardWeightOp,
  linear_backward_bias: linearBackwardBiasOp,
  layer_norm: layerNormOp,
  layer_norm_backward: layerNormBackwardOp,
  rms_norm: rmsNormOp,
  rms_norm_backward: rmsNormBackwardOp,
  rotary: rotaryOp,
  rotary_backward: rotaryBackwardOp,
  cache_append: cacheAppendOp,
  attention: attentionOp,
  attention_backward: attentionBackwardOp,
  relu: reluOp,
  relu_backward: reluBackwardOp,
  relu_gate: reluGateOp,
  relu_gate_backward: reluGateBackwardOp,
  silu_gate: siluGateOp,
  silu_gate_backward: siluGateBackwardOp,
  gelu_tanh_gate: geluTanhGateOp,
  gelu_tanh_gate_backward: geluTanhGateBackwardOp,
  soft_cap: softCapOp,
  soft_cap_backward: softCapBackwardOp,
  add: addOp,
  mask_units: maskUnitsOp,
  exp: expOp,
  log: logOp,
  softmax: softmaxOp,
  softmax_backward: softmaxBackwardOp,
  log_sum_exp: logSumExpOp,
  log_sum_exp_backward: logSumExpBackwardOp,
  cross_entropy: crossEntropyOp,
  cross_entropy_backward: crossEntropyBackwardOp,
  mse: mseOp,
  mse_backward: mseBackwardOp,
  bce: bceOp,
  bce_backward: bceBackwardOp,
  min_max: minMaxOp,
  sum: sumOp,
  sum_squares: sumSquaresOp,
  adamw_step: adamwStepOp,
  top_k: topKOp,
  transpose: transposeOp,
  cholesky: choleskyOp,
  solve_cholesky: solveCholeskyOp,
  narrow: narrowOp,
  quantize_rows: quantizeRowsOp,
  copy_rows: copyRowsOp,
  copy_interleaved_rows: copyInterleavedRowsOp,
} as const

type Catalog = typeof catalog

/** The name of an op. */
export type OpName = keyof Catalog

/** Every op's name, in catalogue order. */
export const opNames = Object.keys(catalog) as OpName[]

/** The name of a kernel: the same in TypeScript, AssemblyScript, Rust, CUDA and the law book. */
export type KernelName = {
  [Name in OpName]: {
    [Storage in keyof Catalog[Name]['kernels']]: Storage extends 'f32' ? Name : `${Name}_${Storage & string}`
  }[keyof Catalog[Name]['kernels']]
}[OpName]

/**
 * The kernels that compute an op, one for each storage of its matrix: their names, definitions and bounds, without their types of
 * arguments. {@link catalog} has them typed, by op.
 * @param op its name in the catalogue
 */
export function kernelsOf(op: OpName): Kernel[] {
  return Object.values((catalog[op] as Op).kernels) as unknown as Kernel[]
}

/** Every kernel by name, their argument types forgotten. */
export const kernels = Object.fromEntries(
  opNames.flatMap((op) => kernelsOf(op).map((kernel) => [kernel.name, kernel])),
) as Readonly<Record<KernelName, Kernel>>

/** Every kernel's name, in catalogue order. */
export const kernelNames = Object.keys(kernels) as KernelName[]

/**
 * The catalogue: every op of the project.
 *
 * Backends implement their kernels; laws and benches loop over these. What an op owes is in its own file; this page only
 * lists them. Adding an op: write src/ops/<op>.ts, add it here, write assembly/<op>.ts; the laws come for free.
 */
import type { Kernel, Op } from './op.ts'
import { adamwStepOp } from './adamw_step.ts'
import { addOp } from './add.ts'
import { attentionBackwardOp, attentionOp } from './attention.ts'
import { bceBackwardOp, bceOp } from './bce.ts'
import { cacheAppendOp } from './cache_append.ts'
import { copyInterleavedRowsOp } from './copy_interleaved_rows.ts'
import { copyRowsOp } from './copy_rows.ts'
import { crossEntropyBackwardOp, crossEntropyOp } from './cross_entropy.ts'
import { embeddingBackwardOp, embeddingOp } from './embedding.ts'
import { expOp, logOp } from './exp.ts'
import { layerNormBackwardOp, layerNormOp } from './layer_norm.ts'
import { linearOp } from './linear.ts'
import { linearBackwardBiasOp, linearBackwardWeightOp } from './linear_backward.ts'
import { linearInputMajorOp } from './linear_input_major.ts'
import { logSumExpBackwardOp, logSumExpOp } from './log_sum_exp.ts'
import { maskUnitsOp } from './mask_units.ts'
import { minMaxOp } from './min_max.ts'
import { mseBackwardOp, mseOp } from './mse.ts'
import { narrowOp } from './narrow.ts'
import { quantizeRowsOp } from './quantize_rows.ts'
import { reluBackwardOp, reluGateBackwardOp, reluGateOp, reluOp } from './relu.ts'
import { rmsNormBackwardOp, rmsNormOp } from './rms_norm.ts'
import { rotaryBackwardOp, rotaryOp } from './rotary.ts'
import { siluGateBackwardOp, siluGateOp } from './silu_gate.ts'
import { softmaxBackwardOp, softmaxOp } from './softmax.ts'
import { sumOp } from './sum.ts'
import { sumSquaresOp } from './sum_squares.ts'
import { topKOp } from './top_k.ts'
import { transposeOp } from './transpose.ts'

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

/** The kernels of an op, their argument types forgotten. */
export function kernelsOf(op: OpName): Kernel[] {
  return Object.values((catalog[op] as Op).kernels) as unknown as Kernel[]
}

/** Every kernel by name, their argument types forgotten. */
export const kernels = Object.fromEntries(
  opNames.flatMap((op) => kernelsOf(op).map((kernel) => [kernel.name, kernel])),
) as Readonly<Record<KernelName, Kernel>>

/** Every kernel's name, in catalogue order. */
export const kernelNames = Object.keys(kernels) as KernelName[]

/**
 * The catalogue: every op of the project, one row each.
 *
 * Backends implement these rows, laws and benches loop over them. A row's contract is in its own file; this page only
 * lists them. Adding an op: write src/ops/<op>.ts, add its row here, write assembly/<op>.ts; the laws come for free.
 */
import type { Op } from './op.ts'
import { adamwStepOp } from './adamw_step.ts'
import { addOp } from './add.ts'
import { attentionBackwardOp, attentionOp } from './attention.ts'
import { attentionI8Op } from './attention_i8.ts'
import { bceBackwardOp, bceOp } from './bce.ts'
import { cacheAppendOp } from './cache_append.ts'
import { cacheAppendI8Op } from './cache_append_i8.ts'
import { copyRowsBf16Op, copyRowsF16Op, copyRowsI8Op, copyRowsOp } from './copy_rows.ts'
import { crossEntropyBackwardOp, crossEntropyOp } from './cross_entropy.ts'
import {
  embeddingBackwardOp,
  embeddingBf16Op,
  embeddingF16Op,
  embeddingI8Op,
  embeddingOp,
} from './embedding.ts'
import { expOp, logOp } from './exp.ts'
import { layerNormBackwardOp, layerNormOp } from './layer_norm.ts'
import { linearBf16Op, linearF16Op, linearOp } from './linear.ts'
import { linearBackwardBiasOp, linearBackwardWeightOp } from './linear_backward.ts'
import { linearI8Op } from './linear_i8.ts'
import { linearInputMajorBf16Op, linearInputMajorF16Op, linearInputMajorOp } from './linear_input_major.ts'
import { linearInputMajorI8Op } from './linear_input_major_i8.ts'
import { logSumExpBackwardOp, logSumExpOp } from './log_sum_exp.ts'
import { maskUnitsOp } from './mask_units.ts'
import { minMaxOp } from './min_max.ts'
import { mseBackwardOp, mseOp } from './mse.ts'
import { narrowBf16Op, narrowF16Op } from './narrow.ts'
import { quantizeRowsOp } from './quantize_rows.ts'
import { reluBackwardOp, reluOp } from './relu.ts'
import { softmaxBackwardOp, softmaxOp } from './softmax.ts'
import { sumOp } from './sum.ts'
import { sumSquaresOp } from './sum_squares.ts'
import { topKOp } from './top_k.ts'
import { transposeBf16Op, transposeF16Op, transposeOp } from './transpose.ts'

/** Every op by name. */
export const catalog = {
  embedding: embeddingOp,
  embedding_bf16: embeddingBf16Op,
  embedding_f16: embeddingF16Op,
  embedding_i8: embeddingI8Op,
  embedding_backward: embeddingBackwardOp,
  linear: linearOp,
  linear_bf16: linearBf16Op,
  linear_f16: linearF16Op,
  linear_i8: linearI8Op,
  linear_input_major: linearInputMajorOp,
  linear_input_major_bf16: linearInputMajorBf16Op,
  linear_input_major_f16: linearInputMajorF16Op,
  linear_input_major_i8: linearInputMajorI8Op,
  linear_backward_weight: linearBackwardWeightOp,
  linear_backward_bias: linearBackwardBiasOp,
  layer_norm: layerNormOp,
  layer_norm_backward: layerNormBackwardOp,
  cache_append: cacheAppendOp,
  cache_append_i8: cacheAppendI8Op,
  attention: attentionOp,
  attention_i8: attentionI8Op,
  attention_backward: attentionBackwardOp,
  relu: reluOp,
  relu_backward: reluBackwardOp,
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
  transpose_bf16: transposeBf16Op,
  transpose_f16: transposeF16Op,
  narrow_bf16: narrowBf16Op,
  narrow_f16: narrowF16Op,
  quantize_rows: quantizeRowsOp,
  copy_rows: copyRowsOp,
  copy_rows_bf16: copyRowsBf16Op,
  copy_rows_f16: copyRowsF16Op,
  copy_rows_i8: copyRowsI8Op,
} as const

/** The name of an op: the same in TypeScript, AssemblyScript, CUDA and the law book. */
export type OpName = keyof typeof catalog

/** Every name, in catalogue order. */
export const opNames = Object.keys(catalog) as OpName[]

/** One row, its argument types forgotten: for code that walks the whole table. */
export function opRow(name: OpName): Op {
  return catalog[name] as unknown as Op
}

/**
 * How far apart two parity files may be, tensor by tensor.
 *
 * A file written in float32 is held to the golden values, computed in float64, within these bounds. What fixes them is
 * the deviation of the Hugging Face float32 model itself on the golden cases (logits 1.6e-5, gradients 1.4e-6), with
 * room for another order of additions:
 *
 *   inputs       equal                              input_ids, attention_mask, labels, head_mask, ffn_mask, tokens
 *   logits       2e-4, absolute                     logits, masked.logits
 *   nll          2e-4, absolute                     nll
 *   loss         1e-5, relative                     loss, masked.loss
 *   gradients    1e-4 of the tensor's largest value head_out_grad, fc1_act_grad, ffn_act_grad, grad.<parameter>
 *   criteria     1e-4 of the tensor's largest value crit.<name>_head, crit.<name>_ffn
 *   activations  1e-4 of the tensor's largest value hidden.<l>, head_out, fc1_act, ffn_act, and anything else
 *
 * Rows that belong to padding are undefined, so they are left out; `rows` says which axes of a tensor they are.
 */

/** How an error is measured. */
export type Measure = 'absolute' | 'relative' | 'largest'

/** The expectation for a kind of tensor. */
export interface TensorKind {
  readonly kind: 'inputs' | 'logits' | 'nll' | 'loss' | 'gradients' | 'criteria' | 'activations'
  readonly tolerance: number
  readonly measure: Measure
  /** The axes that are sequence and token, where the tensor has them. */
  readonly rows: { readonly batch: number; readonly token: number } | null
}

const batchFirst = { batch: 0, token: 1 } // [B, T, ...]
const layerFirst = { batch: 1, token: 2 } // [L, B, T, ...]
const attentionRows = { batch: 0, token: 2 } // [B, H, T, T]

const inputNames = /^(input_ids|attention_mask|labels|prompt|(head|ffn)_mask(_per_sample)?|.*\.tokens)$/
const layerNames = /^(head_out|fc1_pre|fc1_act|ffn_act)(_grad)?$/

/** The bounds a tensor of a parity file is held to, by its name. */
export function kindOf(name: string): TensorKind {
  if (inputNames.test(name)) return { kind: 'inputs', tolerance: 0, measure: 'absolute', rows: null }
  if (/(^|\.)logits$/.test(name))
    return { kind: 'logits', tolerance: 2e-4, measure: 'absolute', rows: batchFirst }
  if (/(^|\.)nll$/.test(name)) return { kind: 'nll', tolerance: 2e-4, measure: 'absolute', rows: batchFirst }
  if (/(^|\.)loss$/.test(name)) return { kind: 'loss', tolerance: 1e-5, measure: 'relative', rows: null }
  if (name.startsWith('crit.')) return { kind: 'criteria', tolerance: 1e-4, measure: 'largest', rows: null }
  const rows = layerNames.test(name)
    ? layerFirst
    : /^(hidden\.\d+|embeddings)$/.test(name)
      ? batchFirst
      : /^attn\.\d+$/.test(name)
        ? attentionRows
        : null
  const kind = name.endsWith('_grad') || name.startsWith('grad.') ? 'gradients' : 'activations'
  return { kind, tolerance: 1e-4, measure: 'largest', rows }
}

/** Whether a parity file has tensors of this name: what has another one is misspelt. */
export function isKnownName(name: string): boolean {
  return (
    inputNames.test(name) ||
    layerNames.test(name) ||
    /^(hidden\.\d+|embeddings|attn\.\d+|(crit|grad)\..+|(.+\.)?(logits|nll|loss))$/.test(name)
  )
}

/** A bound in words, for a table. */
export function describeBound(tolerance: number, measure: Measure): string {
  if (tolerance === 0) return 'equal'
  const words = { absolute: 'absolute', relative: 'relative', largest: 'of the largest value' }
  return `${tolerance.toExponential()} ${words[measure]}`
}

/**
 * cross_entropy: nll[t] = log(sum(e^(logits[t] - max))) - (logits[t, labels[t]] - max), 0 where the label is -100.
 * cross_entropy_backward: logits_grad[t] = nll_grad[t] * (softmax(logits[t]) - onehot(labels[t])), 0 where not scored.
 */
import { scaleArray } from './elementwise'
import { bytes, largest, log1 } from './float32'
import { softmaxRow, sumExponentials } from './softmax_row'
import { rowAt, unitAt } from './units'

/** The label of a position that is not scored. */
const NOT_SCORED: i32 = -100

export function cross_entropy(
  nll: usize, // [T]
  logits: usize, // [T, V]
  labels: usize, // [T]
  T: i32,
  V: i32,
): void {
  for (let t = 0; t < T; t++) {
    const label = unitAt(labels, t)
    const row = rowAt(logits, t, V)
    let value: f32 = 0
    if (label != NOT_SCORED) {
      const most = largest(row, V)
      value = log1(sumExponentials(row, most, V)) - (load<f32>(row + bytes(label)) - most)
    }
    store<f32>(nll + bytes(t), value)
  }
}

export function cross_entropy_backward(
  logits_grad: usize, // [T, V]
  nll_grad: usize, // [T]
  logits: usize, // [T, V]
  labels: usize, // [T]
  T: i32,
  V: i32,
): void {
  for (let t = 0; t < T; t++) {
    const label = unitAt(labels, t)
    const to = rowAt(logits_grad, t, V)
    if (label == NOT_SCORED) {
      memory.fill(to, 0, bytes(V))
      continue
    }
    softmaxRow(to, rowAt(logits, t, V), V)
    const at = to + bytes(label)
    store<f32>(at, load<f32>(at) - 1)
    scaleArray(to, to, load<f32>(nll_grad + bytes(t)), V)
  }
}

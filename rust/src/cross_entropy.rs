//! cross_entropy: nll[t] = log(sum(e^(logits[t] - max))) - (logits[t, labels[t]] - max), 0 where the label is -100.
//! cross_entropy_backward: logits_grad[t] = nll_grad[t] * (softmax(logits[t]) - onehot(labels[t])), 0 where not scored.
use crate::elementwise::scale_array;
use crate::float32::{largest, log1};
use crate::softmax_row::{softmax_row, sum_exponentials};
use crate::units::clear;

/// The label of a position that is not scored.
const NOT_SCORED: i32 = -100;

#[no_mangle]
pub unsafe extern "C" fn cross_entropy(
    nll: *mut f32,      // [T]
    logits: *const f32, // [T, V]
    labels: *const i32, // [T]
    T: usize,
    V: usize,
) {
    for t in 0..T {
        let label = *labels.wrapping_add(t);
        let row = logits.wrapping_add(t * V);
        *nll.wrapping_add(t) = if label == NOT_SCORED {
            0.0
        } else {
            let most = largest(row, V);
            log1(sum_exponentials(row, most, V)) - (*row.wrapping_add(label as usize) - most)
        };
    }
}

#[no_mangle]
pub unsafe extern "C" fn cross_entropy_backward(
    logits_grad: *mut f32, // [T, V]
    nll_grad: *const f32,  // [T]
    logits: *const f32,    // [T, V]
    labels: *const i32,    // [T]
    T: usize,
    V: usize,
) {
    for t in 0..T {
        let label = *labels.wrapping_add(t);
        let to = logits_grad.wrapping_add(t * V);
        if label == NOT_SCORED {
            clear(to, V);
            continue;
        }
        softmax_row(to, logits.wrapping_add(t * V), V);
        *to.wrapping_add(label as usize) -= 1.0;
        scale_array(to, to, *nll_grad.wrapping_add(t), V);
    }
}

//! attention: causal self-attention of T new tokens over a cache of S, for chosen heads; +0 for the others.
//! attention_backward: its gradients over a whole sequence. Formulas and order: src/ops/attention.ts.
use crate::attention_stream::{attend_heads, dot_rows, weigh, GROUP};
use crate::attention_tile::{attend_tiled, is_attention_tiled, queries_per_block};
use crate::elementwise::{add_scaled, scale_array};
use crate::float32::dot;
use crate::scratch::{attention_weights, score_gradients};
use crate::units::{chosen, clear, clear_owned, unit_at, List};
use crate::weighted_rows::add_rows;
use core::ptr::null;

#[no_mangle]
pub unsafe extern "C" fn attention(
    y: *mut f32,       // [T, H, K]
    query: *const f32, // [T, H, K]
    key: *const f32,   // [H, C, K]
    value: *const f32, // [H, C, K]
    heads: List,       // [R] or null
    scale: f32,
    T: usize,
    S: usize,
    C: usize,
    H: usize,
    K: usize,
    R: usize,
) {
    attention_part(y, query, key, value, heads, scale, T, S, C, H, K, R, 0, chosen(heads, R, H));
}

/// Heads from..to, or those of entries from..to of the list.
#[no_mangle]
pub unsafe extern "C" fn attention_part(
    y: *mut f32,       // [T, H, K]
    query: *const f32, // [T, H, K]
    key: *const f32,   // [H, C, K]
    value: *const f32, // [H, C, K]
    heads: List,       // [R] or null
    scale: f32,
    T: usize,
    S: usize,
    C: usize,
    H: usize,
    K: usize,
    R: usize,
    from: usize,
    to: usize,
) {
    if !heads.is_null() {
        clear_owned(y, heads, T, H, K, R, from, to);
    }
    let block = queries_per_block(T, S, K);
    if is_attention_tiled(block, S, K) {
        for r in from..to {
            let h = unit_at(heads, r);
            let (y, query) = (y.wrapping_add(h * K), query.wrapping_add(h * K));
            let (key, value) = (key.wrapping_add(h * C * K), value.wrapping_add(h * C * K));
            attend_tiled(y, query, key, value, scale, T, S, H, K, block);
        }
        return;
    }
    for r in (from..to).step_by(GROUP) {
        attend_heads(y, query, key, value, heads, scale, T, S, C, H, K, r, GROUP.min(to - r));
    }
}

#[no_mangle]
pub unsafe extern "C" fn attention_backward(
    query_grad: *mut f32, // [T, H, K]
    key_grad: *mut f32,   // [T, H, K]
    value_grad: *mut f32, // [T, H, K]
    y_grad: *const f32,   // [T, H, K]
    query: *const f32,    // [T, H, K]
    key: *const f32,      // [H, C, K]
    value: *const f32,    // [H, C, K]
    scale: f32,
    T: usize,
    C: usize,
    H: usize,
    K: usize,
) {
    let (weights, gradients) = (attention_weights(), score_gradients());
    clear(key_grad, T * H * K);
    clear(value_grad, T * H * K);
    for h in 0..H {
        let (key, value) = (key.wrapping_add(h * C * K), value.wrapping_add(h * C * K));
        for t in 0..T {
            let visible = t + 1;
            let here = (t * H + h) * K;
            let y_grad = y_grad.wrapping_add(here);
            // The scaled query stands in query_grad's row until every past position has received it.
            let row = query_grad.wrapping_add(here);
            scale_array(row, query.wrapping_add(here), scale, K);
            weigh(weights, row, key, visible, K);
            grade_scores(y_grad, value, visible, K);
            for s in 0..visible {
                let past = (s * H + h) * K;
                add_scaled(value_grad.wrapping_add(past), y_grad, *weights.wrapping_add(s), K);
                add_scaled(key_grad.wrapping_add(past), row.cast_const(), *gradients.wrapping_add(s), K);
            }
            clear(row, K);
            add_rows(row, key, gradients, null(), 1, K, K, visible, visible);
            scale_array(row, row, scale, K);
        }
    }
}

/// `score_gradients`[s] = w[s] (w_grad[s] - <w, w_grad>), with w_grad[s] = <y_grad, value[s]>.
unsafe fn grade_scores(y_grad: *const f32, value: *const f32, visible: usize, K: usize) {
    let (weights, gradients) = (attention_weights(), score_gradients());
    dot_rows(gradients, y_grad, value, visible, K);
    let mean = dot(weights, gradients.cast_const(), visible);
    for s in 0..visible {
        let at = gradients.wrapping_add(s);
        *at = *weights.wrapping_add(s) * (*at - mean);
    }
}

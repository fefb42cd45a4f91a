//! attention: causal self-attention of T new tokens over a cache of S, for chosen heads; +0 for the others.
//! attention_backward: its gradients over a whole sequence. Formulas and order: src/ops/attention.ts.
use crate::attention_stream::{attend_heads, dot_rows, GROUP};
use crate::attention_tile::{attend_tiled, is_attention_tiled, queries_per_block};
use crate::cap_scores::{cap_scores, cap_slopes};
use crate::elementwise::{add_scaled, scale_array};
use crate::float32::dot;
use crate::scratch::{attention_weights, score_gradients, score_slopes};
use crate::softmax_row::softmax_row;
use crate::units::{chosen, clear, clear_owned, key_head_of, unit_at, List};
use crate::weighted_rows::add_rows;
use core::ptr::null;

#[no_mangle]
pub unsafe extern "C" fn attention(
    y: *mut f32,       // [T, H, K]
    query: *const f32, // [T, H, K]
    key: *const f32,   // [G, C, K]
    value: *const f32, // [G, C, K]
    heads: List,       // [R] or null
    key_heads: List,   // [H] or null
    scale: f32,
    cap: f32,
    T: usize,
    S: usize,
    W: usize,
    C: usize,
    H: usize,
    G: usize,
    K: usize,
    R: usize,
) {
    let to = chosen(heads, R, H);
    attention_part(y, query, key, value, heads, key_heads, scale, cap, T, S, W, C, H, G, K, R, 0, to);
}

/// Heads from..to, or those of entries from..to of the list.
#[no_mangle]
pub unsafe extern "C" fn attention_part(
    y: *mut f32,       // [T, H, K]
    query: *const f32, // [T, H, K]
    key: *const f32,   // [G, C, K]
    value: *const f32, // [G, C, K]
    heads: List,       // [R] or null
    key_heads: List,   // [H] or null
    scale: f32,
    cap: f32,
    T: usize,
    S: usize,
    W: usize,
    C: usize,
    H: usize,
    G: usize,
    K: usize,
    R: usize,
    from: usize,
    to: usize,
) {
    if !heads.is_null() {
        clear_owned(y, heads, T, H, K, R, from, to);
    }
    let block = queries_per_block(T, S, W, K);
    if is_attention_tiled(block, S, W, K) {
        for r in from..to {
            let h = unit_at(heads, r);
            let (y, query) = (y.wrapping_add(h * K), query.wrapping_add(h * K));
            let past = key_head_of(key_heads, h, G, H) * C * K;
            let (key, value) = (key.wrapping_add(past), value.wrapping_add(past));
            attend_tiled(y, query, key, value, scale, cap, T, S, W, H, K, block);
        }
        return;
    }
    for r in (from..to).step_by(GROUP) {
        let size = GROUP.min(to - r);
        attend_heads(y, query, key, value, heads, key_heads, scale, cap, T, S, W, C, H, G, K, r, size);
    }
}

#[no_mangle]
pub unsafe extern "C" fn attention_backward(
    query_grad: *mut f32, // [T, H, K]
    key_grad: *mut f32,   // [T, G, K]
    value_grad: *mut f32, // [T, G, K]
    y_grad: *const f32,   // [T, H, K]
    query: *const f32,    // [T, H, K]
    key: *const f32,      // [G, C, K]
    value: *const f32,    // [G, C, K]
    scale: f32,
    cap: f32,
    T: usize,
    W: usize,
    C: usize,
    H: usize,
    G: usize,
    K: usize,
) {
    let (weights, gradients) = (attention_weights(), score_gradients());
    clear(key_grad, T * G * K);
    clear(value_grad, T * G * K);
    for h in 0..H {
        let g = key_head_of(null(), h, G, H);
        let (key, value) = (key.wrapping_add(g * C * K), value.wrapping_add(g * C * K));
        for t in 0..T {
            let visible = W.min(t + 1);
            let first = t + 1 - visible;
            let here = (t * H + h) * K;
            let seen_key = key.wrapping_add(first * K);
            let y_grad = y_grad.wrapping_add(here);
            // The scaled query stands in query_grad's row until every past position has received it.
            let row = query_grad.wrapping_add(here);
            scale_array(row, query.wrapping_add(here), scale, K);
            dot_rows(weights, row, seen_key, visible, K);
            if cap > 0.0 {
                cap_slopes(score_slopes(), weights, cap, visible);
            }
            cap_scores(weights, cap, visible);
            softmax_row(weights, weights, visible);
            grade_scores(y_grad, value.wrapping_add(first * K), cap > 0.0, visible, K);
            for s in 0..visible {
                let past = ((first + s) * G + g) * K;
                add_scaled(value_grad.wrapping_add(past), y_grad, *weights.wrapping_add(s), K);
                add_scaled(key_grad.wrapping_add(past), row.cast_const(), *gradients.wrapping_add(s), K);
            }
            clear(row, K);
            add_rows(row, seen_key, gradients, null(), 1, K, K, visible, visible);
            scale_array(row, row, scale, K);
        }
    }
}

/// `score_gradients`[s] = w[s] (w_grad[s] - <w, w_grad>), with w_grad[s] = <y_grad, value[s]>; times `score_slopes` under a cap.
unsafe fn grade_scores(y_grad: *const f32, value: *const f32, is_capped: bool, visible: usize, K: usize) {
    let (weights, gradients) = (attention_weights(), score_gradients());
    dot_rows(gradients, y_grad, value, visible, K);
    let mean = dot(weights, gradients.cast_const(), visible);
    for s in 0..visible {
        let at = gradients.wrapping_add(s);
        *at = *weights.wrapping_add(s) * (*at - mean);
        if is_capped {
            *at *= *score_slopes().wrapping_add(s);
        }
    }
}

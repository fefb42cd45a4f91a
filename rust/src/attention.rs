//! attention: causal self-attention of T new tokens over a cache of S, for chosen heads; +0 for the others.
//! attention_backward: its gradients over a whole sequence. Formulas and order: src/ops/attention.ts.
use crate::attention_stream::{attend_heads, dot_rows, weigh, GROUP};
use crate::attention_tile::{attend_tiled, is_attention_tiled, queries_per_block};
use crate::elementwise::{add_scaled, scale_array};
use crate::float32::dot;
use crate::scratch::{attention_weights, score_gradients};
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
    T: usize,
    S: usize,
    C: usize,
    H: usize,
    G: usize,
    K: usize,
    R: usize,
) {
    let to = chosen(heads, R, H);
    attention_part(y, query, key, value, heads, key_heads, scale, T, S, C, H, G, K, R, 0, to);
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
    T: usize,
    S: usize,
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
    let block = queries_per_block(T, S, K);
    if is_attention_tiled(block, S, K) {
        for r in from..to {
            let h = unit_at(heads, r);
            let (y, query) = (y.wrapping_add(h * K), query.wrapping_add(h * K));
            let past = key_head_of(key_heads, h, G, H) * C * K;
            let (key, value) = (key.wrapping_add(past), value.wrapping_add(past));
            attend_tiled(y, query, key, value, scale, T, S, H, K, block);
        }
        return;
    }
    for r in (from..to).step_by(GROUP) {
        let size = GROUP.min(to - r);
        attend_heads(y, query, key, value, heads, key_heads, scale, T, S, C, H, G, K, r, size);
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
    T: usize,
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
            let visible = t + 1;
            let here = (t * H + h) * K;
            let y_grad = y_grad.wrapping_add(here);
            // The scaled query stands in query_grad's row until every past position has received it.
            let row = query_grad.wrapping_add(here);
            scale_array(row, query.wrapping_add(here), scale, K);
            weigh(weights, row, key, visible, K);
            grade_scores(y_grad, value, visible, K);
            for s in 0..visible {
                let past = (s * G + g) * K;
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

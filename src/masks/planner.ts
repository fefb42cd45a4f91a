/**
 * The one interface behind dense, static, random, oracle and predicted masks: who decides, and when.
 *
 * A planner is asked once per sequence, while its prompt runs, after the first layer's attention; the mask it gives
 * holds for the rest of that pass and for every later token (the mask is fixed after the prompt, so pruned heads leave
 * no holes in the cache). Layer 0's attention has run dense by then, so row 0 of a planned mask keeps every head.
 * A planner that decides layer by layer (DejaVu) is asked before each layer instead.
 */
import type { UnitMask } from './mask.ts'

/** The mask of one layer. */
export interface LayerMask {
  readonly heads: Float32Array // [H]
  readonly neurons: Float32Array // [F]
}

/** Who decides a mask: once per sequence, or layer by layer. */
export interface MaskPlanner {
  readonly name: string
  /**
   * Decides for the whole model, once per sequence.
   * @param context the layer-0 attention output of the prompt, heads concatenated, before out_proj: [T, D]
   * @param tokens how many prompt tokens T there are
   */
  afterFirstAttention?(context: Float32Array, tokens: number): UnitMask
  /**
   * Decides for one layer, on every pass; null keeps it dense.
   * @param x the residual stream entering the layer: [T, D]
   */
  beforeLayer?(layer: number, x: Float32Array, tokens: number): LayerMask | null
}

/**
 * The interface of all planners: dense, static, random, oracle and predicted masks.
 *
 * A planner decides while the prompt (the first feed of a sequence) runs. A planner of the whole model decides after the
 * attention of its source layer (`placement`). Layers 0 to `placement` run dense, so those rows of its masks are ones. A
 * planner that decides layer by layer (DejaVu) decides before each layer. The mask applies to the rest of that pass and to
 * every later token. It is fixed after the prompt, so that skipped heads leave no holes in the KV cache.
 *
 * With `every` = R a planner decides again: a mask decided at token p applies to tokens p to p + R - 1, and the first mask
 * is decided at the last token of the prompt. Keys and values of all heads are cached then, because a head may be selected
 * later. R = 1 decides for every token.
 */
import type { UnitMask } from './mask.ts'

/** The mask of one layer. */
export interface LayerMask {
  readonly heads: Float32Array // [H]
  readonly neurons: Float32Array // [F]
}

/** The input of a planner of the whole model: the text so far, up to its source layer. Read-only. */
export interface PromptView {
  /**
   * Attention output of layer `placement` for all tokens so far, heads concatenated, before out_proj: [T, D]. The layers
   * up to there run dense, so it equals that of a dense pass over the same tokens.
   */
  readonly context: Float32Array
  /** T, all tokens of the sequence so far, the one being run included. */
  readonly tokens: number
  /** Their ids: [T]. */
  readonly ids: Int32Array
}

/** Decides masks: for the whole model by `afterAttention`, or layer by layer by `beforeLayer`; not both. */
export interface MaskPlanner {
  readonly name: string
  /** The source layer: `afterAttention` is called after its attention; default 0. Layers 0 to this one run dense. */
  readonly placement?: number
  /** Decide again after this many tokens; without it the mask of the prompt stays. */
  readonly every?: number
  /**
   * It decides from prompt and answer. A sequence knows only the prompt and refuses it; evaluation computes its mask
   * beforehand (`leakyMask` in predictor/leaky.ts) and runs under that mask.
   */
  readonly leaky?: boolean
  /**
   * Decides for the whole model.
   * @returns a mask whose rows 0 to `placement` are ones
   */
  afterAttention?(view: PromptView): UnitMask
  /**
   * Decides for one layer; null keeps it dense.
   * @param x the residual stream entering the layer: of the prompt [T, D], later of one token [1, D]
   * @param tokens how many rows x has
   */
  beforeLayer?(layer: number, x: Float32Array, tokens: number): LayerMask | null
}

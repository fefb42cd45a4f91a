/**
 * The one interface behind dense, static, random, oracle and predicted masks: who decides, and when.
 *
 * A planner is asked while the prompt (the first feed of a sequence) runs. One that decides for the whole model is asked
 * after the attention of layer `placement`; layers 0 to `placement` run dense, so those rows of its masks are ones. One
 * that decides layer by layer (DejaVu) is asked before each layer. The mask holds for the rest of that pass and for every
 * later token: it is fixed after the prompt, so that skipped heads leave no holes in the cache.
 *
 * With `every` = R a planner is asked again and again: a mask decided at token p serves tokens p to p + R - 1, the first
 * one being decided at the last token of the prompt. Keys and values of all heads are kept then, because a head may be
 * chosen later. R = 1 decides for every token.
 */
import type { UnitMask } from './mask.ts'

/** The mask of one layer. */
export interface LayerMask {
  readonly heads: Float32Array // [H]
  readonly neurons: Float32Array // [F]
}

/** What a planner of whole models is shown: the text so far, as far as the layer it is asked after. Only to be read. */
export interface PromptView {
  /**
   * Attention output of layer `placement` for all tokens so far, heads concatenated, before out_proj: [T, D]. The layers
   * up to there run dense, so it is what a dense pass over the same tokens gives.
   */
  readonly context: Float32Array
  /** T, all tokens of the sequence so far, the one being run included. */
  readonly tokens: number
  /** Their ids: [T]. */
  readonly ids: Int32Array
}

/** Who decides a mask: for the whole model by `afterAttention`, or layer by layer by `beforeLayer`; not both. */
export interface MaskPlanner {
  readonly name: string
  /** The layer after whose attention `afterAttention` is asked; default 0. Layers 0 to this one run dense. */
  readonly placement?: number
  /** Ask again after every so many tokens; without it the mask of the prompt stays. */
  readonly every?: number
  /**
   * It is meant to be shown the answer too. A sequence shows only the prompt and refuses it; whoever scores a text asks
   * it beforehand (`leakyMask` in predictor/leaky.ts) and runs under that mask.
   */
  readonly leaky?: boolean
  /**
   * Decides for the whole model.
   * @returns a mask whose rows 0 to `placement` are ones
   */
  afterAttention?(view: PromptView): UnitMask
  /**
   * Decides for one layer; null keeps it dense.
   * @param x the residual stream entering the layer: of the prompt [T, D], later of the token it is asked at [1, D]
   * @param tokens how many rows x has
   */
  beforeLayer?(layer: number, x: Float32Array, tokens: number): LayerMask | null
}

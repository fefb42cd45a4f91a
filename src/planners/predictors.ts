/**
 * What planners ask of a predictor, by its kind.
 */
import type { LayerScores, UnitScores } from '../masks/selection.ts'

/** The predictor of the shadow planner, such as `ShadowPredictor`. */
export interface PromptPredictor {
  /** `sourceLayer`: the source layer, whose head outputs it reads, default 0; `criterion`: what it predicts. */
  readonly config?: {
    readonly sourceLayer?: number
    readonly ranksFrom?: number
    readonly criterion?: string
  }
  /**
   * @param context heads' outputs of layer `sourceLayer`: [T, D]
   * @param tokens T
   */
  predict(context: Float32Array, tokens: number): UnitScores
}

/** `as-shipped` leaves the inputs of the networks unscaled where the released code does; `fixed` scales as in training. */
export type InputScaling = 'fixed' | 'as-shipped'

/** The predictor of the dejavu-style planner, such as `DejavuStylePredictor`. */
export interface HeadOutputsPredictor {
  /** The criterion that it predicts. */
  readonly config?: { readonly criterion?: string }
  /**
   * @param last the heads' outputs of every layer at the last token: [L, H K]
   * @param scaling `as-shipped` leaves them unscaled, see predictor/dejavu_style.ts
   */
  predict(last: Float32Array, scaling?: InputScaling): UnitScores
}

/** The predictor of the dejavu planner, such as `DejavuPredictor`. */
export interface LayerPredictor {
  /**
   * @param layer of the scores, from 1
   * @param stream the residual stream entering layer - 1, at one token: [D]
   */
  predictLayer(layer: number, stream: Float32Array): LayerScores
}

/** The predictor that a planner of each kind asks. */
export interface Predictors {
  /** Two networks for the whole model, which read the prompt in one early layer (ShadowLLM, arXiv 2406.16635). */
  readonly shadow: PromptPredictor
  /** Two networks for every layer, which read its heads in a dense pass: the baseline of ShadowLLM's authors. */
  readonly 'dejavu-style': HeadOutputsPredictor
  /** Two low-rank networks for every layer, which read the stream one layer earlier (DejaVu, arXiv 2310.17157). */
  readonly dejavu: LayerPredictor
}

/**
 * What predicting costs, by the paper's own count: multiplications with additions (MACs) of the predictors for one
 * token, hidden width p, N layers of width E with H heads and F neurons.
 *
 *   DejaVu     N (E p + p (H + F))      a predictor in every layer
 *   ShadowLLM  E p + p N (H + F)        one for all layers
 *
 * The formula is that of the released code (abdelfattah-lab/shadow_llm, perf_model.py, p = 1024). What is saved is the
 * first matrix of N - 1 predictors. Asked once per sequence, ShadowLLM's cost is shared by the tokens of the sequence;
 * the formula does not count that.
 */
import type { Architecture } from './architectures.ts'

/** The hidden width of the published figures. */
export const PUBLISHED_HIDDEN = 1024

/** MACs per token. */
interface PredictorCost {
  readonly dejavu: number
  readonly shadow: number
  /** The share of DejaVu's that ShadowLLM does without. */
  readonly saved: number
}

/** The paper's count. */
export function predictorCost(
  { layers: N, width: E, heads: H, neurons: F }: Pick<Architecture, 'layers' | 'width' | 'heads' | 'neurons'>,
  hidden: number = PUBLISHED_HIDDEN,
): PredictorCost {
  const dejavu = N * (E * hidden + hidden * (H + F))
  const shadow = E * hidden + hidden * N * (H + F)
  return { dejavu, shadow, saved: 1 - shadow / dejavu }
}

/**
 * What a page shows and opens first, made when it is built (`scripts/page_data.ts`); without a build there is neither.
 */

/** The embedded model's weights, rounded and deflated (`rounded_weights.ts`). */
export const packedWeights: URL | null = null

/** The embedded model's predictor, deflated. */
export const packedPredictor: URL | null = null

/** The trace of the page's default prompt under these weights, deflated. */
export const firstTrace: URL | null = null

/**
 * A small random model for laws of measuring: letters are tokens, and everything fits into a second.
 */
import type { Backend } from '../../src/backends/backend.ts'
import { makeOptConfig, type OptConfig } from '../../src/model/opt/config.ts'
import { initialWeights } from '../../src/model/opt/initial_weights.ts'
import { OptModel } from '../../src/model/opt/opt_model.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'

export const smallConfig: OptConfig = makeOptConfig({
  layers: 3,
  width: 16,
  heads: 4,
  neurons: 24,
  vocabulary: 40,
  positions: 32,
})

/** The model on a backend; dispose it. */
export function loadSmallModel(backend: Backend): Promise<OptModel> {
  const weights = initialWeights(smallConfig, { seed: 3, deviation: 0.3, biasDeviation: 0.1 })
  return OptModel.load(smallConfig, memorySource(weights), backend)
}

/** A letter is a token; none is special. */
export const encodeLetters = (text: string): number[] =>
  [...text].map((letter) => 3 + (letter.charCodeAt(0) % 37))

/**
 * The models that are compared: OPT's sizes, random weights.
 */
import { architectureByName } from '../../src/eval/cost/architectures.ts'
import { makeOptConfig, type OptConfig } from '../../src/model/opt/config.ts'
import { POSITION_OFFSET } from '../../src/model/opt/names.ts'

/** Shapes by name, and how many rounds they are timed for if nothing is said. */
export const shapes: Readonly<Record<string, { readonly rounds: number }>> = {
  'opt-125m': { rounds: 15 },
  'opt-350m': { rounds: 9 },
  'opt-1.3b': { rounds: 5 },
}

/** A model of `shapes`; with fewer layers if asked, for machines that cannot hold all of them. */
export function shapeByName(name: string, layers?: number): OptConfig {
  const sizes = architectureByName(name)
  return makeOptConfig({
    layers: layers ?? sizes.layers,
    width: sizes.width,
    heads: sizes.heads,
    neurons: sizes.neurons,
    vocabulary: sizes.vocabulary,
    embeddingWidth: sizes.embeddingWidth,
    positions: sizes.positionRows - POSITION_OFFSET,
    // Of the OPT models only that without a last norm (350m) has its norms after the sums.
    preNorm: sizes.finalNorm,
  })
}

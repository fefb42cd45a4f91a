/**
 * The models that are compared: OPT's sizes, random weights.
 */
import { architectureByName } from '../../src/bench/cost/architectures.ts'
import { makeConfig, type ModelConfig } from '../../src/engine/config.ts'
import { POSITION_OFFSET } from '../../src/engine/names.ts'
import { UsageError } from '../../src/tensor/errors.ts'

/** Shapes by name, and how many rounds they are timed for if nothing is said. */
export const shapes: Readonly<Record<string, { readonly rounds: number }>> = {
  'opt-125m': { rounds: 15 },
  'opt-350m': { rounds: 9 },
  'opt-1.3b': { rounds: 5 },
}

/**
 * A model of `shapes`; with fewer layers if asked, for memories that cannot hold all of them.
 * @throws UsageError LAYERS if the shape has not as many
 */
export function shapeByName(name: string, layers?: number): ModelConfig {
  const sizes = architectureByName(name)
  if (layers !== undefined && layers > sizes.layers)
    throw new UsageError('LAYERS', `--layers: expected at most ${sizes.layers} of ${name}, got ${layers}`)
  return makeConfig({
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

/**
 * A small random model for laws of measuring: letters are tokens, and everything fits into a second.
 */
import fc from 'fast-check'
import type { Backend } from '../../src/backends/backend.ts'
import type { Asked, Request } from '../../src/data/tasks/prompts.ts'
import { makeMask, type UnitMask, type UnitShape } from '../../src/masks/mask.ts'
import { makeOptConfig, type OptConfig } from '../../src/engine/config.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { OptModel } from '../../src/engine/opt_model.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { Random } from '../../src/tensor/random.ts'

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

/** A mask that keeps each unit with a probability of 0.6. */
export function someMask(shape: UnitShape, seed: number): UnitMask {
  const random = new Random(seed)
  const draw = (units: number): Float32Array =>
    Float32Array.from({ length: shape.layers * units }, () => (random.uniform() < 0.6 ? 1 : 0))
  return makeMask(shape, draw(shape.heads), draw(shape.neurons))
}

/** A letter is a token; none is special. */
export const encodeLetters = (text: string): number[] =>
  [...text].map((letter) => 3 + (letter.charCodeAt(0) % 37))

/** A question of random tokens: two contexts if the answers stand inside of them. */
export function question(seed: number, contexts: 1 | 3 = 1): Asked {
  const random = new Random(seed)
  const draw = (length: number): number[] => Array.from({ length }, () => 5 + random.below(30))
  const shared = draw(8)
  const requests = [4, 1, 6].map((length): Request => {
    const context = contexts === 1 ? shared : draw(8)
    return { tokens: Int32Array.of(...context, ...draw(length)), promptLength: 8 }
  })
  const alone = requests.map(({ tokens }) => ({
    tokens: Int32Array.of(2, ...tokens.subarray(8)),
    promptLength: 1,
  }))
  return { place: `question ${seed}`, genre: 'test', requests, alone, lengths: [4, 1, 6], gold: seed % 3 }
}

/** Such questions, with answers alone or without. */
export const someAsked = fc
  .tuple(fc.nat(99), fc.constantFrom<1 | 3>(1, 3), fc.boolean())
  .map(([seed, contexts, alone]): Asked => {
    const asked = question(seed, contexts)
    return alone ? asked : { ...asked, alone: undefined }
  })

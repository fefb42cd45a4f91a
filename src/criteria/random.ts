/**
 * random: a number in [0, 1) for every unit, from the example's seed: the baseline of criteria.
 *
 * Heads are drawn before neurons, layer by layer. Different seeds give independent scores, so the mean over examples
 * tends to a half everywhere, and a predictor can learn nothing from them.
 */
import type { UnitShape } from '../masks/mask.ts'
import type { UnitScores } from '../masks/selection.ts'
import { Random } from '../tensor/random.ts'
import type { Criterion } from './criterion.ts'

/** Scores in [0, 1) for every unit. */
export function randomScores(shape: UnitShape, random: Random): UnitScores {
  const draw = (units: number): Float32Array =>
    Float32Array.from({ length: shape.layers * units }, () => random.uniform())
  return { shape, heads: draw(shape.heads), neurons: draw(shape.neurons) }
}

/** Random scores. */
export const random: Criterion = {
  name: 'random',
  help: 'A random number for each unit: the baseline.',
  formula: 'uniform in [0, 1)',
  cost: { forward: 0, backward: 0 },
  score: ({ model, seed }) => randomScores(model.shape, new Random(seed)),
}

/**
 * random: a number in [0, 1) for every unit, from the example's seed: the baseline of criteria.
 *
 * Heads are drawn before neurons, layer by layer. Different seeds give independent scores, so the mean over examples
 * tends to a half everywhere, and a predictor can learn nothing from them.
 */
import { Random } from '../tensor/random.ts'
import type { Criterion } from './criterion.ts'

/** Random scores. */
export const random: Criterion = {
  name: 'random',
  formula: 'uniform in [0, 1)',
  cost: { forward: 0, backward: 0 },
  score: ({ model: { shape }, seed }) => {
    const stream = new Random(seed)
    const draw = (units: number): Float32Array =>
      Float32Array.from({ length: shape.layers * units }, () => stream.uniform())
    return { shape, heads: draw(shape.heads), neurons: draw(shape.neurons) }
  },
}

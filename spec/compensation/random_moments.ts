/**
 * Moments of activations that are drawn: for models of which no text was run.
 */
import { HeldMoments, summarize, type UnitMoments } from '../../src/compensation/held_moments.ts'
import { momentWidths } from '../../src/compensation/moments.ts'
import type { LanguageModel } from '../../src/engine/language_model.ts'
import type { UnitKind } from '../../src/masks/mask.ts'
import { Random } from '../../src/tensor/random.ts'

/**
 * Moments of each layer in which neighbours resemble each other.
 * @param tokens how many are drawn; default: twice as many as there are numbers, which takes long for many of these
 */
export function randomMoments(
  { config, shape }: Pick<LanguageModel, 'config' | 'shape'>,
  seed: number,
  tokens: number | null = null,
): HeldMoments {
  const random = new Random(seed)
  const widths = momentWidths(config)
  const tables = (kind: UnitKind): UnitMoments[] =>
    Array.from({ length: shape.layers }, () => {
      const N = widths[kind]
      const first = new Float32Array(N)
      const second = new Float32Array(N * N)
      const T = tokens ?? 2 * N
      for (let t = 0; t < T; t++) {
        let last = 0
        const a = Float32Array.from({ length: N }, () => (last = 0.7 * last + random.uniform() - 0.3))
        for (let i = 0; i < N; i++) {
          first[i] += a[i]
          for (let j = 0; j < N; j++) second[i * N + j] += a[i] * a[j]
        }
      }
      const worths = Float32Array.from({ length: shape[kind] }, () => random.uniform())
      return { ...summarize({ first, second }, T), worths }
    })
  return new HeldMoments(shape, [{ heads: tables('heads'), neurons: tables('neurons') }])
}

/** A model of one layer of N heads of one number and N neurons, as moments are asked for it. */
export function oneLayer(N: number): Parameters<typeof randomMoments>[0] {
  return {
    config: { heads: N, headSize: 1, neurons: N },
    shape: { layers: 1, heads: N, neurons: N },
  } as unknown as Parameters<typeof randomMoments>[0]
}

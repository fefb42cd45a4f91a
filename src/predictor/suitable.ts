/**
 * Which predictor is asked: the kinds that planners need, the one of a kind among several, and whether it was made for a
 * model like this.
 */
import type { OptConfig } from '../engine/config.ts'
import { InputError } from '../tensor/errors.ts'
import { predictorKinds, type PredictorConfigBase, type PredictorKind } from './predictor_config.ts'
import type { Predictor } from './predictor_file.ts'

/** The kinds of predictor that planners of these names ask. */
export function kindsNeeded(planners: readonly string[]): PredictorKind[] {
  return predictorKinds.filter((kind) => planners.includes(kind))
}

/** The predictor of a kind, the last of several. */
export function predictorOf<Kind extends PredictorKind>(
  kind: Kind,
  predictors: readonly Predictor[],
): Extract<Predictor, { kind: Kind }> | undefined {
  return predictors.findLast((one): one is Extract<Predictor, { kind: Kind }> => one.kind === kind)
}

/** Refuses a predictor of a model of another shape. @param path what its file is called @throws InputError PREDICTOR_MODEL */
export function checkPredictor(
  { config: made }: { readonly config: Pick<PredictorConfigBase, 'shape' | 'width'> },
  model: OptConfig,
  path: string,
): void {
  const words = (layers: number, heads: number, neurons: number, width: number): string =>
    `${layers} layers of ${heads} heads and ${neurons} neurons, width ${width}`
  const expected = words(model.layers, model.heads, model.neurons, model.width)
  const got = words(made.shape.layers, made.shape.heads, made.shape.neurons, made.width)
  if (got !== expected)
    throw new InputError(
      'PREDICTOR_MODEL',
      `${path}: expected a predictor for ${expected}, got one for ${got}`,
    )
}

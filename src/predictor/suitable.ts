/**
 * Chooses predictors: the one that a planner asks, and whether it fits the model.
 */
import { describeWidths, featureWidths, type FeatureWidths, type ModelConfig } from '../engine/config.ts'
import type { UnitShape } from '../masks/mask.ts'
import { predictorKindOf, type PlannerName } from '../planners/index.ts'
import { InputError } from '../tensor/errors.ts'
import type { PredictorConfigBase } from './predictor_config.ts'
import type { Predictor } from './predictor_file.ts'

/** The last predictor of the kind that a planner needs; undefined if there is none, or it needs none. */
export function predictorFor(planner: PlannerName, predictors: readonly Predictor[]): Predictor | undefined {
  return predictors.findLast(({ kind }) => kind === predictorKindOf(planner))
}

/** Refuses a predictor of a model of another shape. @param path its name in errors @throws InputError PREDICTOR_MODEL */
export function checkPredictor(
  { config: made }: { readonly config: Pick<PredictorConfigBase, 'shape' | keyof FeatureWidths> },
  model: ModelConfig,
  path: string,
): void {
  const words = ({ layers, heads, neurons }: UnitShape, widths: FeatureWidths): string =>
    `${layers} layers of ${heads} heads and ${neurons} neurons, ${describeWidths(widths)}`
  const expected = words(model, featureWidths(model))
  const got = words(made.shape, made)
  if (got !== expected)
    throw new InputError(
      'PREDICTOR_MODEL',
      `${path}: expected a predictor for this model, of ${expected}, got one for another, of ${got}`,
    )
}

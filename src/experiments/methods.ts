/**
 * The methods of the main comparison: every planner at every sparsity, each with what it learns from.
 *
 * ShadowLLM, static pruning, the oracle and prompt-plainact share one criterion. The two DejaVu baselines have the norm of
 * activations (`l2norm`), as in the paper. Whatever learns does so from the same windows with the same
 * scalings, and from scores that are measured under static masks (`plainact@0.7`), because the score of a unit changes once
 * others are skipped. Static pruning by the same scores is compared too, to tell that gain from the predictor's; and so is
 * what ShadowLLM and DejaVu-style are as their authors released them: scores of the dense model, inputs scaled to [0, 1], and
 * targets scaled within each layer.
 *
 * The oracle chooses by each half of a continuation for the other one.
 */
import type { Scope } from '../masks/budget.ts'
import { needs, plannerNames, plannerOf, predictorKindOf, type PlannerName } from '../planners/index.ts'
import type { PredictorKind } from '../predictor/predictor_config.ts'
import {
  isReleased,
  makeMethod,
  methodTable,
  releasedScalings,
  type ExampleSettings,
  type Method,
  type PredictorSettings,
} from '../results/method.ts'
import type { Settings } from '../evaluation/settings.ts'

/** The planners that skip something, best first where the method works as its paper says. */
export const sparsePlanners: readonly PlannerName[] = [
  'oracle',
  'prompt-plainact',
  'shadow',
  'dejavu-style',
  'dejavu',
  'static',
  'random',
] satisfies Exclude<PlannerName, 'dense'>[]

/** What the methods have in common. */
export interface ComparisonOptions {
  /** Which planners are compared, of `dense` and {@link sparsePlanners}; default: all of these. */
  readonly planners?: readonly PlannerName[]
  /** The criterion of scores, such as `plainact`. */
  readonly criterion: string
  /** Whether units compete within their layer, or with those of all layers. */
  readonly scope: Scope
}

/** Dense first, then every planner at every sparsity. */
export function comparisonMethods(settings: Settings, options: ComparisonOptions): Method[] {
  const asked = options.planners ?? plannerNames
  const planners = sparsePlanners.filter((planner) => asked.includes(planner))
  return methodTable(planners, settings.sparsities, options.scope, (planner, sparsity) => {
    return waysToLearn(settings, comparisonMethod(settings, options, planner, sparsity))
  })
}

/** A method, and what it is if it learns otherwise: static scores of a pruned model, a predictor as released. */
export function waysToLearn(settings: Settings, method: Method): Method[] {
  const { planner, sparsity, examples, predictor } = method
  if (planner === 'static' && examples && settings.pruned.length > 0)
    return [method, { ...method, examples: prunedExamples(settings, sparsity) }]
  if (predictor && !isReleased(method) && (planner === 'shadow' || planner === 'dejavu-style')) {
    const dense = { count: settings.calibration, shots: null }
    return [method, { ...method, examples: dense, predictor: { ...predictor, ...releasedScalings } }]
  }
  return [method]
}

/** The examples that predictors learn from: scored at the nearest of the sparsities that the settings have for that. */
export function prunedExamples({ calibration: count, pruned }: Settings, sparsity: number): ExampleSettings {
  const [nearest] = pruned.toSorted((a, b) => Math.abs(a - sparsity) - Math.abs(b - sparsity))
  return { count, shots: null, ...(nearest !== undefined && { pruned: nearest }) }
}

/** One planner at one sparsity. */
export function comparisonMethod(
  settings: Settings,
  { criterion, scope }: ComparisonOptions,
  planner: PlannerName,
  sparsity: number,
): Method {
  const examples = { count: settings.calibration, shots: null }
  const kind = predictorKindOf(planner)
  return {
    ...makeMethod({ planner, sparsity, scope }),
    ...(plannerOf(planner).needs.length > 0 && {
      criterion: kind === null || kind === 'shadow' ? criterion : 'l2norm',
    }),
    ...(needs(planner, 'continuation') && { halves: true }),
    ...(needs(planner, 'calibration') && { examples }),
    ...(kind !== null && {
      examples: prunedExamples(settings, sparsity),
      predictor: predictorSettings[kind](settings),
    }),
  }
}

const predictorSettings: Readonly<Record<PredictorKind, (settings: Settings) => PredictorSettings>> = {
  shadow: shadowSettings,
  'dejavu-style': dejavuStyleSettings,
  dejavu: dejavuSettings,
}

/** ShadowLLM's predictor as the settings have it. */
export function shadowSettings(settings: Settings): PredictorSettings {
  const { headHidden, neuronHidden, features, targets, sourceLayer, pooling, training } = settings
  return { headHidden, neuronHidden, features, targets, sourceLayer, pooling, training, loss: 'mse', top: [] }
}

/** The per-layer baseline of the released code. */
export function dejavuStyleSettings(settings: Settings): PredictorSettings {
  return { ...shadowSettings(settings), sourceLayer: 0, pooling: 'last' }
}

/** DejaVu's predictors: labels are the best half of a layer's units. */
function dejavuSettings(settings: Settings): PredictorSettings {
  return { ...dejavuStyleSettings(settings), loss: 'bce', top: [0.5] }
}

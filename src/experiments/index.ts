/**
 * Every experiment by name, in the order of a report.
 *
 * Adding one is a file with its question, and its line here.
 */
import { UsageError } from '../tensor/errors.ts'
import { costExperiment, predictorCostExperiment } from '../cost/experiments.ts'
import type { ExperimentResult } from '../results/experiment_result.ts'
import { calibrationOverhead, latency } from './timing_experiments.ts'
import { attentionCriterion, criteriaPredicted, criteriaStatic, secondOrder } from './criteria_experiments.ts'
import { runExperiment, type Experiment, type ExperimentContext } from './experiment.ts'
import { fewShot } from './few_shot.ts'
import { grid } from './grid.ts'
import {
  calibrationSize,
  ceiling,
  features,
  globalLocal,
  placement,
  prunedTargets,
  twoByTwo,
} from './predictor_experiments.ts'
import { sparsityCurve } from './sparsity_curve.ts'

/** Experiments that measure. */
export const experiments: readonly Experiment[] = [
  sparsityCurve,
  criteriaStatic,
  criteriaPredicted,
  globalLocal,
  twoByTwo,
  prunedTargets,
  features,
  placement,
  calibrationSize,
  ceiling,
  secondOrder,
  attentionCriterion,
  fewShot,
  calibrationOverhead,
  latency,
  grid,
]

/** Experiments that only count. */
const counted = {
  'predictor-cost': (command: string) => predictorCostExperiment({ command }),
  cost: (command: string) => costExperiment({ command }),
} as const

/** What `--experiment` takes. */
export const experimentNames: readonly string[] = [
  ...experiments.map(({ name }) => name),
  ...Object.keys(counted),
]

/** The experiments that take `--sparsity`. */
export const sparsityExperiments: readonly string[] = experiments
  .filter(({ takesSparsity }) => takesSparsity)
  .map(({ name }) => name)

/** Runs the experiment of a name. @throws UsageError EXPERIMENT; what the experiment throws */
export function runByName(name: string, context: ExperimentContext): Promise<ExperimentResult> {
  const found = experiments.find((experiment) => experiment.name === name)
  if (found) return runExperiment(found, context)
  if (name in counted) return counted[name as keyof typeof counted](context.command)
  throw new UsageError('EXPERIMENT', `experiment: expected one of ${experimentNames.join(', ')}, got ${name}`)
}

/**
 * The main figure: perplexity over sparsity for every planner, and whether the order is the one the method promises.
 */
import type { PlannerName } from '../planners/index.ts'
import { makeMethod, type Method } from '../results/method.ts'
import { comparisonMethod, prunedExamples, sparsePlanners } from './methods.ts'
import type { Settings } from '../evaluation/settings.ts'
import type { Experiment, ExperimentContext } from './experiment.ts'
import { publishedCurve } from './published.ts'
import { comparisonExperiment, type Measured, type Variant } from './variants.ts'

const labels: Partial<Record<PlannerName, string>> = {
  shadow: 'ShadowLLM',
  'dejavu-style': 'DejaVu-style (l2norm)',
  dejavu: 'DejaVu (l2norm)',
}

/** The variants of the main comparison, by planner. */
export function plannerVariants(
  { settings }: ExperimentContext,
  planners: readonly PlannerName[] = sparsePlanners,
): Variant[] {
  const options = { criterion: 'plainact', scope: 'global' } as const
  return planners.map((planner) => ({
    label: labels[planner] ?? planner,
    method: (sparsity) => comparisonMethod(settings, options, planner, sparsity),
  }))
}

/** Static pruning by the scores that ShadowLLM learns: what of its lead is the scores', not the predictor's. */
function sameScores(settings: Settings): Variant {
  const method = (sparsity: number): Method => {
    const examples = prunedExamples(settings, sparsity)
    return makeMethod({ planner: 'static', criterion: 'plainact', sparsity, examples })
  }
  return { label: 'static, ShadowLLM\u2019s scores', method }
}

const steps = [
  ['oracle', 'ShadowLLM'],
  ['ShadowLLM', 'static'],
  ['ShadowLLM', 'static, ShadowLLM\u2019s scores'],
  ['ShadowLLM', 'DejaVu-style (l2norm)'],
  ['ShadowLLM', 'random'],
] as const

/** Whether each step of the order holds at a sparsity, in words. */
function sayOrder(measured: Measured, sparsity: number): string {
  const closed = measured.gapClosed('ShadowLLM', 'static', 'oracle', sparsity)
  const gap =
    closed === null
      ? ''
      : `; it closes ${Math.round(100 * closed)} % of the gap in perplexity between static and oracle`
  return `: ${measured.versus(steps, sparsity)}${gap}`
}

export const sparsityCurve: Experiment = comparisonExperiment({
  name: 'sparsity-curve',
  title: 'Perplexity over sparsity',
  asks: 'How much perplexity does each way of choosing cost, from prompt alone, heads and neurons pruned together? (The perplexity figures of the paper, which are of attention heads alone and let the predictor see the answer.)',
  takesSparsity: true,
  compare(context) {
    const { sparsities } = context.settings
    const judged = sparsities.filter((share) => [0.5, 0.7, 0.8].includes(share))
    return {
      shares: sparsities,
      judged,
      layersAt: judged[Math.floor(judged.length / 2)] ?? sparsities[0],
      variants: [...plannerVariants(context), sameScores(context.settings)],
      plot: 'Perplexity of continuations under masks decided by the prompt',
      paper: publishedCurve,
      say: sayOrder,
    }
  },
})

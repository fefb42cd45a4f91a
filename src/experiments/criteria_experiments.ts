/**
 * Which criterion tells best what can go: statically, predicted, and two that the paper left open.
 *
 * Criteria on one calibration set share its forward and backward passes; those of a whole data set have no predictor.
 */
import { criteria, datasetCriteria } from '../criteria/index.ts'
import type { ExampleSettings } from '../results/method.ts'
import type { Experiment, ExperimentContext } from './experiment.ts'
import { publishedCriteria } from './published.ts'
import { formatError, percent, sayDifference } from '../results/cells.ts'
import { comparisonExperiment, variant, type Comparison, type Measured, type Variant } from './variants.ts'

/** At what sparsities criteria are compared. */
const shares = [0.3, 0.5, 0.7]

/** What comparisons of criteria have in common: fewer examples, because some criteria run passes of their own on each. */
function sharedBy(
  { settings }: ExperimentContext,
  names: readonly string[],
): { examples: ExampleSettings; shared: Pick<Comparison, 'shares' | 'windows' | 'examples' | 'criteria'> } {
  const examples = { count: Math.min(128, settings.calibration), shots: null }
  return {
    examples,
    shared: {
      shares,
      windows: Math.min(32, settings.evaluation),
      examples: [examples],
      criteria: names.filter((name) => criteria.some((criterion) => criterion.name === name)),
    },
  }
}

function sayRanking(measured: Measured, share: number): string {
  const order = measured.ranking(share)
  const [first, second] = order
  const lead = sayDifference(first, second, measured.difference(first, second, share))
  return `, best first: ${order.join(', ')}; ${lead}`
}

/** Static pruning by every criterion. */
export const criteriaStatic: Experiment = comparisonExperiment({
  name: 'criteria-static',
  title: 'Criteria, one mask for all texts',
  asks: 'Which criterion, averaged over a calibration set, tells best which units can go? (The ablation of criteria with aggregated scores.)',
  compare(context) {
    const names = [...criteria, ...datasetCriteria].map(({ name }) => name)
    const { examples, shared } = sharedBy(context, names)
    return {
      ...shared,
      variants: names.map((criterion) =>
        variant(context, criterion, { planner: 'static', criterion, examples }),
      ),
      plot: (measured) => barsAt(measured, 0.5, 'Static pruning by criterion, 50 % of units'),
      paper: publishedCriteria,
      say: sayRanking,
    }
  },
})

/** Predicted scores of the criteria that have scores per example. */
export const criteriaPredicted: Experiment = comparisonExperiment({
  name: 'criteria-predicted',
  title: 'Criteria, predicted from the prompt',
  asks: "Which criterion can be predicted, and does predicting it beat its own mean? (The ablation of criteria with ShadowLLM's predictor.)",
  compare(context) {
    const names = ['plainact', 'plainact-weight', 'fisher', 'gradnorm', 'snip', 'l2norm']
    const { examples, shared } = sharedBy(context, names)
    const sayGain = (measured: Measured, name: string): string => {
      const words = shares.map((share) => {
        const { nats, error } = measured.difference(`${name}, predicted`, `${name}, static`, share)
        return `${percent(share)} ${nats.toFixed(3)} ± ${formatError(error)}`
      })
      return `${name}: predicted minus static, nats per token: ${words.join(', ')}.`
    }
    return {
      ...shared,
      variants: names.flatMap((criterion) => [
        variant(context, `${criterion}, static`, { planner: 'static', criterion, examples }),
        variant(context, `${criterion}, predicted`, { criterion, examples }),
      ]),
      plot: (measured) => barsAt(measured, 0.7, 'By criterion, static and predicted, 70 % of units'),
      sayFirst: (measured) => names.map((name) => sayGain(measured, name)),
      say: sayRanking,
    }
  },
})

/** A criterion against plainact, as static scores, predicted, and known. */
function againstPlainact(name: string, criterion: string, title: string, asks: string): Experiment {
  const compare = (context: ExperimentContext): Comparison => {
    const { examples, shared } = sharedBy(context, ['plainact', criterion])
    const pairs = ['oracle', 'predicted', 'static'].map(
      (form) => [`${criterion}, ${form}`, `plainact, ${form}`] as const,
    )
    return {
      ...shared,
      variants: ['plainact', criterion].flatMap((one): Variant[] => [
        variant(context, `${one}, oracle`, { planner: 'oracle', criterion: one }),
        variant(context, `${one}, predicted`, { criterion: one, examples }),
        variant(context, `${one}, static`, { planner: 'static', criterion: one, examples }),
      ]),
      plot: title,
      say: (measured, share) => `: ${measured.versus(pairs, share)}`,
    }
  }
  return comparisonExperiment({ name, title, asks, compare })
}

/** Open question 2 of the paper. */
export const attentionCriterion: Experiment = againstPlainact(
  'attention-criterion',
  'attention',
  'Attention scores as a criterion',
  'Do attention scores alone, without gradients, tell what can go? (An open question of the paper.)',
)

/** Open question 4 of the paper. */
export const secondOrder: Experiment = againstPlainact(
  'second-order',
  'second-order',
  'Second order against first order',
  'Does the curvature of the loss tell more than its slope? (An open question of the paper.)',
)

function barsAt(measured: Measured, share: number, title: string): ReturnType<Measured['plot']> {
  return {
    title,
    kind: 'bar',
    x: { label: 'variant' },
    y: { label: 'perplexity per token', scale: 'log' },
    series: [
      {
        name: percent(share),
        points: measured.ranking(share).map((label) => ({ x: label, y: measured.perplexity(label, share) })),
      },
    ],
  }
}

/**
 * Which criterion tells best what can go: statically, predicted, and two that the paper left open.
 *
 * Criteria on one calibration set share its forward and backward passes; those of a whole data set have no predictor.
 */
import { criteria, datasetCriteria } from '../criteria/index.ts'
import { shadowSettings } from './methods.ts'
import { makeMethod, type Method } from '../evaluation/method.ts'
import type { Experiment, ExperimentContext, Finding } from './experiment.ts'
import { publishedCriteria } from './published.ts'
import {
  measureVariants,
  percent,
  sayDifference,
  variantColumns,
  type Measured,
  type Variant,
} from './variants.ts'

/** At what sparsities criteria are compared. */
const shares = [0.3, 0.5, 0.7]

/** Fewer examples than the main comparison: some criteria run passes of their own on each. */
function examplesOf({ settings }: ExperimentContext): Method['examples'] {
  return { count: Math.min(128, settings.calibration), shots: null }
}

const windowsOf = ({ settings }: ExperimentContext): number => Math.min(32, settings.evaluation)

function staticVariant(context: ExperimentContext, criterion: string, label = criterion): Variant {
  const examples = examplesOf(context)
  return { label, method: (sparsity) => makeMethod({ planner: 'static', criterion, sparsity, examples }) }
}

function shadowVariant(context: ExperimentContext, criterion: string, label = criterion): Variant {
  const examples = examplesOf(context)
  const predictor = shadowSettings(context.settings)
  return {
    label,
    method: (sparsity) => makeMethod({ planner: 'shadow', criterion, sparsity, examples, predictor }),
  }
}

/** All examples of an experiment at once: their passes are shared by the criteria that look at them. */
async function collectTogether(context: ExperimentContext, names: readonly string[]): Promise<void> {
  const examples = examplesOf(context)
  const single = names.filter((name) => criteria.some((criterion) => criterion.name === name))
  if (examples) for (const seed of context.seeds) await context.cache.examples(examples, seed, single)
}

function sayRanking(measured: Measured): string[] {
  return measured.sparsities.map((share) => {
    const order = measured.ranking(share)
    const [first, second] = order
    const lead = sayDifference(first, second, measured.difference(first, second, share))
    return `At ${percent(share)}, best first: ${order.join(', ')}; ${lead}.`
  })
}

/** Static pruning by every criterion. */
export const criteriaStatic: Experiment = {
  name: 'criteria-static',
  title: 'Criteria, one mask for all texts',
  asks: 'Which criterion, averaged over a calibration set, tells best which units can go? (The ablation of criteria with aggregated scores.)',
  async run(context): Promise<Finding> {
    const names = [...criteria, ...datasetCriteria].map(({ name }) => name)
    await collectTogether(context, names)
    const variants = names.map((name) => staticVariant(context, name))
    const measured = await measureVariants(context, variants, shares, windowsOf(context))
    return {
      columns: variantColumns,
      rows: measured.rows(),
      plots: [barsAt(measured, 0.5, 'Static pruning by criterion, 50 % of units')],
      paper: publishedCriteria,
      findings: sayRanking(measured),
    }
  },
}

/** Predicted scores of the criteria that have scores per example. */
export const criteriaPredicted: Experiment = {
  name: 'criteria-predicted',
  title: 'Criteria, predicted from the prompt',
  asks: "Which criterion can be predicted, and does predicting it beat its own mean? (The ablation of criteria with ShadowLLM's predictor.)",
  async run(context): Promise<Finding> {
    const names = ['plainact', 'plainact-weight', 'fisher', 'gradnorm', 'snip', 'l2norm']
    await collectTogether(context, names)
    const variants = names.flatMap((name) => [
      staticVariant(context, name, `${name}, static`),
      shadowVariant(context, name, `${name}, predicted`),
    ])
    const measured = await measureVariants(context, variants, shares, windowsOf(context))
    const gains = names.map((name) => {
      const words = shares.map((share) => {
        const { nats, error } = measured.difference(`${name}, predicted`, `${name}, static`, share)
        return `${percent(share)} ${nats.toFixed(3)} +- ${error.toFixed(3)}`
      })
      return `${name}: predicted minus static, nats per token: ${words.join(', ')}.`
    })
    return {
      columns: variantColumns,
      rows: measured.rows(),
      plots: [barsAt(measured, 0.7, 'By criterion, static and predicted, 70 % of units')],
      paper: null,
      findings: [...gains, ...sayRanking(measured)],
    }
  },
}

/** A criterion against plainact, as static scores, predicted, and known. */
function againstPlainact(name: string, criterion: string, title: string, asks: string): Experiment {
  return {
    name,
    title,
    asks,
    async run(context): Promise<Finding> {
      await collectTogether(context, ['plainact', criterion])
      const variants = ['plainact', criterion].flatMap((one): Variant[] => [
        {
          label: `${one}, oracle`,
          method: (sparsity) => makeMethod({ planner: 'oracle', criterion: one, sparsity }),
        },
        shadowVariant(context, one, `${one}, predicted`),
        staticVariant(context, one, `${one}, static`),
      ])
      const measured = await measureVariants(context, variants, shares, windowsOf(context))
      const findings = shares.map((share) => {
        const said = ['oracle', 'predicted', 'static'].map((form) => {
          const [ours, theirs] = [`${criterion}, ${form}`, `plainact, ${form}`]
          return sayDifference(ours, theirs, measured.difference(ours, theirs, share))
        })
        return `At ${percent(share)}: ${said.join('; ')}.`
      })
      return {
        columns: variantColumns,
        rows: measured.rows(),
        plots: [measured.plot(title)],
        paper: null,
        findings,
      }
    },
  }
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

function barsAt(measured: Measured, share: number, title: string): Finding['plots'][number] {
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

/**
 * What makes a predictor good: the scope it is used in, whether it is one or many, where it sits, what it sees, how much
 * it learns from, and what any predictor could reach.
 */
import { dejavuStyleSettings, shadowSettings } from './methods.ts'
import { makeMethod, type Method, type PredictorSettings } from '../evaluation/method.ts'
import type { Scope } from '../masks/budget.ts'
import type { Experiment, ExperimentContext, Finding } from './experiment.ts'
import { publishedScope, publishedTwoByTwo } from './published.ts'
import {
  measureVariants,
  percent,
  sayDifference,
  shareExamples,
  variantColumns,
  type Measured,
  type Variant,
} from './variants.ts'

const shares = [0.5, 0.7, 0.8]

type Change = Partial<Omit<Method, 'sparsity'>> & { readonly settings?: Partial<PredictorSettings> }

/** A planner that learns plainact from the full calibration set, but for what is changed. */
function variant(
  { settings }: ExperimentContext,
  label: string,
  { settings: own, ...method }: Change,
): Variant {
  const base = method.planner === 'dejavu-style' ? dejavuStyleSettings(settings) : shadowSettings(settings)
  const learns = method.planner !== 'oracle' && method.planner !== 'prompt-plainact'
  return {
    label,
    method: (sparsity) =>
      makeMethod({
        planner: 'shadow',
        criterion: 'plainact',
        sparsity,
        ...(learns && { examples: { count: settings.calibration, shots: null } }),
        ...(learns && method.planner !== 'static' && { predictor: { ...base, ...own } }),
        ...method,
      }),
  }
}

/** How units compete, and how targets are scaled for that. */
export const globalLocal: Experiment = {
  name: 'global-local',
  title: 'Global against local pruning',
  asks: 'Should units compete over the whole model or within their layer, and how must targets be scaled for it? (The ablation of global and local pruning.)',
  async run(context): Promise<Finding> {
    await shareExamples(context)
    const scopes: readonly [Scope, string][] = [
      ['global', 'global'],
      ['hybrid', 'hybrid'],
      ['per-layer', 'per layer'],
    ]
    const targets = [
      ['raw', 'raw'],
      ['per_layer', 'per layer'],
      ['global', 'whole model'],
    ] as const
    const variants = targets.flatMap(([scaling, named]) =>
      scopes
        // Within a layer order is all that counts, so one scaling speaks for all; hybrid repairs the paper's.
        .filter(([scope]) => scope === 'global' || scaling === 'per_layer')
        .map(([scope, words]) =>
          variant(context, `${named}, ${words}`, { scope, settings: { targets: scaling } }),
        ),
    )
    const measured = await measureVariants(context, variants, shares)
    return {
      columns: variantColumns,
      rows: measured.rows(),
      plots: [measured.plot('ShadowLLM by targets and scope')],
      paper: publishedScope,
      findings: shares.map((share) => {
        const said = [
          ['per layer, global', 'per layer, per layer'],
          ['raw, global', 'per layer, global'],
        ].map(([first, second]) => sayDifference(first, second, measured.difference(first, second, share)))
        return `At ${percent(share)} (targets, scope): ${said.join('; ')}.`
      }),
    }
  },
}

/** Which part of the method helps: the single predictor or the criterion. */
export const twoByTwo: Experiment = {
  name: 'two-by-two',
  title: 'Predictor or criterion: which part helps?',
  asks: 'ShadowLLM changes two things at once: one predictor in place of many, and plainact in place of the norm. Which of them helps? Input and target scalings are the same in all four, and so is the scope.',
  async run(context): Promise<Finding> {
    await shareExamples(context)
    const same = { features: 'min_max', targets: 'per_layer' } as const
    const four = (['plainact', 'l2norm'] as const).flatMap((criterion) => [
      variant(context, `single, ${criterion}`, { criterion, settings: same }),
      variant(context, `per layer, ${criterion}`, { planner: 'dejavu-style', criterion, settings: same }),
    ])
    const measured = await measureVariants(context, four, shares)
    return {
      columns: variantColumns,
      rows: measured.rows(),
      plots: [measured.plot('One predictor or one per layer, two criteria')],
      paper: publishedTwoByTwo,
      findings: shares.map((share) => `At ${percent(share)}: ${sayEffects(measured, share)}.`),
    }
  },
}

function sayEffects(measured: Measured, share: number): string {
  return [
    ['single, plainact', 'single, l2norm'],
    ['per layer, plainact', 'per layer, l2norm'],
    ['single, plainact', 'per layer, plainact'],
    ['single, l2norm', 'per layer, l2norm'],
  ]
    .map(([first, second]) => sayDifference(first, second, measured.difference(first, second, share)))
    .join('; ')
}

/** Where in the model the predictor sits. */
export const placement: Experiment = {
  name: 'placement',
  title: 'Where the predictor sits',
  asks: 'Does a predictor that waits for a later layer, and leaves the layers before it whole, choose better for the rest? Static pruning of the same layers is beside it, because whole layers alone help. (An open question of the paper.)',
  async run(context): Promise<Finding> {
    await shareExamples(context)
    const { layers } = context.cache.model.shape
    const places = [0, 1, 2, 4].filter((layer) => layer < layers - 1)
    const variants = places.flatMap((layer) => [
      variant(context, `layer ${layer}`, { settings: { placement: layer } }),
      variant(context, `static below layer ${layer}`, { planner: 'static', denseLayers: layer + 1 }),
    ])
    const measured = await measureVariants(context, variants, shares)
    return {
      columns: variantColumns,
      rows: measured.rows(),
      plots: [measured.plot('Perplexity by placement')],
      paper: null,
      findings: shares.map((share) => {
        const said = places.map((layer) => {
          const [ours, fixed] = [`layer ${layer}`, `static below layer ${layer}`]
          return sayDifference(ours, fixed, measured.difference(ours, fixed, share))
        })
        return `At ${percent(share)}: ${said.join('; ')}.`
      }),
    }
  },
}

/** What the predictor sees of the prompt. */
export const features: Experiment = {
  name: 'features',
  title: 'What the predictor sees',
  asks: 'Is the last token of the prompt enough, or does the whole prompt tell more? (The full-sequence variant of the released code.)',
  async run(context): Promise<Finding> {
    await shareExamples(context)
    const variants = [
      variant(context, 'last, standard', {}),
      variant(context, 'last, min-max', { settings: { features: 'min_max' } }),
      variant(context, 'last, data set', { settings: { features: 'dataset' } }),
      variant(context, 'mean, data set', { settings: { pooling: 'mean', features: 'dataset' } }),
      variant(context, 'attention, data set', { settings: { pooling: 'attention', features: 'dataset' } }),
      variant(context, 'static', { planner: 'static' }),
    ]
    const measured = await measureVariants(context, variants, shares)
    return {
      columns: variantColumns,
      rows: measured.rows(),
      plots: [measured.plot('Perplexity by pooling and scaling of the input')],
      paper: null,
      findings: shares.map((share) => {
        const said = variants
          .filter(({ label }) => label !== 'static')
          .map(({ label }) => sayDifference(label, 'static', measured.difference(label, 'static', share)))
        return `At ${percent(share)}: ${said.join('; ')}.`
      }),
    }
  },
}

/** How many examples are enough. */
export const calibrationSize: Experiment = {
  name: 'calibration-size',
  title: 'How many examples are enough',
  asks: 'How do static pruning and the predictor gain from more calibration examples?',
  async run(context): Promise<Finding> {
    await shareExamples(context)
    const { calibration } = context.settings
    const parts = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]
    const counts = [...new Set(parts.map((part) => Math.max(8, Math.round(part * calibration))))]
    const variants = counts.flatMap((count) => {
      const examples = { count, shots: null }
      return [
        variant(context, `ShadowLLM, ${count}`, { examples }),
        variant(context, `static, ${count}`, { planner: 'static', examples }),
      ]
    })
    const measured = await measureVariants(context, variants, [0.5, 0.7])
    const line = (planner: string, share: number): Finding['plots'][number]['series'][number] => ({
      name: `${planner}, ${percent(share)}`,
      points: counts.map((count) => ({ x: count, y: measured.perplexity(`${planner}, ${count}`, share) })),
    })
    return {
      columns: variantColumns,
      rows: measured.rows(),
      plots: [
        {
          title: 'Perplexity by number of examples',
          kind: 'line',
          x: { label: 'calibration examples' },
          y: { label: 'perplexity per token' },
          series: [0.5, 0.7].flatMap((share) => [line('ShadowLLM', share), line('static', share)]),
        },
      ],
      paper: null,
      findings: [0.5, 0.7].map((share) => {
        const said = ['ShadowLLM', 'static'].map((planner) => {
          const [few, all] = [`${planner}, ${counts[0]}`, `${planner}, ${counts[counts.length - 1]}`]
          return sayDifference(all, few, measured.difference(all, few, share))
        })
        return `At ${percent(share)}: ${said.join('; ')}.`
      }),
    }
  },
}

/** Where scores are measured: in the dense model, or in one that is pruned already. */
export const prunedTargets: Experiment = {
  name: 'pruned-targets',
  title: 'Scores of a model that is pruned already',
  asks: 'plainact asks what the dense model would miss. What a unit is worth changes once most others are gone: are scores measured under a static mask better ones, for static pruning and as what the predictor learns? (Not in the paper.)',
  async run(context): Promise<Finding> {
    await shareExamples(context)
    const { calibration: count } = context.settings
    const places = [null, ...shares]
    const named = (pruned: number | null): string => (pruned === null ? 'dense' : `at ${percent(pruned)}`)
    const variants = places.flatMap((pruned) => {
      const examples = { count, shots: null, ...(pruned !== null && { pruned }) }
      return [
        variant(context, `static, ${named(pruned)}`, { planner: 'static', examples }),
        variant(context, `ShadowLLM, ${named(pruned)}`, { examples }),
      ]
    })
    const all = [variant(context, 'oracle', { planner: 'oracle' }), ...variants]
    const measured = await measureVariants(context, all, shares)
    return {
      columns: variantColumns,
      rows: measured.rows(),
      plots: [measured.plot('Perplexity by where scores are measured')],
      paper: null,
      findings: shares.map((share) => {
        const [own, ours] = [`static, ${named(share)}`, `ShadowLLM, ${named(share)}`]
        const gains = [
          [own, 'static, dense'],
          [ours, own],
          [ours, 'static, dense'],
        ].map(([first, second]) => sayDifference(first, second, measured.difference(first, second, share)))
        const closed = measured.gapClosed(ours, 'static, dense', 'oracle', share)
        const gap =
          closed === null
            ? ''
            : `; together that is ${Math.round(100 * closed)} % of the gap between static (dense) and oracle`
        return `At ${percent(share)}: ${gains.join('; ')}${gap}.`
      }),
    }
  },
}

/** What any predictor could reach. */
export const ceiling: Experiment = {
  name: 'ceiling',
  title: 'What a predictor could reach',
  asks: "The oracle reads the answer. How much of its lead is in the prompt at all? Scores averaged over continuations that the model itself writes are what a predictor that knew everything the model knows would predict; the prompt's own scores need no predictor.",
  async run(context): Promise<Finding> {
    await shareExamples(context)
    const samples = [1, 4, 8]
    const variants = [
      variant(context, 'oracle', { planner: 'oracle' }),
      ...samples.map((count) =>
        variant(context, `expected over ${count}`, { planner: 'oracle', samples: count }),
      ),
      variant(context, 'prompt-plainact', { planner: 'prompt-plainact' }),
      variant(context, 'ShadowLLM', {}),
      variant(context, 'static', { planner: 'static' }),
    ]
    const measured = await measureVariants(
      context,
      variants,
      shares,
      Math.min(32, context.settings.evaluation),
    )
    const closed = (label: string, share: number): string => {
      const gap = measured.gapClosed(label, 'static', 'oracle', share)
      return `${label} ${gap === null ? 'nothing to close' : `${Math.round(100 * gap)} %`}`
    }
    return {
      columns: variantColumns,
      rows: measured.rows(),
      plots: [measured.plot('From static pruning to the oracle')],
      paper: null,
      findings: shares.map((share) => {
        const said = variants
          .map(({ label }) => label)
          .filter((label) => label !== 'oracle' && label !== 'static')
          .map((label) => closed(label, share))
        return `At ${percent(share)}, share of the gap in perplexity between static and oracle that is closed: ${said.join(', ')}.`
      }),
    }
  },
}

/**
 * What makes a predictor good: the scope it is used in, whether it is one or many, where it sits, what it sees, how much
 * it learns from, and what any predictor could reach.
 */
import type { Scope } from '../masks/budget.ts'
import type { Experiment } from './experiment.ts'
import { publishedScope, publishedTwoByTwo } from './published.ts'
import { percent } from '../results/cells.ts'
import { releasedScalings } from '../results/method.ts'
import { comparisonExperiment, variant, type Measured } from './variants.ts'

const shares = [0.5, 0.7, 0.8]

/** How units compete, and how targets are scaled for that. */
export const globalLocal: Experiment = comparisonExperiment({
  name: 'global-local',
  title: 'Global against local pruning',
  asks: 'Should units compete over the whole model or within their layer, and how must targets be scaled for it? (The ablation of global and local pruning.)',
  compare(context) {
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
    return {
      shares,
      variants: targets.flatMap(([scaling, named]) =>
        scopes
          // Within a layer order is all that counts, so one scaling speaks for all; hybrid repairs the paper's.
          .filter(([scope]) => scope === 'global' || scaling === 'per_layer')
          .map(([scope, words]) =>
            variant(context, `${named}, ${words}`, { scope, settings: { targets: scaling } }),
          ),
      ),
      plot: 'ShadowLLM by targets and scope',
      paper: publishedScope,
      say: (measured, share) => {
        const pairs = [
          ['per layer, global', 'per layer, per layer'],
          ['raw, global', 'per layer, global'],
        ] as const
        return ` (targets, scope): ${measured.versus(pairs, share)}`
      },
    }
  },
})

/** Which part of the method helps: the single predictor or the criterion. */
export const twoByTwo: Experiment = comparisonExperiment({
  name: 'two-by-two',
  title: 'Predictor or criterion: which part helps?',
  asks: 'ShadowLLM changes two things at once: one predictor in place of many, and plainact in place of the norm. Which of them helps? Input and target scalings are the same in all four, and so is the scope.',
  compare(context) {
    const effects = [
      ['single, plainact', 'single, l2norm'],
      ['per layer, plainact', 'per layer, l2norm'],
      ['single, plainact', 'per layer, plainact'],
      ['single, l2norm', 'per layer, l2norm'],
    ] as const
    return {
      shares,
      variants: ['plainact', 'l2norm'].flatMap((criterion) => [
        variant(context, `single, ${criterion}`, { criterion, settings: releasedScalings }),
        variant(context, `per layer, ${criterion}`, {
          planner: 'dejavu-style',
          criterion,
          settings: releasedScalings,
        }),
      ]),
      plot: 'One predictor or one per layer, two criteria',
      paper: publishedTwoByTwo,
      say: (measured, share) => `: ${measured.versus(effects, share)}`,
    }
  },
})

/** Where in the model the predictor sits. */
export const placement: Experiment = comparisonExperiment({
  name: 'placement',
  title: 'Where the predictor sits',
  asks: 'Does a predictor that waits for a later layer, and leaves the layers before it whole, choose better for the rest? Static pruning of the same layers is beside it, because whole layers alone help. (An open question of the paper.)',
  compare(context) {
    const { layers } = context.cache.model.shape
    const places = [0, 1, 2, 4].filter((layer) => layer < layers - 1)
    const pairs = places.map((layer) => [`layer ${layer}`, `static below layer ${layer}`] as const)
    return {
      shares,
      variants: places.flatMap((layer) => [
        variant(context, `layer ${layer}`, { settings: { sourceLayer: layer } }),
        variant(context, `static below layer ${layer}`, { planner: 'static', denseLayers: layer + 1 }),
      ]),
      plot: 'Perplexity by source layer',
      say: (measured, share) => `: ${measured.versus(pairs, share)}`,
    }
  },
})

/** What the predictor sees of the prompt. */
export const features: Experiment = comparisonExperiment({
  name: 'features',
  title: 'What the predictor sees',
  asks: 'Is the last token of the prompt enough, or does the whole prompt tell more? (The full-sequence variant of the released code.)',
  compare(context) {
    const variants = [
      variant(context, 'last, standard', {}),
      variant(context, 'last, min-max', { settings: { features: 'min_max' } }),
      variant(context, 'last, data set', { settings: { features: 'dataset' } }),
      variant(context, 'mean, data set', { settings: { pooling: 'mean', features: 'dataset' } }),
      variant(context, 'attention, data set', { settings: { pooling: 'attention', features: 'dataset' } }),
    ]
    const pairs = variants.map(({ label }) => [label, 'static'] as const)
    return {
      shares,
      variants: [...variants, variant(context, 'static', { planner: 'static' })],
      plot: 'Perplexity by pooling and scaling of the input',
      say: (measured, share) => `: ${measured.versus(pairs, share)}`,
    }
  },
})

/** How many examples are enough. */
export const calibrationSize: Experiment = comparisonExperiment({
  name: 'calibration-size',
  title: 'How many examples are enough',
  asks: 'How do static pruning and the predictor gain from more calibration examples?',
  compare(context) {
    const { calibration } = context.settings
    const parts = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]
    const counts = [...new Set(parts.map((part) => Math.max(8, Math.round(part * calibration))))]
    const planners = ['ShadowLLM', 'static']
    const line = (measured: Measured, planner: string, share: number) => ({
      name: `${planner}, ${percent(share)}`,
      points: counts.map((count) => ({ x: count, y: measured.perplexity(`${planner}, ${count}`, share) })),
    })
    const pairs = planners.map(
      (planner) => [`${planner}, ${counts[counts.length - 1]}`, `${planner}, ${counts[0]}`] as const,
    )
    return {
      shares: [0.5, 0.7],
      variants: counts.flatMap((count) => {
        const examples = { count, shots: null }
        return [
          variant(context, `ShadowLLM, ${count}`, { examples }),
          variant(context, `static, ${count}`, { planner: 'static', examples }),
        ]
      }),
      plot: (measured) => ({
        title: 'Perplexity by number of examples',
        kind: 'line',
        x: { label: 'calibration examples' },
        y: { label: 'perplexity per token' },
        series: [0.5, 0.7].flatMap((share) => planners.map((planner) => line(measured, planner, share))),
      }),
      say: (measured, share) => `: ${measured.versus(pairs, share)}`,
    }
  },
})

/** Where scores are measured: in the dense model, or in one that is pruned already. */
export const prunedTargets: Experiment = comparisonExperiment({
  name: 'pruned-targets',
  title: 'Scores of a model that is pruned already',
  asks: 'plainact asks what the dense model would miss. What a unit is worth changes once most others are gone: are scores measured under a static mask better ones, for static pruning and as what the predictor learns? (Not in the paper.)',
  compare(context) {
    const { calibration: count } = context.settings
    const named = (pruned: number | null): string => (pruned === null ? 'dense' : `at ${percent(pruned)}`)
    return {
      shares,
      variants: [
        variant(context, 'oracle', { planner: 'oracle' }),
        ...[null, ...shares].flatMap((pruned) => {
          const examples = { count, shots: null, ...(pruned !== null && { pruned }) }
          return [
            variant(context, `static, ${named(pruned)}`, { planner: 'static', examples }),
            variant(context, `ShadowLLM, ${named(pruned)}`, { examples }),
          ]
        }),
      ],
      plot: 'Perplexity by where scores are measured',
      say: (measured, share) => {
        const [own, ours] = [`static, ${named(share)}`, `ShadowLLM, ${named(share)}`]
        const pairs = [
          [own, 'static, dense'],
          [ours, own],
          [ours, 'static, dense'],
        ] as const
        const closed = measured.gapClosed(ours, 'static, dense', 'oracle', share)
        const gap =
          closed === null
            ? ''
            : `; together that is ${Math.round(100 * closed)} % of the gap between static (dense) and oracle`
        return `: ${measured.versus(pairs, share)}${gap}`
      },
    }
  },
})

/** What any predictor could reach. */
export const ceiling: Experiment = comparisonExperiment({
  name: 'ceiling',
  title: 'What a predictor could reach',
  asks: "The oracle reads the answer. How much of its lead is in the prompt at all? Scores averaged over continuations that the model itself writes are what a predictor that knew everything the model knows would predict; the prompt's own scores need no predictor.",
  compare(context) {
    const between = [
      ...[1, 4, 8].map((count) =>
        variant(context, `expected over ${count}`, { planner: 'oracle', samples: count }),
      ),
      variant(context, 'prompt-plainact', { planner: 'prompt-plainact' }),
      variant(context, 'ShadowLLM', {}),
    ]
    return {
      shares,
      windows: Math.min(32, context.settings.evaluation),
      variants: [
        variant(context, 'oracle', { planner: 'oracle' }),
        ...between,
        variant(context, 'static', { planner: 'static' }),
      ],
      plot: 'From static pruning to the oracle',
      say: (measured, share) => {
        const said = between.map(({ label }) => {
          const gap = measured.gapClosed(label, 'static', 'oracle', share)
          return `${label} ${gap === null ? 'nothing to close' : `${Math.round(100 * gap)} %`}`
        })
        return `, share of the gap in perplexity between static and oracle that is closed: ${said.join(', ')}`
      },
    }
  },
})

/**
 * The work that most experiments share: variants of a method at several sparsities, all on the same windows, over all
 * seeds; a row and a point for each.
 *
 * Perplexities are of all windows of all seeds together; their errors, one standard error, are over the documents that these are
 * cut from, so that windows which several seeds draw count as one. Two variants are compared window by window, so what windows
 * have in common cancels.
 */
import { percent, sayDifference } from '../results/cells.ts'
import type { Column, LayerSparsity, PaperFigures, Plot, Row } from '../results/experiment_result.ts'
import { measureMethods } from './cache/measure.ts'
import {
  denseMethod,
  makeMethod,
  type ExampleSettings,
  type Method,
  type PredictorSettings,
} from '../results/method.ts'
import {
  compareScores,
  layersOf,
  natsPerToken,
  natsPerWord,
  perplexityOf,
  skippedBy,
  type Difference,
} from '../evaluation/tally.ts'
import type { MethodScore } from '../evaluation/window_evaluator.ts'
import { dejavuStyleSettings, shadowSettings } from './methods.ts'
import type { Experiment, ExperimentContext, Finding } from './experiment.ts'

/** A method with a name, at any sparsity. */
export interface Variant {
  readonly label: string
  readonly method: (sparsity: number) => Method
}

/** How a variant differs from ShadowLLM as the settings have it. */
type Change = Partial<Omit<Method, 'sparsity'>> & { readonly settings?: Partial<PredictorSettings> }

/** A planner that learns plainact from the full calibration set, but for what is changed. */
export function variant(
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

/** Everything that was scored, by variant and sparsity. */
export class Measured {
  readonly sparsities: readonly number[]
  readonly variants: readonly Variant[]
  /** Dense, on the same windows. */
  readonly dense: readonly MethodScore[]
  readonly #scores: ReadonlyMap<string, readonly MethodScore[]>

  constructor(
    variants: readonly Variant[],
    sparsities: readonly number[],
    scores: ReadonlyMap<string, readonly MethodScore[]>,
  ) {
    this.variants = variants
    this.sparsities = sparsities
    this.#scores = scores
    this.dense = scores.get(keyOf('dense', 0)) ?? []
  }

  /** The windows of a variant. @throws TypeError for one that was not measured */
  scores(label: string, sparsity: number): readonly MethodScore[] {
    const found = this.#scores.get(keyOf(label, sparsity))
    if (found) return found
    throw new TypeError(`${label} at ${sparsity}: expected a measured variant`)
  }

  /** Perplexity per token. */
  perplexity(label: string, sparsity: number): number {
    return perplexityOf(natsPerToken(this.scores(label, sparsity))).value
  }

  /** Nats per token by which the first costs more than the second: below 0 it is better. */
  difference(first: string, second: string, sparsity: number): Difference {
    return compareScores(this.scores(first, sparsity), this.scores(second, sparsity))
  }

  /** How each first one compares with its second, in words. */
  versus(pairs: readonly (readonly [first: string, second: string])[], sparsity: number): string {
    return pairs
      .map(([first, second]) => sayDifference(first, second, this.difference(first, second, sparsity)))
      .join('; ')
  }

  /** The share of the perplexity from `from` down to `to` that a variant takes away; null where there is no gap. */
  gapClosed(label: string, from: string, to: string, sparsity: number): number | null {
    const [value, start, end] = [label, from, to].map((name) => this.perplexity(name, sparsity))
    return start > end ? (start - value) / (start - end) : null
  }

  /** A row for dense, and one for each variant at each sparsity. */
  rows(): Row[] {
    const rows: Row[] = this.dense.length > 0 ? [rowOf('dense', 0, this.dense)] : []
    for (const sparsity of this.sparsities)
      for (const { label } of this.variants) rows.push(rowOf(label, sparsity, this.scores(label, sparsity)))
    return rows
  }

  /** Perplexity over sparsity, a line for each variant. */
  plot(title: string): Plot {
    return {
      title,
      kind: 'line',
      x: { label: 'sparsity of the ranked units (%)' },
      y: { label: 'perplexity per token', scale: 'log' },
      series: this.variants.map(({ label }) => ({
        name: label,
        points: this.sparsities.map((sparsity) => {
          const { value, error } = perplexityOf(natsPerToken(this.scores(label, sparsity)))
          return { x: 100 * sparsity, y: value, ...(error !== null && { error }) }
        }),
      })),
    }
  }

  /** What each variant skipped, layer by layer, at one sparsity. */
  layers(sparsity: number): LayerSparsity[] {
    return this.variants.map(({ label }) =>
      layersOf(`${label}, ${percent(sparsity)}`, this.scores(label, sparsity)),
    )
  }

  /** The variants in order of perplexity at one sparsity, best first. */
  ranking(sparsity: number): string[] {
    return this.variants
      .map(({ label }) => label)
      .toSorted((a, b) => this.perplexity(a, sparsity) - this.perplexity(b, sparsity))
  }
}

const keyOf = (label: string, sparsity: number): string => `${label} ${sparsity}`

/** The columns of `Measured.rows`. */
const variantColumns: readonly Column[] = [
  { key: 'variant', label: 'variant' },
  { key: 'sparsity', label: 'asked', unit: '%', digits: 0 },
  { key: 'heads', label: 'heads skipped', unit: '%', digits: 1 },
  { key: 'neurons', label: 'neurons skipped', unit: '%', digits: 1 },
  { key: 'perplexity', label: 'perplexity per token' },
  { key: 'error', label: 'standard error' },
  { key: 'word', label: 'perplexity per word' },
]

function rowOf(label: string, sparsity: number, scores: readonly MethodScore[]): Row {
  const { heads, neurons } = skippedBy(scores)
  const { value: perplexity, error } = perplexityOf(natsPerToken(scores))
  return {
    variant: label,
    sparsity: 100 * sparsity,
    heads: 100 * heads,
    neurons: 100 * neurons,
    perplexity,
    error,
    word: perplexityOf(natsPerWord(scores)).value,
  }
}

/** Scores variants at sparsities, and dense, over every seed. */
export async function measureVariants(
  { cache, seeds, settings }: ExperimentContext,
  variants: readonly Variant[],
  sparsities: readonly number[] = settings.sparsities,
  windows = settings.evaluation,
): Promise<Measured> {
  const cells = sparsities.flatMap((share) =>
    variants.map(({ label, method }) => ({ key: keyOf(label, share), method: method(share) })),
  )
  const all = [{ key: keyOf('dense', 0), method: denseMethod }, ...cells]
  const methods = all.map(({ method }) => method)
  const scores = new Map<string, MethodScore[]>(all.map(({ key }) => [key, []]))
  for (const seed of seeds)
    for (const [i, measured] of (await measureMethods(cache, methods, windows, seed)).entries())
      for (const one of measured.scores) scores.get(all[i].key)?.push(one)
  return new Measured(variants, sparsities, scores)
}

/** What a comparison of variants is. */
export interface Comparison {
  /** The sparsities they are compared at. */
  readonly shares: readonly number[]
  /** How many windows are scored; default as the settings have it. */
  readonly windows?: number
  readonly variants: readonly Variant[]
  /** Criteria that their examples are scored by, so that these share passes; default those of the main comparison. */
  readonly criteria?: readonly string[]
  /** Which examples, scored one after the other; default as many as the settings have. */
  readonly examples?: readonly ExampleSettings[]
  /** The title of perplexity over sparsity, or another figure. */
  readonly plot: string | ((measured: Measured) => Plot)
  readonly paper?: PaperFigures | null
  /** What the numbers say at one sparsity; it follows "At 50 %". */
  readonly say: (measured: Measured, share: number) => string
  /** Which of the sparsities are spoken of; default all. */
  readonly judged?: readonly number[]
  /** The sparsity at which skipped shares are given layer by layer; default none. */
  readonly layersAt?: number
  /** What is said before that. */
  readonly sayFirst?: (measured: Measured) => readonly string[]
}

/** Compares variants: a table row for each, one figure, and a sentence for each sparsity. */
export async function compareVariants(
  context: ExperimentContext,
  { shares, windows, variants, plot, paper = null, say, sayFirst, judged = shares, ...more }: Comparison,
): Promise<Finding> {
  const { cache, seeds, settings } = context
  const {
    examples = [{ count: settings.calibration, shots: null }],
    criteria = mainCriteria,
    layersAt,
  } = more
  for (const seed of seeds) for (const each of examples) await cache.examples(each, seed, criteria)
  const measured = await measureVariants(context, variants, shares, windows)
  return {
    columns: variantColumns,
    rows: measured.rows(),
    plots: [typeof plot === 'string' ? measured.plot(plot) : plot(measured)],
    paper,
    findings: [
      ...(sayFirst?.(measured) ?? []),
      ...judged.map((share) => `At ${percent(share)}${say(measured, share)}.`),
    ],
    ...(layersAt !== undefined && { layers: measured.layers(layersAt) }),
  }
}

/** Those of the main comparison, so that all experiments read the same traces. */
const mainCriteria: readonly string[] = ['plainact', 'l2norm']

interface ComparisonExperiment extends Omit<Experiment, 'run'> {
  compare(context: ExperimentContext): Comparison
}

/** An experiment that is such a comparison. */
export function comparisonExperiment({ compare, ...about }: ComparisonExperiment): Experiment {
  return { ...about, run: (context) => compareVariants(context, compare(context)) }
}

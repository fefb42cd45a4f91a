/**
 * The two counted experiments: what predictors cost, and what a token costs on models that do not fit here.
 *
 * Both are arithmetic on sizes; only the bandwidth, where it is not given, is measured.
 */
import { now } from '../platform/platform.ts'
import { percent } from '../results/cells.ts'
import type { ExperimentResult, Plot, Row } from '../results/experiment_result.ts'
import { hashTexts, makeProvenance, type Provenance } from '../results/provenance.ts'
import { architectures, countParameters, type Architecture } from './architectures.ts'
import { measureBandwidth } from './linear_rate.ts'
import { PUBLISHED_HIDDEN, predictorCost } from './predictor_cost.ts'
import { publishedLatency, publishedPredictorCost } from './published.ts'
import { costMethods, tokenCost, type CostMethod, type CostSettings, type TokenCost } from './token_cost.ts'

/** What an experiment is told of the command that runs it. */
export interface CostCommand {
  /** What makes the result again. */
  readonly command?: string
  /** The command line, for the provenance. */
  readonly argv?: readonly string[]
}

/** What `costExperiment` counts; everything has a default. */
interface CostOptions extends CostCommand, Partial<CostSettings> {
  /** Default: all. */
  readonly models?: readonly Architecture[]
  /** Bytes per second; measured where it is not given. */
  readonly bandwidth?: number
}

/** Half of the units, 128 + 128 tokens and predictors of 2048 hidden units are those of the released timings. */
export const defaultCostSettings: CostSettings = {
  sparsity: 0.5,
  storage: 'f32',
  prompt: 128,
  tokens: 128,
  hidden: 2048,
}

const methodNames: Readonly<Record<CostMethod, string>> = {
  dense: 'dense',
  dejavu: 'DejaVu, per token',
  'shadow-token': 'ShadowLLM, per token',
  shadow: 'ShadowLLM, once',
}

/** What DejaVu's predictors cost per token and what one predictor saves, by the paper's formula. */
export async function predictorCostExperiment(options: CostCommand = {}): Promise<ExperimentResult> {
  const started = now()
  const rows = architectures.map((model): Row => {
    const { dejavu, shadow, saved } = predictorCost(model)
    return {
      model: model.name,
      dejavu: dejavu / 1e6,
      shadow: shadow / 1e6,
      saved: 100 * saved,
      once: shadow / 128e6,
    }
  })
  const opts = rows.filter(({ model }) => model !== '70b-like')
  return {
    name: 'predictor-cost',
    title: 'What predicting costs',
    asks: `How much work do the predictors take themselves, one per layer (DejaVu) against one for the model (ShadowLLM)? Multiplications with additions for one token, ${PUBLISHED_HIDDEN} hidden units (the paper's table of predictor FLOPs).`,
    command: options.command ?? 'shadowllm cost --predictors',
    columns: [
      { key: 'model', label: 'model' },
      { key: 'dejavu', label: 'DejaVu', unit: 'million MACs', digits: 1 },
      { key: 'shadow', label: 'ShadowLLM', unit: 'million MACs', digits: 1 },
      { key: 'saved', label: 'saved', unit: '%', digits: 2 },
      { key: 'once', label: 'asked once in 128 tokens', unit: 'million MACs', digits: 1 },
    ],
    rows,
    plots: [
      {
        title: 'Work of the predictors',
        kind: 'bar',
        x: { label: 'model' },
        y: { label: 'work per token (million MACs)', scale: 'log' },
        series: [
          { name: methodNames.dejavu, points: points(rows, 'dejavu') },
          { name: methodNames['shadow-token'], points: points(rows, 'shadow') },
          { name: methodNames.shadow, points: points(rows, 'once') },
        ],
      },
    ],
    paper: publishedPredictorCost,
    findings: [
      `One predictor for the whole model saves ${range(opts.map(({ saved }) => Number(saved)))} % of the predictors' work on OPT: the first matrix, which DejaVu repeats in every layer, and no more.`,
      'The published figures count one question per token. A mask is made once per sequence here: over 128 tokens that leaves less than 1 % of the work.',
      'The saving is of predicting, not of the model: shadowllm cost counts what it is of a whole token.',
    ],
    provenance: await countedProvenance(options, architectures),
    complete: true,
    seconds: (now() - started) / 1000,
  }
}

function points(rows: readonly Row[], key: string): Plot['series'][number]['points'] {
  return rows.map((row) => ({ x: String(row.model), y: Number(row[key]) }))
}

function range(values: readonly number[]): string {
  const [least, most] = [Math.min(...values).toFixed(1), Math.max(...values).toFixed(1)]
  return least === most ? least : `${least} to ${most}`
}

/**
 * Bytes, operations, memory and predicted speed of one token.
 * @throws MissingError BACKEND_MISSING, BACKEND_MEMORY while the bandwidth is measured
 */
export async function costExperiment(options: CostOptions = {}): Promise<ExperimentResult> {
  const started = now()
  const models = options.models ?? architectures
  const settings: CostSettings = { ...defaultCostSettings, ...options }
  const bandwidth = options.bandwidth ?? (await measureBandwidth())
  const counted = models.map((model) => ({
    model,
    costs: costMethods.map((method) => tokenCost(model, method, settings)),
  }))
  const rows = counted.flatMap(({ model, costs }) =>
    costs.map((cost) => costRow(model, cost, costs[0], costs[1], bandwidth)),
  )
  const { sparsity, prompt, tokens, storage, hidden } = settings
  const source = options.bandwidth === undefined ? 'measured here, one thread' : 'as given'
  return {
    name: 'cost',
    title: 'What a token costs',
    asks: `How fast would a model decode that is too large to try? Bytes and operations of one token, ${percent(sparsity)} of the heads and neurons skipped, ${prompt} tokens of prompt and ${tokens} generated, weights in ${storage}, predictors of ${hidden} hidden units, at ${(bandwidth / 1e9).toFixed(1)} GB/s (${source}).`,
    command: options.command ?? costCommand(options.models, settings, bandwidth),
    columns: [
      { key: 'model', label: 'model' },
      { key: 'planner', label: 'decided by' },
      { key: 'rate', label: 'decode', unit: 'tokens/s' },
      { key: 'speed', label: 'speed', unit: '× dense', digits: 2 },
      { key: 'saved', label: 'fewer bytes', unit: '% below DejaVu', digits: 1 },
      { key: 'memory', label: 'memory', unit: 'GB', digits: 1 },
      { key: 'weights', label: 'weights', unit: 'GB/token' },
      { key: 'cache', label: 'cache', unit: 'GB/token' },
      { key: 'predictor', label: 'predictor', unit: 'GB/token' },
      { key: 'share', label: 'predictor', unit: '% of bytes', digits: 1 },
      { key: 'flops', label: 'operations', unit: 'GFLOP/token' },
    ],
    rows,
    plots: plotsOf(models, settings, rows),
    paper: publishedLatency,
    findings: findingsOf(counted, settings),
    provenance: await countedProvenance(options, models),
    complete: true,
    seconds: (now() - started) / 1000,
  }
}

function costRow(
  { name }: Architecture,
  cost: TokenCost,
  dense: TokenCost,
  dejavu: TokenCost,
  bandwidth: number,
): Row {
  const isShadow = cost.method === 'shadow' || cost.method === 'shadow-token'
  return {
    model: name,
    planner: methodNames[cost.method],
    memory: cost.memory / 1e9,
    weights: cost.weights / 1e9,
    cache: cost.cache / 1e9,
    predictor: cost.predictor / 1e9,
    share: (100 * cost.predictor) / cost.bytes,
    flops: cost.flops / 1e9,
    rate: bandwidth / cost.bytes,
    speed: dense.bytes / cost.bytes,
    saved: isShadow ? 100 * (1 - cost.bytes / dejavu.bytes) : null,
  }
}

/** Several models are compared at one sparsity; a single one over all of them. */
function plotsOf(models: readonly Architecture[], settings: CostSettings, rows: readonly Row[]): Plot[] {
  const rates: Plot = {
    title: 'Predicted decode speed',
    kind: 'bar',
    x: { label: 'model' },
    y: { label: 'decode speed (tokens/s)', scale: 'log' },
    series: costMethods.map((method) => {
      const own = rows.filter(({ planner }) => planner === methodNames[method])
      return { name: methodNames[method], points: points(own, 'rate') }
    }),
  }
  if (models.length !== 1) return [rates]
  const [model] = models
  const dense = tokenCost(model, 'dense', settings).bytes
  const grid = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95]
  const speeds: Plot = {
    title: `Predicted speed of ${model.name} by sparsity`,
    kind: 'line',
    x: { label: 'heads and neurons skipped (%)' },
    y: { label: 'decode speed (times dense)' },
    series: costMethods.map((method) => ({
      name: methodNames[method],
      points: grid.map((x) => {
        const { bytes } = tokenCost(model, method, { ...settings, sparsity: x / 100 })
        return { x, y: dense / bytes }
      }),
    })),
  }
  return [speeds]
}

function findingsOf(counted: readonly Counted[], { sparsity, hidden }: CostSettings): string[] {
  const sentences = counted.length === 1 ? counted.map(({ model, costs }) => describeModel(model, costs)) : []
  const saved = counted.map(({ costs: [, dejavu, token] }) => 100 * (1 - token.bytes / dejavu.bytes))
  const once = counted.map(({ costs: [, dejavu, , shadow] }) => 100 * (1 - shadow.bytes / dejavu.bytes))
  const compared =
    counted.length === 1
      ? `Asked for every token, ShadowLLM takes ${saved[0].toFixed(1)} % less time than DejaVu; asked once per sequence, ${once[0].toFixed(1)} % less.`
      : `At ${percent(sparsity)} and ${hidden} hidden units, ShadowLLM asked for every token takes ${range(saved)} % less time than DejaVu; asked once per sequence, ${range(once)} % less.`
  return [
    ...sentences,
    compared,
    ...compareWithPublished(counted, sparsity, hidden),
    ...slowerThanDense(counted),
    'This is a bound from bytes alone: kept units lie together and stream at full bandwidth, weights are read once per token, the first layer and the lm_head stay whole. Neurons that ReLU leaves at zero count as read. Both methods skip the same units.',
  ]
}

type Counted = { readonly model: Architecture; readonly costs: readonly TokenCost[] }

/** Where the settings are those of the released timings. */
function compareWithPublished(counted: readonly Counted[], sparsity: number, hidden: number): string[] {
  if (sparsity !== defaultCostSettings.sparsity || hidden !== defaultCostSettings.hidden) return []
  const pairs = counted.flatMap(({ model, costs: [, dejavu, token] }) => {
    const row = publishedLatency.rows.find((one) => one.model === model.name)
    return row ? [{ counted: 100 * (1 - token.bytes / dejavu.bytes), timed: Number(row.saved) }] : []
  })
  if (pairs.length === 0) return []
  const ours = range(pairs.map((pair) => pair.counted))
  const theirs = range(pairs.map((pair) => pair.timed))
  return [
    `On the models with published timings, bytes explain ${ours} % where ${theirs} % was measured: what bytes do not count, such as starting a kernel, is in the timings.`,
  ]
}

/** Predictors that cost more than they save. */
function slowerThanDense(counted: readonly Counted[]): string[] {
  const slower = counted.filter(({ costs: [dense, dejavu] }) => dejavu.bytes > dense.bytes)
  if (slower.length === 0) return []
  const names = slower.map(({ model }) => model.name).join(', ')
  return [`Predictors of every layer asked for every token make ${names} slower than dense.`]
}

function describeModel(model: Architecture, [dense, dejavu, , shadow]: readonly TokenCost[]): string {
  const parameters = `${(countParameters(model) / 1e9).toFixed(2)} billion parameters`
  const reads = `a dense token reads ${(dense.bytes / 1e9).toFixed(2)} GB`
  const speeds = `${(dense.bytes / dejavu.bytes).toFixed(2)} times as fast with DejaVu, ${(dense.bytes / shadow.bytes).toFixed(2)} with ShadowLLM asked once`
  return `${model.name} has ${parameters}; ${reads}, and decoding is ${speeds}.`
}

/** The command that counts the same again; a measured bandwidth is given to it as it was. */
function costCommand(
  models: readonly Architecture[] | undefined,
  { sparsity, prompt, tokens, storage, hidden }: CostSettings,
  bandwidth: number,
): string {
  const flags = [
    ...(models === undefined ? [] : [`--model ${models.map(({ name }) => name).join(',')}`]),
    `--sparsity ${sparsity}`,
    `--prompt ${prompt}`,
    `--tokens ${tokens}`,
    `--storage ${storage}`,
    `--hidden ${hidden}`,
    `--bandwidth ${Number((bandwidth / 1e9).toPrecision(4))}`,
  ]
  return `shadowllm cost ${flags.join(' ')}`
}

/** Where numbers come from that are counted from sizes: these are the model, and there is no data. */
export async function countedProvenance(
  { argv = [] }: CostCommand,
  models: readonly Architecture[],
): Promise<Provenance> {
  const named = models.map((model) => ({ name: model.name, text: JSON.stringify(model) }))
  const whose = models.length > 3 ? `${models.length} models` : models.map(({ name }) => name).join(', ')
  return makeProvenance({
    backend: { name: 'wasm' },
    model: { name: `the sizes of ${whose}`, hash: await hashTexts(named) },
    data: { name: 'none', hash: await hashTexts([]) },
    seed: 0,
    argv,
  })
}

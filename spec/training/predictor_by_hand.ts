/**
 * The training data of each kind of predictor and the verdict on a predictor, computed by hand: rows and targets by index,
 * masks unit by unit. The laws compare src/training with it.
 */
import type { Scope } from '../../src/masks/budget.ts'
import type { UnitScores } from '../../src/masks/selection.ts'
import { layer_norm } from '../../src/ops/layer_norm.ts'
import type {
  DejavuConfig,
  DejavuStyleConfig,
  PredictorConfig,
} from '../../src/predictor/predictor_config.ts'
import type { CalibrationExample } from '../../src/predictor/example.ts'
import type { FeatureMoments } from '../../src/predictor/features.ts'
import type { MaskQuality, ScoreQuality } from '../../src/predictor/metrics.ts'
import type { NetworkShape } from '../../src/predictor/network.ts'
import type { Loss, TrainingSet } from '../../src/training/network_trainer.ts'
import { rankCorrelation } from '../predictor/rank_correlation.ts'
import type { UnitKind } from '../../src/masks/mask.ts'

const { fround } = Math

/** One network of a predictor: its kind, its layer and its training set. */
export interface NetworkByHand {
  readonly kind: UnitKind
  /** null for one network for the whole model. */
  readonly layer: number | null
  readonly shape: NetworkShape
  readonly set: TrainingSet
  readonly loss: Loss
  readonly moments: FeatureMoments | null
}

const kinds = ['heads', 'neurons'] as const

/** How many layers, from the first on, are dense. */
function denseOf(config: PredictorConfig): number {
  return config.kind === 'shadow' ? config.sourceLayer + 1 : 1
}

/** Row `layer` of a table [L, width]. */
function rowOf(table: Float32Array, layer: number, width: number): Float32Array {
  return table.slice(layer * width, (layer + 1) * width)
}

/** The scores of an example in the layers that are not dense. */
function ranked(config: PredictorConfig, { scores }: CalibrationExample, kind: UnitKind): Float32Array {
  return (scores.get(config.criterion) as UnitScores)[kind].slice(denseOf(config) * config.shape[kind])
}

/** Ids of the units of a table, best first; of equal scores the lower id. */
function bestFirst(scores: Float32Array): number[] {
  return [...scores.keys()].toSorted((a, b) => scores[b] - scores[a] || a - b)
}

/** Scales each group of `group` neighbours to [0, 1]; 0 if all of them are equal. */
function toUnitRange(scores: Float32Array, group: number): Float32Array {
  return scores.map((score, i) => {
    const own = scores.subarray(i - (i % group), i - (i % group) + group)
    const [least, most] = [Math.min(...own), Math.max(...own)]
    return most > least ? fround(score - least) / fround(most - least) : 0
  })
}

/** The share of `shares` under which each unit is among the best of its group. */
function labelsOf(scores: Float32Array, group: number, shares: readonly number[]): Float32Array {
  return scores.map((_, i) => {
    const start = i - (i % group)
    const place = bestFirst(scores.subarray(start, start + group)).indexOf(i - start)
    return shares.reduce(
      (label, share) => fround(label + (place < Math.round(share * group) ? 1 / shares.length : 0)),
      0,
    )
  })
}

/** The targets of an example: [(L - dense) U]. */
export function targetsByHand(
  config: PredictorConfig,
  example: CalibrationExample,
  kind: UnitKind,
): Float32Array {
  const scores = ranked(config, example, kind)
  const units = config.shape[kind]
  if (config.kind === 'dejavu') return labelsOf(scores, units, config.top)
  if (config.kind === 'shadow' && config.loss === 'bce') return labelsOf(scores, scores.length, config.top)
  if (config.targets === 'per_layer') return toUnitRange(scores, units)
  if (config.targets === 'global') return toUnitRange(scores, scores.length)
  if (config.targets === 'rank') {
    const order = bestFirst(scores)
    return scores.map((_, unit) => 1 - order.indexOf(unit) / Math.max(1, scores.length - 1))
  }
  if (config.targets === 'root') {
    const mean = scores.reduce((total, score) => total + Math.abs(score), 0) / scores.length || 1
    return scores.map((score) => Math.sign(score) * Math.sqrt(Math.abs(score) / mean))
  }
  return scores
}

/** Inputs [T, D] each, scaled as the config says: over all examples together, or token by token. */
function scaled(
  inputs: readonly Float32Array[],
  { features, width: D }: PredictorConfig,
): { rows: Float32Array[]; moments: FeatureMoments | null } {
  if (features === 'none') return { rows: [...inputs], moments: null }
  const tokens = inputs.flatMap((input) =>
    Array.from({ length: input.length / D }, (_, t) => rowOf(input, t, D)),
  )
  const average = (values: readonly number[]): number =>
    values.reduce((total, value) => total + value / values.length, 0)
  const columns = Array.from({ length: D }, (_, d) => tokens.map((row) => row[d]))
  const exact = columns.map(average)
  const mean = Float32Array.from(exact)
  const spread = Float32Array.from(columns, (column, d) => {
    const squares = column.reduce((total, value) => total + (value - exact[d]) ** 2, 0)
    return Math.sqrt(squares / column.length)
  })
  const scaleToken = (row: Float32Array): Float32Array => {
    if (features === 'dataset')
      return row.map((value, d) => (spread[d] > 0 ? fround(value - mean[d]) / spread[d] : 0))
    if (features === 'min_max') return toUnitRange(row, D)
    const normal = new Float32Array(D)
    layer_norm(normal, row, new Float32Array(D).fill(1), new Float32Array(D), 1e-5, 1, D)
    return normal
  }
  const rows = inputs.map((input) =>
    Float32Array.from(
      Array.from({ length: input.length / D }, (_, t) => [...scaleToken(rowOf(input, t, D))]).flat(),
    ),
  )
  return { rows, moments: features === 'dataset' ? { mean, spread } : null }
}

/** The networks of a config in the order of their training, each with its examples. */
export function networksByHand(
  config: PredictorConfig,
  examples: readonly CalibrationExample[],
): NetworkByHand[] {
  const { width, shape } = config
  const hidden = { heads: config.headHidden, neurons: config.neuronHidden }
  if (config.kind === 'shadow') {
    const inputs = examples.map(({ features }) =>
      config.pooling === 'attention'
        ? (features.sequence as Float32Array)
        : rowOf(config.pooling === 'last' ? features.last : features.mean, config.sourceLayer, width),
    )
    const { rows, moments } = scaled(inputs, config)
    return kinds.map((kind) => {
      const targets = examples.map((example) => targetsByHand(config, example, kind))
      const outputs = (shape.layers - config.sourceLayer - 1) * shape[kind]
      const pools = config.pooling === 'attention'
      return {
        kind,
        layer: null,
        shape: { inputs: width, hidden: hidden[kind], outputs, pools },
        set: { rows, targets },
        loss: config.loss === 'mse' ? { name: 'mse' } : { name: 'bce', negativeWeight: 1 },
        moments,
      }
    })
  }
  return kinds.flatMap((kind) =>
    Array.from({ length: shape.layers - 1 }, (_, i) => layerByHand(config, examples, kind, i + 1)),
  )
}

/** The network of one layer of a per-layer predictor. */
function layerByHand(
  config: DejavuStyleConfig | DejavuConfig,
  examples: readonly CalibrationExample[],
  kind: UnitKind,
  layer: number,
): NetworkByHand {
  const { width: inputs } = config
  const outputs = config.shape[kind]
  const hidden = kind === 'heads' ? config.headHidden : config.neuronHidden
  const seen = examples.map(({ features }) =>
    config.kind === 'dejavu'
      ? rowOf(features.stream, layer - 1, inputs)
      : rowOf(features.last, layer, inputs),
  )
  const { rows, moments } = scaled(seen, config)
  const targets = examples.map((example) => rowOf(targetsByHand(config, example, kind), layer - 1, outputs))
  const common = { kind, layer, set: { rows, targets }, moments }
  if (config.kind === 'dejavu-style')
    return { ...common, shape: { inputs, hidden, outputs }, loss: { name: 'mse' } }
  const labels = targets.flatMap((row) => [...row])
  const share = labels.reduce((total, label) => total + label, 0) / labels.length
  const negativeWeight = kind === 'heads' ? share : share + 0.005
  return {
    ...common,
    shape: { inputs, hidden, outputs, form: 'low-rank' },
    loss: { name: 'bce', negativeWeight },
  }
}

/** Which units of the ranked layers are kept, by hand; at least `floor` of every layer. */
function chooseByHand(
  scores: Float32Array, // [(L - dense), U]
  units: number,
  sparsity: number,
  scope: Scope,
  floor: number,
): Set<number> {
  const order = bestFirst(scores)
  const layerOf = (unit: number): number => Math.floor(unit / units)
  const layers = Array.from({ length: scores.length / units }, (_, layer) =>
    order.filter((unit) => layerOf(unit) === layer),
  )
  if (scope === 'per-layer') {
    const count = Math.max(floor, Math.round((1 - sparsity) * units))
    return new Set(layers.flatMap((own) => own.slice(0, count)))
  }
  const chosen = new Set(layers.flatMap((own) => own.slice(0, floor)))
  const count = Math.round((1 - sparsity) * scores.length)
  for (const unit of order) if (chosen.size < count) chosen.add(unit)
  return chosen
}

/** The quality of scores, by hand: means over examples, each of a pair of predicted and true scores. */
export function judgeByHand(
  config: PredictorConfig,
  pairs: readonly (readonly [predicted: UnitScores, oracle: UnitScores])[],
  sparsities: readonly number[],
  scope: Scope,
): Record<UnitKind, ScoreQuality> {
  const mean = (values: readonly number[]): number =>
    values.length === 0 ? 0 : values.reduce((total, value) => total + value, 0) / values.length
  const ofKind = (kind: UnitKind): ScoreQuality => {
    const units = config.shape[kind]
    const neuronFloor = scope === 'hybrid' ? Math.min(256, Math.ceil(units / 32)) : 0
    const floor = kind === 'heads' ? 1 : neuronFloor
    const tables = pairs.map(([predicted, oracle]) =>
      [predicted, oracle].map((scores) => scores[kind].slice(denseOf(config) * units)),
    )
    const layers = Array.from({ length: Math.max(0, config.shape.layers - denseOf(config)) }, (_, i) => i)
    const masks = (sparsity: number): MaskQuality[] =>
      tables.map(([predicted, oracle]) => {
        const [chosen, best] = [predicted, oracle].map((scores) =>
          chooseByHand(scores, units, sparsity, scope, floor),
        )
        const both = [...chosen].filter((unit) => best.has(unit)).length
        const lowest = Math.min(...oracle)
        const worth = (of: Set<number>): number => [...of].reduce((sum, u) => sum + oracle[u] - lowest, 0)
        const share = (part: number, whole: number): number => (whole === 0 ? 1 : part / whole)
        return {
          recall: share(both, best.size),
          precision: share(both, chosen.size),
          jaccard: share(both, chosen.size + best.size - both),
          scoreKept: share(worth(chosen), worth(best)),
        }
      })
    const meanOf = (all: readonly MaskQuality[]): MaskQuality => ({
      recall: mean(all.map(({ recall }) => recall)),
      precision: mean(all.map(({ precision }) => precision)),
      jaccard: mean(all.map(({ jaccard }) => jaccard)),
      scoreKept: mean(all.map(({ scoreKept }) => scoreKept)),
    })
    return {
      spearman: mean(tables.map(([predicted, oracle]) => rankCorrelation(predicted, oracle))),
      spearmanWithin: mean(
        tables.map(([predicted, oracle]) =>
          mean(
            layers.map((layer) =>
              rankCorrelation(rowOf(predicted, layer, units), rowOf(oracle, layer, units)),
            ),
          ),
        ),
      ),
      at: sparsities.map((sparsity) => meanOf(masks(sparsity))),
    }
  }
  return { heads: ofKind('heads'), neurons: ofKind('neurons') }
}

/** The mean of tables, in the layers that are not dense; the others are 0. */
export function constantByHand(
  config: PredictorConfig,
  examples: readonly CalibrationExample[],
  read: (example: CalibrationExample, kind: UnitKind) => Float32Array,
): UnitScores {
  const table = (kind: UnitKind): Float32Array => {
    const units = config.shape[kind]
    const own = examples.map((example) => read(example, kind))
    return Float32Array.from({ length: config.shape.layers * units }, (_, i) => {
      const at = i - denseOf(config) * units
      return at < 0 ? 0 : own.reduce((total, values) => total + values[at], 0) / own.length
    })
  }
  return { shape: config.shape, heads: table('heads'), neurons: table('neurons') }
}

/** The unscaled scores of an example in the layers that are not dense. */
export const rawByHand = ranked

/**
 * The cost of calibration relative to a forward pass over the same tokens. The paper does not report the overhead of
 * plainact (arXiv 2406.16635).
 *
 * Operations are counted from the configuration and the number of tokens: every op of a pass, as the catalogue counts
 * it. Seconds are measured in the run itself, on its first windows, part by part. The backward pass computes
 * gradients of activations and none of weights, so it has as many matrix products as the forward pass.
 */
import type { Criterion, CriterionCost } from '../criteria/index.ts'
import { type ModelConfig, contextWidth } from '../engine/config.ts'
import { kernels, type KernelName } from '../ops/catalog.ts'
import type { Sizes } from '../ops/op.ts'
import { median } from '../results/interleaved_rounds.ts'
import type { CollectTimes } from './examples.ts'

/** The cost of the parts of a calibration: operations of all windows, or seconds of one window. */
export interface CostParts {
  /** A forward pass with its loss: the baseline. */
  readonly plain: number
  readonly forward: number
  readonly backward: number
  /** By criterion: the additional passes it runs, and the work on their results. */
  readonly criteria: Readonly<Record<string, number>>
  /** (forward + backward + criteria) / plain. */
  readonly ratio: number
}

/** The cost of a calibration. */
export interface CalibrationCost {
  readonly windows: number
  readonly tokens: number
  /** Floating-point operations over all windows. */
  readonly flops: CostParts
  /** Medians per window; null if nothing was computed. */
  readonly seconds: CostParts | null
  /** How many windows were measured. */
  readonly measured: number
}

/** How many windows are measured for a median. */
export const windowsToMeasure = 8

/** The cost of a calibration over windows of these lengths. */
export function calibrationCost(
  config: ModelConfig,
  lengths: readonly number[],
  criteria: readonly Pick<Criterion, 'name' | 'cost'>[],
  times: readonly CollectTimes[] = [],
): CalibrationCost {
  const sum = (cost: (T: number) => number): number => lengths.reduce((total, T) => total + cost(T), 0)
  const byCriterion = (
    cost: (criterion: Pick<Criterion, 'name' | 'cost'>) => number,
  ): Record<string, number> =>
    Object.fromEntries(criteria.map((criterion) => [criterion.name, cost(criterion)]))
  const middle = (part: string): number => median(times.map((of) => of.get(part) ?? 0))
  return {
    windows: lengths.length,
    tokens: sum((T) => T),
    flops: withRatio({
      plain: sum((T) => forwardFlops(config, T) + lossFlops(config, T)),
      forward: sum((T) => forwardFlops(config, T)),
      backward: sum((T) => backwardFlops(config, T)),
      criteria: byCriterion(({ cost }) => sum((T) => criterionFlops(cost, config, T))),
    }),
    seconds:
      times.length === 0
        ? null
        : withRatio({
            plain: middle('plain'),
            forward: middle('forward'),
            backward: middle('backward'),
            criteria: byCriterion(({ name }) => middle(name)),
          }),
    measured: times.length,
  }
}

function withRatio(parts: Omit<CostParts, 'ratio'>): CostParts {
  const { plain, forward, backward, criteria } = parts
  const all = Object.values(criteria).reduce((total, value) => total + value, forward + backward)
  return { ...parts, ratio: all / plain }
}

/** Floating-point operations of a forward pass over T tokens, the logits of every position included. */
export function forwardFlops(config: ModelConfig, T: number): number {
  const { layers, width: D, neurons: F, heads: H, keyHeads: G, headSize: K, gated, rotary } = config
  const { embeddingWidth: E, vocabulary: V } = config
  const norm = flops(config.norm === 'rms' ? 'rms_norm' : 'layer_norm', { T, D })
  const block =
    linear(T, (H + 2 * G) * K, D) + // query, key, value
    (rotary ? flops('rotary', { T, H: H + G, K }) : 0) +
    flops('attention', { T, S: T, R: H, K }) +
    linear(T, D, H * K) + // out
    (gated ? 2 : 1) * linear(T, F, D) + // fc1, up
    flops(gated ? 'silu_gate' : 'relu', { N: T * F }) +
    linear(T, D, F) + // fc2
    2 * flops('add', { N: T * D }) +
    2 * norm
  const ends = (rotary ? 0 : flops('add', { N: T * D })) + linear(T, V, E)
  const projections = E === D ? 0 : linear(T, D, E) + linear(T, E, D)
  const finalNorm = config.finalNorm ? norm : 0
  return layers * block + ends + projections + finalNorm
}

/** Floating-point operations of the loss of every position. */
export function lossFlops({ vocabulary: V }: ModelConfig, T: number): number {
  return flops('cross_entropy', { T, V })
}

/** Floating-point operations of the loss and of the backward pass to every activation, without gradients of parameters. */
export function backwardFlops(config: ModelConfig, T: number): number {
  const { layers, width: D, neurons: F, heads: H, keyHeads: G, headSize: K, gated, rotary } = config
  const { embeddingWidth: E, vocabulary: V } = config
  const norm = flops(config.norm === 'rms' ? 'rms_norm_backward' : 'layer_norm_backward', { T, D })
  const block =
    linear(T, F, D) + // fc2
    flops(gated ? 'silu_gate_backward' : 'relu_backward', { N: T * F }) +
    (gated ? 2 : 1) * linear(T, D, F) + // fc1, up
    linear(T, H * K, D) + // out
    flops('attention_backward', { T, H, K }) +
    (rotary ? flops('rotary_backward', { T, H: H + G, K }) : 0) +
    linear(T, D, (H + 2 * G) * K) + // query, key, value
    (gated ? 5 : 4) * flops('add', { N: T * D }) +
    2 * norm
  const start = lossFlops(config, T) + flops('cross_entropy_backward', { T, V }) + linear(T, E, V)
  const projection = E === D ? 0 : linear(T, D, E)
  const finalNorm = config.finalNorm ? norm : 0
  return layers * block + start + projection + finalNorm
}

/**
 * Floating-point operations of a criterion without the shared passes: its additional passes, and one product and one sum
 * for each activation of heads and neurons that it reads.
 */
export function criterionFlops(cost: CriterionCost, config: ModelConfig, T: number): number {
  const { layers, neurons: F } = config
  const D = contextWidth(config)
  const passes = cost.forward * forwardFlops(config, T) + cost.backward * backwardFlops(config, T)
  return passes + 2 * T * layers * (D + F)
}

/** A matrix product [T, I] x [I, O]. */
function linear(T: number, O: number, I: number): number {
  return flops('linear', { T, R: O, I })
}

function flops(name: KernelName, sizes: Sizes): number {
  return kernels[name].flops(sizes)
}

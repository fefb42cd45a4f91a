/**
 * The cost of calibration relative to a forward pass over the same tokens. The paper does not report the overhead of
 * plainact (arXiv 2406.16635).
 *
 * Operations are counted from the configuration and the number of tokens: both passes run on a backend that counts each op as the
 * catalogue does, and computes nothing. Seconds are measured in the run itself, on its first windows, part by part. The backward
 * pass computes gradients of activations and none of weights, so it has as many matrix products as the forward pass.
 */
import { BufferScope } from '../backends/buffer_scope.ts'
import { CountingBackend } from '../backends/counting.ts'
import type { Criterion, CriterionCost } from '../criteria/index.ts'
import { backward } from '../engine/backward.ts'
import { type ModelConfig, contextWidth } from '../engine/config.ts'
import { LanguageModel } from '../engine/language_model.ts'
import { traceForward, type Trace } from '../engine/trace.ts'
import { zeroParameters } from '../engine/weight_layout.ts'
import { kernels } from '../ops/catalog.ts'
import { median } from '../results/interleaved_rounds.ts'

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

/**
 * Seconds of the parts of one example: `plain`, a forward pass over the same tokens that keeps only the loss; `forward`;
 * `backward`; and each criterion by its name, criteria of data sets included.
 */
export type CollectTimes = Map<string, number>

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

/** The operations of both passes over T tokens. */
interface PassFlops {
  readonly forward: number
  readonly backward: number
}

const countsOf = new WeakMap<ModelConfig, (T: number) => PassFlops>()

/** Runs both passes on a backend that only counts. */
function countPasses(config: ModelConfig, T: number): PassFlops {
  const count = countsOf.get(config) ?? counterOf(config)
  countsOf.set(config, count)
  return count(T)
}

function counterOf(config: ModelConfig): (T: number) => PassFlops {
  const backend = new CountingBackend()
  const matrices = zeroParameters(config, new BufferScope(backend))
  const model = new LanguageModel(config, backend, {
    storage: 'f32',
    matrices,
    parameters: matrices,
    layers: Array.from({ length: config.layers }, () => backend),
    bytes: 0,
    unused: [],
    dispose: () => {},
  })
  const known = new Map<number, PassFlops>()
  const countFrom = (work: () => void): number => {
    backend.flops = 0
    work()
    return backend.flops
  }
  return (T) => {
    const found = known.get(T)
    if (found) return found
    let trace: Trace | null = null
    const tokens = new Int32Array(T)
    const forward = countFrom(() => (trace = traceForward(model, tokens)))
    const back = countFrom(() => backward(model, trace as unknown as Trace, tokens, { scored: 1 }))
    const counts = { forward, backward: back }
    known.set(T, counts)
    return counts
  }
}

/** Floating-point operations of a forward pass over T tokens, the logits of every position included. */
export function forwardFlops(config: ModelConfig, T: number): number {
  return countPasses(config, T).forward
}

/** Floating-point operations of the loss of every position. */
export function lossFlops({ vocabulary: V }: ModelConfig, T: number): number {
  return kernels.cross_entropy.flops({ T, V })
}

/** Floating-point operations of the loss and of the backward pass to every activation, without gradients of parameters. */
export function backwardFlops(config: ModelConfig, T: number): number {
  return countPasses(config, T).backward
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

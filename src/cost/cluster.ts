/**
 * What calibrating a model costs that no machine here could: hours, machines and bytes, counted from the model's sizes and
 * from rates that were measured or are given; and how the time grows with failures, by simulation.
 *
 * A window is one forward and one backward pass; the way back goes through activations only, so both have the same matrix
 * products. Norms, softmax and the criteria's own sums are left out: less than a hundredth at these sizes.
 */
import { simulateCluster, type ClusterOutcome } from '../jobs/simulate.ts'
import { now } from '../platform/platform.ts'
import type { ExperimentResult, Row } from '../results/experiment_result.ts'
import { architectureByName, countParameters, type Architecture } from './architectures.ts'
import { countedProvenance, type CostCommand } from './experiments.ts'
import { measureFlops } from './linear_rate.ts'
import { keptUnits, weightsRead } from './token_cost.ts'

/** A cluster that calibrates. */
export interface ClusterOptions extends CostCommand {
  readonly models?: readonly Architecture[]
  readonly machines: number
  /** Windows, their tokens, and how many of those are the prompt. */
  readonly windows: number
  readonly tokens: number
  /** Criteria that are kept. */
  readonly criteria: number
  /** Floating-point operations per second of one machine; measured on one thread where it is not given. */
  readonly flops?: number
  /** Bytes per second at which a machine reads a model's weights. */
  readonly loading: number
  /** How often a machine dies in an hour. */
  readonly deathsPerHour: number
  readonly seed: number
}

/** 4,800 windows of 256 tokens and three criteria on 64 machines that each die once in four days. */
export const defaultCluster: Omit<ClusterOptions, 'flops' | 'models'> = {
  machines: 64,
  windows: 4800,
  tokens: 256,
  criteria: 3,
  loading: 1e9,
  deathsPerHour: 0.01,
  seed: 0,
}

/** Models whose traces are worth a cluster. */
const defaultModels = ['opt-30b', 'opt-66b', 'opt-175b', '70b-like'] as const
/** Jobs this long cost the queue little, and lose little with a machine. */
const jobSeconds = 60

/** The cost of calibrating one model. */
interface ClusterCost {
  /** Floating-point operations of one window. */
  readonly flops: number
  /** Bytes of weights that each machine holds, in float32. */
  readonly weights: number
  /** Bytes of the finished calibration. */
  readonly results: number
  /** Seconds of one machine for one window. */
  readonly seconds: number
  readonly outcome: ClusterOutcome
}

/** Floating-point operations of a calibrated window of T tokens: both passes, attention and logits included. */
export function windowFlops(model: Architecture, T: number): number {
  const { matrix, table } = weightsRead(model, keptUnits(model, 0))
  const attention = 2 * model.layers * model.heads * model.headSize * T // scores and values, a mean of T/2 positions
  const forward = T * (2 * (matrix + table) + attention)
  return 2 * forward
}

/** Bytes of the results: features and scores of every layer, see calibration/calibration_files.ts. */
export function resultBytes(model: Architecture, windows: number, criteria: number): number {
  const { layers, width, heads, neurons } = model
  return 4 * windows * layers * (3 * width + criteria * (heads + neurons))
}

/** Counts one model. @param flops of one machine, per second */
export function clusterCost(model: Architecture, options: ClusterOptions, flops: number): ClusterCost {
  const { machines, windows, tokens, criteria, loading, deathsPerHour, seed } = options
  const work = windowFlops(model, tokens)
  const seconds = work / flops
  const weights = 4 * countParameters(model)
  const perJob = Math.max(1, Math.min(windows, Math.round(jobSeconds / seconds)))
  const outcome = simulateCluster({
    workers: machines,
    jobs: Math.ceil(windows / perJob),
    jobSeconds: perJob * seconds,
    spread: 0.05,
    loadSeconds: weights / loading,
    lockSeconds: 30,
    deathsPerHour,
    restartSeconds: 300,
    cutsPerHour: deathsPerHour,
    cutSeconds: 120,
    seed,
  })
  return { flops: work, weights, results: resultBytes(model, windows, criteria), seconds, outcome }
}

/** As an experiment. @throws MissingError BACKEND_MISSING, BACKEND_MEMORY while the rate is measured */
export async function clusterExperiment(options: ClusterOptions): Promise<ExperimentResult> {
  const started = now()
  const models = options.models ?? defaultModels.map(architectureByName)
  const flops = options.flops ?? (await measureFlops())
  const costs = models.map((model) => ({ model, cost: clusterCost(model, options, flops) }))
  const rows = costs.map(({ model, cost }): Row => {
    const { outcome } = cost
    return {
      model: model.name,
      work: (cost.flops * options.windows) / 1e15,
      memory: cost.weights / 1e9,
      results: cost.results / 1e9,
      hours: outcome.makespan / 3600,
      machine: (outcome.makespan * options.machines) / 3600,
      deaths: outcome.deaths,
      efficiency: 100 * outcome.efficiency,
    }
  })
  const { machines, windows, tokens, criteria } = options
  const source = options.flops === undefined ? 'measured here on one thread' : 'as given'
  const rate = `${(flops / 1e9).toFixed(1)} GFLOP/s a machine (${source})`
  return {
    name: 'cluster',
    title: 'What a calibration costs on many machines',
    asks: `How long do ${machines} machines take to calibrate a model that none here could hold? ${windows} windows of ${tokens} tokens, ${criteria} criteria, float32, ${rate}; each reads weights at ${options.loading / 1e9} GB/s and dies ${options.deathsPerHour} times an hour.`,
    command: options.command ?? commandOf(options, flops),
    columns: [
      { key: 'model', label: 'model' },
      { key: 'work', label: 'work', unit: 'PFLOP' },
      { key: 'memory', label: 'weights', unit: 'GB a machine', digits: 1 },
      { key: 'results', label: 'results', unit: 'GB', digits: 1 },
      { key: 'hours', label: 'time', unit: 'hours' },
      { key: 'machine', label: 'together', unit: 'machine hours' },
      { key: 'deaths', label: 'deaths', digits: 0 },
      { key: 'efficiency', label: 'useful', unit: '%', digits: 1 },
    ],
    rows,
    plots: [makespans(costs[0].model, options, flops)],
    paper: null,
    findings: [
      'Time is simulated, with one seed: machines load the model, take jobs of about a minute, die, are cut off, and come back. Useful is the work of all jobs over what the machines could have done meanwhile.',
      'Each machine must hold the whole model: a model in parts over several machines is not what this program does.',
    ],
    provenance: { ...(await countedProvenance(options, models)), seed: options.seed },
    complete: true,
    seconds: (now() - started) / 1000,
  }
}

/** Counts of machines that a figure shows. */
const clusterSizes = [100, 300, 1000, 3000, 10_000]

/** How the time falls with the number of machines, with failures and without. */
function makespans(
  model: Architecture,
  options: ClusterOptions,
  flops: number,
): ExperimentResult['plots'][number] {
  const hours = (machines: number, deathsPerHour: number): number =>
    clusterCost(model, { ...options, machines, deathsPerHour }, flops).outcome.makespan / 3600
  const line = (name: string, rate: number): { name: string; points: { x: number; y: number }[] } => ({
    name,
    points: clusterSizes.map((machines) => ({ x: machines, y: hours(machines, rate) })),
  })
  return {
    title: `Time to calibrate ${model.name}`,
    kind: 'line',
    x: { label: 'machines' },
    y: { label: 'time (hours)', scale: 'log' },
    series: [
      line('no failures', 0),
      line(`${options.deathsPerHour} deaths an hour each`, options.deathsPerHour),
      line(`${10 * options.deathsPerHour} deaths an hour each`, 10 * options.deathsPerHour),
    ],
  }
}

function commandOf({ machines, windows, deathsPerHour, seed }: ClusterOptions, flops: number): string {
  const rest = `--windows ${windows} --deaths ${deathsPerHour} --seed ${seed}`
  return `shadowllm cost --cluster --machines ${machines} --gflops ${(flops / 1e9).toFixed(1)} ${rest}`
}

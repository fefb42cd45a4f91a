/**
 * What an experiment is to whoever runs it: a question with a name, answered over a text with what is kept of it (ExperimentCache).
 *
 * An experiment says what was measured and what the numbers say; the runner adds the command, the provenance and the
 * time. Numbers are of all seeds together, so an experiment never looks at one seed alone.
 */
import { now } from '../platform/platform.ts'
import type { ExperimentResult } from '../results/experiment_result.ts'
import type { MeasuredRun } from '../results/measured_run.ts'
import type { ExperimentCache, CacheOptions } from './cache/experiment_cache.ts'
import type { Settings } from '../evaluation/settings.ts'
import type { GridChoice } from './grid_cells.ts'

/** What an experiment may use. */
export interface ExperimentContext {
  readonly settings: Settings
  readonly seeds: readonly number[]
  /** Of this run; another one, for windows of another size, is the experiment's own to dispose. */
  readonly cache: ExperimentCache
  /** Opens a cache that differs in some options. */
  readonly openCache: (options: Partial<CacheOptions>) => Promise<ExperimentCache>
  /** What the caches have measured; they add to it (`onMeasured`). */
  readonly measured: MeasuredRun[]
  /** What makes this result again. */
  readonly command: string
  /** Which cells of the grid are measured; default all. */
  readonly grid?: GridChoice
}

/** What an experiment finds. */
export type Finding = Omit<
  ExperimentResult,
  'name' | 'title' | 'asks' | 'command' | 'measured' | 'provenance' | 'complete' | 'seconds'
>

/** One question of the paper, or one it leaves open. */
export interface Experiment {
  readonly name: string
  readonly title: string
  /** The question, and where the paper asks it. */
  readonly asks: string
  /** Whether it is measured at the sparsities of the settings. The others have their own: the paper compares at those. */
  readonly takesSparsity?: true
  run(context: ExperimentContext): Promise<Finding>
}

/** Runs an experiment to its end. @throws what it throws; the reason of an aborted signal: what was scored stays in the store */
export async function runExperiment(
  experiment: Experiment,
  context: ExperimentContext,
): Promise<ExperimentResult> {
  const started = now()
  const { name, title, asks } = experiment
  const found = await experiment.run(context)
  const measured = context.measured.splice(0)
  return {
    name,
    title,
    asks,
    command: context.command,
    ...found,
    ...(measured.length > 0 && { measured }),
    provenance: await context.cache.provenance(context.seeds[0]),
    complete: true,
    seconds: (now() - started) / 1000,
  }
}

/**
 * Collects the examples of a calibration: in this thread, or by jobs in other threads or on other machines. Criteria of a data
 * set need every example in order, so they are collected in this thread.
 *
 * The first missing examples are always computed in this thread, which measures the times of their parts.
 */
import { type CollectTimes, windowsToMeasure } from '../cost/calibration_cost.ts'
import type { Criterion, DatasetScores } from '../criteria/index.ts'
import { defaultThreads, type ThreadModel, type ThreadStart } from '../jobs/model_threads.ts'
import type { JobModel } from '../jobs/job_model.ts'
import type { JobRunner } from '../jobs/runner.ts'
import { threadRunner } from '../jobs/thread_runner.ts'
import { pause } from '../platform/pause.ts'
import type { ThreadCode } from '../platform/platform.ts'
import { collectByJobs, type CalibrationData } from './calibrate_job.ts'
import { collectExample, type GroupedExample } from './examples.ts'

/** Who collects besides this thread. */
export interface Helpers {
  /** The model for other threads; without it all runs in this thread. Default count: `defaultThreads`. */
  readonly threads?: ThreadModel & { readonly count?: number }
  /** A runner to use instead of threads; the caller closes it. */
  readonly runner?: JobRunner | null
}

/** The examples to collect. */
interface Todo {
  /** Their indices in the set, in order. */
  readonly indices: readonly number[]
  /** Those that exist already; only the criteria of the data set read them. */
  readonly kept: ReadonlySet<number>
  readonly criteria: readonly Criterion[]
  /** Criteria of the data set by name; each example is added to each of them. */
  readonly dataset: ReadonlyMap<string, DatasetScores>
}

/** An example, and the times of its parts if they were measured. */
interface Collected {
  readonly example: GroupedExample
  readonly times?: CollectTimes
}

/** The examples in order. @throws the signal's reason */
export async function* collectExamples(
  calibration: CalibrationData,
  { indices, kept, criteria, dataset }: Todo,
  jobModel: JobModel,
  helpers: Helpers,
  signal?: AbortSignal,
): AsyncGenerator<Collected, void, void> {
  const { windows, mask, stored } = calibration
  const { seed, keepSequence } = stored.manifest
  const measured = new Set(indices.filter((index) => !kept.has(index)).slice(0, windowsToMeasure))
  async function* here(own: Iterable<number>): AsyncGenerator<Collected, void, void> {
    for (const index of own) {
      await pause(signal)
      const times: CollectTimes | undefined = measured.has(index) ? new Map() : undefined
      const options = { index, seed, keepSequence, mask, dataset, times }
      const missing = kept.has(index) ? [] : criteria
      yield { example: collectExample(jobModel.model, windows[index], missing, options), times }
    }
  }
  const runner = dataset.size > 0 ? null : (helpers.runner ?? ownThreads(helpers, jobModel, indices.length))
  if (!runner) return yield* here(indices)
  const others = indices.filter((index) => !measured.has(index))
  const rest = collectByJobs(calibration, others, jobModel, runner, signal)
  try {
    // The helpers start while this thread measures the cost.
    const first = rest.next()
    first.catch(() => {})
    yield* here(measured)
    for (let next = await first; !next.done; next = await rest.next()) yield { example: next.value }
  } finally {
    if (runner !== helpers.runner) await runner.close()
    await rest.return().catch(() => {})
  }
}

/** A runner of threads for so many examples; null for none. */
function ownThreads(
  { threads }: Helpers,
  { model, hash, method }: JobModel,
  examples: number,
): JobRunner | null {
  if (!threads) return null
  const { count = defaultThreads(model.config, examples), ...place } = threads
  const useful = Math.min(count, examples)
  if (useful <= 1) return null
  const code: ThreadCode = (Worker) =>
    new Worker(new URL('./calibrate_thread.ts', import.meta.url), { type: 'module' })
  return threadRunner({ code, start: { ...place, hash, method } satisfies ThreadStart }, useful)
}

/**
 * Examples collected by several threads, each with a model of its own, and given out in order: the bits are those of
 * one thread, because an example depends on nothing but its window and its place.
 */
import type { BackendName } from '../../backends/backend.ts'
import { criterionByName, type DatasetScores } from '../../criteria/index.ts'
import type { OptModel } from '../../model/opt/opt_model.ts'
import { machine, startThread, type Thread, type ThreadCode } from '../../platform/platform.ts'
import { parameterShapes } from '../../model/opt/names.ts'
import type { OptConfig } from '../../model/opt/config.ts'
import type { UnitMask } from '../../masks/mask.ts'
import type { Window } from '../windows.ts'
import { collectExample, newTimes, type CollectTimes, type GroupedExample } from './examples.ts'

/** A window and how its example is collected. */
export interface CollectTask {
  readonly index: number
  readonly window: Window
  readonly criteria: readonly string[]
  readonly seed: number
  readonly keepSequence: boolean
  readonly mask: UnitMask | null
  readonly isMeasured: boolean
}

/** What becomes of a task. */
export interface Collected {
  readonly example: GroupedExample
  readonly times: CollectTimes | null
}

/** Which model threads open. */
export interface ThreadModel {
  /** A folder, or a file of weights with its configuration beside it. */
  readonly path: string
  readonly backend: BackendName
}

/** What a thread is told: its model first, then tasks. */
export type ThreadMessage = { readonly open: ThreadModel } | { readonly task: CollectTask }

/** What a thread says, once for each task. */
export type ThreadAnswer = Collected | { readonly failure: string }

/** Does a task in this thread. @param dataset what takes the example in besides */
export function collectTask(
  model: OptModel,
  { window, criteria, isMeasured, ...options }: CollectTask,
  dataset: ReadonlyMap<string, DatasetScores> = new Map(),
): Collected {
  const times = isMeasured ? newTimes() : undefined
  const example = collectExample(model, window, criteria.map(criterionByName), { ...options, dataset, times })
  return { example, times: times ?? null }
}

/** Fewer tasks than this for each thread are done before a thread has opened its model. */
const leastTasks = 16

const collector: ThreadCode = (Worker) =>
  new Worker(new URL('./collect_thread.ts', import.meta.url), { type: 'module' })

/**
 * How many threads suit a calibration here: as many as run at once, up to eight, that find room for their models in
 * half of the free memory, and have something to do.
 */
export function usualThreads(config: OptConfig, tasks: number): number {
  let weights = 0
  for (const shape of parameterShapes(config).values())
    weights += 4 * shape.reduce((product, size) => product * size, 1)
  const { threads, freeMemory } = machine()
  const room = freeMemory === null ? 1 : freeMemory / 2 / weights
  return Math.max(1, Math.floor(Math.min(threads, 8, room, tasks / leastTasks)))
}

/**
 * The results of tasks, in order. Leaving the loop ends the threads.
 * @throws Error with the words of a thread that failed; the signal's reason
 */
export async function* collectInThreads(
  tasks: readonly CollectTask[],
  count: number,
  model: ThreadModel,
  signal?: AbortSignal,
): AsyncGenerator<Collected, void, void> {
  const answers = new Map<number, Collected>()
  let wake = (): void => {}
  let failure: Error | null = null
  const fail = (error: Error): void => {
    failure ??= error
    wake()
  }
  const threads: { readonly thread: Thread; given: number }[] = []
  let next = 0
  /** One task waits while another runs, so that no thread waits; but results nobody has taken yet do not pile up. */
  const give = (): void => {
    for (const to of threads)
      for (; to.given < 2 && answers.size < 4 * count && next < tasks.length; to.given++)
        to.thread.send({ task: tasks[next++] } satisfies ThreadMessage)
  }
  const start = (): void => {
    const onMessage = (message: unknown): void => {
      const answer = message as ThreadAnswer
      if ('failure' in answer) return fail(new Error(answer.failure))
      answers.set(answer.example.index, answer)
      own.given--
      give()
      wake()
    }
    const own = { thread: startThread(collector, { onMessage, onError: fail }), given: 0 }
    own.thread.send({ open: model } satisfies ThreadMessage)
    threads.push(own)
  }
  const onAbort = (): void => wake()
  signal?.addEventListener('abort', onAbort)
  try {
    for (let i = 0; i < count; i++) start()
    give()
    for (const { index } of tasks) {
      signal?.throwIfAborted()
      while (!answers.has(index)) {
        signal?.throwIfAborted()
        if (failure) throw failure as Error
        await new Promise<void>((resolve) => (wake = resolve))
      }
      yield answers.get(index) as Collected
      answers.delete(index)
      give()
    }
  } finally {
    signal?.removeEventListener('abort', onAbort)
    await Promise.all(threads.map(({ thread }) => thread.end()))
  }
}

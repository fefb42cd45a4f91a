/**
 * Where a calibration's windows come from: documents, or tasks whose continuation is the right answer.
 *
 * ShadowLLM calibrates on prompts of its tasks, solved ones in front of each (arXiv 2406.16635); text needs no data but
 * itself. A task's rows are taken in an order drawn from the seed, tasks in turn.
 */
import type { PlacedRow } from '../io/row_file.ts'
import { Random } from '../tensor/random.ts'
import type { Document } from '../data/corpus.ts'
import { taskWindows } from '../data/tasks/prompts.ts'
import type { Task } from '../data/tasks/task.ts'
import {
  cutWindows,
  drawWindows,
  makeWordEncoder,
  type Encode,
  type Window,
  type WindowSizes,
} from '../data/windows.ts'
import type { CalibrationSource } from './examples.ts'

/** What every source is asked for. */
export interface SourceOptions {
  readonly name: string
  readonly encode: Encode
  /** How many windows at most. */
  readonly count: number
  readonly seed: number
}

/** Windows of documents, genres in turn (windows.ts). @throws UsageError WINDOW_SIZE */
export function textSource(
  documents: readonly Document[],
  { name, encode, count, seed, ...sizes }: SourceOptions & WindowSizes,
): CalibrationSource {
  const encodeWords = makeWordEncoder(encode)
  const cut = (document: Document): Window[] => cutWindows(document, encodeWords, sizes)
  return { name, windows: drawWindows(documents, count, seed, cut) }
}

/** A task and rows of it. */
export interface TaskRows {
  readonly task: Task
  readonly rows: readonly PlacedRow[]
}

/** How rows become windows. */
export interface TaskSourceOptions extends SourceOptions {
  /** Solved rows in front of each; drawn from the other rows of the task. */
  readonly shots: number
  readonly bosId: number
  /** Most tokens of a window. */
  readonly positions: number
}

/**
 * Windows of tasks. Fewer windows are the first of more.
 * @throws InputError TASK_ROW, TASK_LENGTH; UsageError SHOTS if a task has too few rows
 */
export function taskSource(
  tasks: readonly TaskRows[],
  { name, encode, count, seed, shots, bosId, positions }: TaskSourceOptions,
): CalibrationSource {
  const lists = tasks.map(({ task, rows }) => {
    const order = Array.from(new Random(seed).permutation(rows.length), (place) => rows[place])
    return taskWindows(task, order, encode, { shots, seed, limit: count, bosId, positions })
  })
  const most = lists.reduce((length, list) => Math.max(length, list.length), 0)
  const inTurn = Array.from({ length: most }, (_, i) => lists.flatMap((list) => list.slice(i, i + 1))).flat()
  return { name, windows: inTurn.slice(0, count) }
}

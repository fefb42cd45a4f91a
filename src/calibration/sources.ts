/**
 * The sources of calibration windows: documents, and tasks whose continuation is the correct answer.
 *
 * ShadowLLM calibrates on few-shot prompts of its tasks (arXiv 2406.16635). The rows of a task are taken in an order drawn
 * from the seed, alternating between tasks.
 */
import type { Encode } from '../io/encode_pieces.ts'
import { rowsOption, type PlacedRow } from '../io/row_file.ts'
import {
  checkOptions,
  expectOption,
  kinds,
  listOption,
  recordOption,
  required,
  seedOption,
  wholeOption,
  type Kinds,
} from '../tensor/option.ts'
import { Random } from '../tensor/random.ts'
import { documentsOption, inTurn, type Document } from '../data/corpus.ts'
import { promptFields, taskWindows, type PromptOptions } from '../data/tasks/prompts.ts'
import type { Task } from '../data/tasks/task.ts'
import {
  cutWindows,
  drawWindows,
  makeWordEncoder,
  windowSizeFields,
  type Window,
  type WindowSizes,
} from '../data/windows.ts'
import type { CalibrationSource } from './examples.ts'

/** Options of every source. */
export interface SourceOptions {
  /** The name of the source in the manifest. */
  readonly name: string
  /** Text to ids, nothing added. */
  readonly encode: Encode
  /** The maximal number of windows. */
  readonly count: number
  /** Draws the windows. */
  readonly seed: number
}

const sourceFields: Kinds<SourceOptions> = {
  name: required(kinds.text),
  encode: promptFields.encode,
  count: required(wholeOption('WINDOWS', 1)),
  seed: required(seedOption),
}

/**
 * Texts as the source of a calibration: cuts windows of a prompt and a continuation from documents, alternating between genres.
 * `calibrateToFolder` takes it as `source`.
 * @param documents texts, each with its name and genre
 * @param options the name for the manifest, the tokenizer, how many windows, their sizes in tokens, and the seed that draws them
 * @throws UsageError WINDOW_SIZE, WINDOWS for fewer than one window, SEED; OPTIONS, OPTION_NAME, OPTION_TYPE for arguments of other names
 *   or types
 */
export function textSource(
  documents: readonly Document[],
  options: SourceOptions & WindowSizes,
): CalibrationSource {
  expectOption('documents', documents, documentsOption)
  checkOptions(options, { ...sourceFields, ...windowSizeFields })
  const { name, encode, count, seed, ...sizes } = options
  const encodeWords = makeWordEncoder(encode)
  const cut = (document: Document): Window[] => cutWindows(document, encodeWords, sizes)
  const needs = `${sizes.prompt} + ${sizes.continuation} tokens in one document`
  return { name, windows: drawWindows(documents, count, seed, cut), needs }
}

/** A task and its rows. */
export interface TaskRows {
  /** Such as `taskByName` gives. */
  readonly task: Task
  /** Its rows, each with its place for errors. */
  readonly rows: readonly PlacedRow[]
}

const taskRowsOption = recordOption<TaskRows>('a task and its rows', {
  task: required(
    recordOption<Pick<Task, 'name' | 'read'>>('a task of taskByName', {
      name: required(kinds.text),
      read: required(kinds.call),
    }),
  ),
  rows: required(rowsOption),
})

/** How rows become windows. */
export type TaskSourceOptions = SourceOptions &
  Required<Pick<PromptOptions, 'shots' | 'prefixIds' | 'emptyId' | 'positions'>>

const taskSourceFields: Kinds<TaskSourceOptions> = {
  ...sourceFields,
  shots: required(promptFields.shots),
  prefixIds: required(promptFields.prefixIds),
  emptyId: promptFields.emptyId,
  positions: promptFields.positions,
}

/**
 * Choice tasks as the source of a calibration, as the paper has it: a window is a question behind solved ones, and its right answer.
 * `calibrateToFolder` takes it as `source`. A smaller number gives a prefix of the same windows.
 * @param tasks rows of each task, as its files have them
 * @param how the name for the manifest, the tokenizer, how many windows and solved questions, the seed, and what the model expects
 * @throws InputError TASK_ROW, TASK_LENGTH; UsageError SHOTS if a task has too few rows, WINDOWS for fewer than one window, SEED; OPTIONS,
 *   OPTION_NAME, OPTION_TYPE for arguments of other names or types
 */
export function taskSource(tasks: readonly TaskRows[], how: TaskSourceOptions): CalibrationSource {
  expectOption('tasks', tasks, listOption('a list of tasks with their rows', taskRowsOption))
  checkOptions(how, taskSourceFields)
  const { name, encode, count, seed, ...options } = how
  const lists = tasks.map(({ task, rows }) => {
    const order = Array.from(new Random(seed).permutation(rows.length), (place) => rows[place])
    return taskWindows(task, order, encode, { ...options, seed, limit: count })
  })
  return { name, windows: inTurn(lists).slice(0, count) }
}

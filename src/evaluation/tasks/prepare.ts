/**
 * Prepares tasks: finds their rows, encodes their questions within the limits, and notes their sources.
 */
import type { ModelConfig } from '../../engine/config.ts'
import { fileNameOf } from '../../platform/platform.ts'
import { InputError, UsageError } from '../../tensor/errors.ts'
import { checkOptions, expectOption, kinds, recordOption, required, type Kinds } from '../../tensor/option.ts'
import { documentsOption, type Document } from '../../data/corpus.ts'
import { hashFiles, hashTexts, type Source } from '../../results/provenance.ts'
import { makeWordEncoder, windowSizeFields, type WindowSizes } from '../../data/windows.ts'
import {
  askContinuations,
  continuationMetrics,
  continuationName,
  continuationVersion,
} from '../../data/tasks/continuation.ts'
import { findRows, findTrainRows, readRows } from '../../data/tasks/find_rows.ts'
import { taskByName } from '../../data/tasks/index.ts'
import { askRows, promptFields, type PromptOptions } from '../../data/tasks/prompts.ts'
import { countCharacters, type Task } from '../../data/tasks/task.ts'
import type { TaskRun } from './asking.ts'

/** The inputs of tasks; the sizes are those of the continuation task. */
export interface PrepareOptions
  extends WindowSizes, Pick<PromptOptions, 'encode' | 'shots' | 'seed' | 'limit'> {
  /** The configuration of the model: its positions and its first token. */
  readonly config: ModelConfig
  /** The text of tokens. */
  readonly decode: (tokens: Int32Array) => string
  /** Folder of row files. */
  readonly data?: string
  /** Files of rows by task; they come before the folder. */
  readonly rows?: ReadonlyMap<string, string>
  /** Whether the model's first token, `</s>` of OPT, comes before each context of a task of rows; default: no. */
  readonly bos?: boolean
  /** Text of the continuation task. */
  readonly documents: () => Promise<{ name: string; documents: readonly Document[] }>
}

const prepareFields: Kinds<PrepareOptions> = {
  ...windowSizeFields,
  encode: promptFields.encode,
  shots: promptFields.shots,
  seed: promptFields.seed,
  limit: promptFields.limit,
  config: required(
    recordOption<Pick<ModelConfig, 'positions' | 'bosId'>>("a model's configuration", {
      positions: required(kinds.number),
      bosId: required(kinds.number),
    }),
  ),
  decode: required(kinds.call),
  data: kinds.text,
  rows: { words: 'a Map of files by task', holds: (value) => value instanceof Map },
  bos: kinds.flag,
  documents: required(kinds.call),
}
const textOption = recordOption<Awaited<ReturnType<PrepareOptions['documents']>>>(
  'a text { name, documents }',
  { name: required(kinds.text), documents: required(documentsOption) },
)

/** Questions of the continuation task by default. */
const defaultContinuations = 200

/**
 * Makes a task ready for `runTasks`: reads its rows, encodes its questions, and says where they are from, for `makeProvenance`. The example
 * of `runTasks` shows both.
 * @param name of one of {@link tasks}, whose rows are in `data` or `rows`; or `continuation`, whose questions are made from `documents`
 * @param options the model's configuration and tokenizer, where the rows or documents are, and how many questions are asked
 * @throws UsageError TASK_NAME, SHOTS, DATA if a task has no rows named; those of `findRows` and `askRows`;
 *   OPTIONS, OPTION_NAME, OPTION_TYPE and the codes of options for options of other names or types; InputError TASK_LENGTH if every answer is too long for the model
 */
export async function prepareTask(
  name: string,
  options: PrepareOptions,
): Promise<{ task: TaskRun; source: Source }> {
  const task = name === continuationName ? null : taskByName(name)
  checkOptions(options, prepareFields)
  return task === null ? prepareContinuation(options) : prepareRows(task, options)
}

async function prepareRows(task: Task, options: PrepareOptions): Promise<{ task: TaskRun; source: Source }> {
  const { config, encode, data, rows: named, shots = 0, seed, limit, bos = false } = options
  const { name } = task
  const file = named?.get(name)
  if (file === undefined && data === undefined)
    throw new UsageError('DATA', `task ${name}: expected --data or --rows ${name}=FILE, got neither`)
  const found = file === undefined ? await findRows(data as string, name) : await readRows(file)
  const train = shots > 0 && data !== undefined ? await findTrainRows(data, name) : null
  const { asked, leftOut } = askRows(task, found.rows, {
    encode,
    shots,
    shotRows: train?.rows,
    seed,
    limit,
    prefixIds: bos ? [config.bosId] : [],
    emptyId: config.bosId,
    positions: config.positions,
  })
  if (asked.length === 0)
    throw new InputError(
      'TASK_LENGTH',
      `${found.path}: expected answers that fit ${config.positions} tokens, got none`,
    )
  const paths = [found.path, ...(train ? [train.path] : [])]
  return {
    task: {
      name,
      version: task.version,
      metrics: task.metrics,
      shots,
      original: found.rows.length,
      asked,
      leftOut,
      config: {
        task: name,
        output_type: 'multiple_choice',
        rows: fileNameOf(found.path),
        fewshot_rows: train ? fileNameOf(train.path) : shots > 0 ? fileNameOf(found.path) : null,
        num_fewshot: shots,
        target_delimiter: ' ',
        fewshot_delimiter: '\n\n',
      },
    },
    source: { name: paths.map(fileNameOf).join(' + '), hash: await hashFiles(paths) },
  }
}

async function prepareContinuation(options: PrepareOptions): Promise<{ task: TaskRun; source: Source }> {
  const { config, encode, prefixIds, decode, seed = 0, limit, prompt, continuation } = options
  const text = await options.documents()
  expectOption('documents', text, textOption)
  const { name, documents } = text
  const asked = askContinuations({
    documents,
    count: limit ?? defaultContinuations,
    seed,
    prompt,
    continuation,
    prefixIds,
    emptyId: config.bosId,
    encodeWords: makeWordEncoder(encode),
    charactersOf: (tokens) => countCharacters(decode(tokens)),
  })
  return {
    task: {
      name: continuationName,
      version: continuationVersion,
      metrics: continuationMetrics,
      shots: 0,
      original: asked.length,
      asked,
      leftOut: [],
      config: {
        task: continuationName,
        output_type: 'multiple_choice',
        text: name,
        prompt,
        continuation,
        seed,
      },
    },
    source: { name, hash: await hashTexts(documents) },
  }
}

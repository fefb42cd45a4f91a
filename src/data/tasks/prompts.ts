/**
 * From questions to tokens: examples in front, context and answer encoded as lm-evaluation-harness does it.
 *
 * Context and answer are encoded together, and the answer's tokens are what comes after those of the context alone.
 * What does not fit the model's context is cut from the left. No `</s>` comes first unless `prefixIds` says so, which is the
 * harness's own default; an empty context is the model's first token, which is `</s>` of OPT.
 */
import { UsageError } from '../../tensor/errors.ts'
import { kinds, orNull, required, seedOption, wholeOption, type Kinds } from '../../tensor/option.ts'
import { Random } from '../../tensor/random.ts'
import { rowsOption, type PlacedRow } from '../../io/row_file.ts'
import { stripEnd } from '../python_text.ts'
import type { Encode } from '../../io/encode_pieces.ts'
import type { Window } from '../windows.ts'
import { RowReader } from './row.ts'
import { shotText, targetDelimiter, type Question, type Task } from './task.ts'

/** A context and an answer in tokens; the answer is not empty. */
export interface Request {
  readonly tokens: Int32Array // [T]
  /** How many of them are the context; at least one. */
  readonly promptLength: number
}

/** All of a question that its answer depends on, in tokens. */
export interface AskedTokens {
  /** One for each answer. */
  readonly requests: readonly Request[]
  /** Each answer after nothing but the model's first token, where `acc_mutual_info` is asked for. */
  readonly alone?: readonly Request[]
  /** Characters of each answer. */
  readonly lengths: readonly number[]
  readonly gold: number
}

/** A question in tokens. */
export interface Asked extends AskedTokens {
  /** The place of its row or text, as errors name it. */
  readonly place: string
  /** Its genre or task; questions of one genre are compared with each other. */
  readonly genre: string
}

/** Questions in tokens, and where those are from that were left out because an answer is too long for the model. */
interface AskedRows {
  readonly asked: readonly Asked[]
  readonly leftOut: readonly string[]
}

/** How questions become tokens. */
export interface PromptOptions {
  readonly encode: Encode
  /** Examples in front of each question; default 0. */
  readonly shots?: number
  /** Rows to draw examples from; default: the other rows of the task. */
  readonly shotRows?: readonly PlacedRow[]
  /** Seed of the examples' choice; default 0. */
  readonly seed?: number
  /** How many rows are asked, from the first; default all. The others still serve as examples. */
  readonly limit?: number | null
  /** Put before every context; default: nothing is. */
  readonly prefixIds?: readonly number[]
  /** The token of an empty context. */
  readonly emptyId: number
  /** Most tokens a model takes. */
  readonly positions: number
}

/** The fields of these options. */
export const promptFields: Kinds<PromptOptions> = {
  encode: required(kinds.call),
  shots: wholeOption('SHOTS', 0),
  shotRows: rowsOption,
  seed: seedOption,
  limit: orNull(wholeOption('OPTION_TYPE', 1)),
  prefixIds: kinds.idList,
  emptyId: required(wholeOption('OPTION_TYPE', 0)),
  positions: required(wholeOption('OPTION_TYPE', 1)),
}

/**
 * The questions of rows, in order. The examples of a question are drawn without it and without repetition; those of the
 * first questions are the same however many follow.
 * @throws InputError TASK_ROW for a row that cannot be asked; UsageError SHOTS if there are too few rows to draw from
 */
export function askRows(task: Task, rows: readonly PlacedRow[], options: PromptOptions): AskedRows {
  const asked: Asked[] = []
  const leftOut: string[] = []
  for (const { place, question, requests } of encodeRows(task, rows, options)) {
    const { lengths, gold } = question
    if (requests) asked.push({ place, genre: task.name, requests, lengths, gold })
    else leftOut.push(place)
  }
  return { asked, leftOut }
}

/** A row, its question, and its answers in tokens; null if one of them is too long. */
interface EncodedRow {
  readonly place: string
  readonly question: Question
  readonly requests: readonly Request[] | null
}

/** @throws as `askRows` */
function encodeRows(task: Task, rows: readonly PlacedRow[], options: PromptOptions): EncodedRow[] {
  const { shots = 0, shotRows, seed = 0, limit } = options
  const random = new Random(seed)
  const questions = rows.map((row) => task.read(new RowReader(row)))
  const pool = shotRows?.map((row) => task.read(new RowReader(row))) ?? questions
  if (shots > pool.length - (shotRows ? 0 : 1))
    throw new UsageError('SHOTS', `shots: expected fewer than there are rows of ${task.name}, got ${shots}`)
  return questions.slice(0, limit ?? undefined).map((question, i) => {
    const drawn = new Set<Question>()
    while (drawn.size < shots) {
      const candidate = pool[random.below(pool.length)]
      if (candidate !== question) drawn.add(candidate)
    }
    const before = [...drawn].map(shotText).join('')
    const requests = question.contexts.map((context, answer) =>
      makeRequest(before + context, targetDelimiter + question.continuations[answer], options),
    )
    const areWhole = requests.every((request) => request !== null)
    return { place: rows[i].place, question, requests: areWhole ? requests : null }
  })
}

/** Null for an answer that fits no context. */
function makeRequest(
  context: string,
  continuation: string,
  { encode, prefixIds = [], emptyId, positions }: PromptOptions,
): Request | null {
  const { start, answer } = encodePair(encode, context, continuation)
  const front = [...prefixIds, ...start]
  if (front.length === 0) front.push(emptyId)
  if (answer.length === 0 || answer.length > positions) return null
  // The last token is scored and never fed, so one more than the model takes is kept.
  const tokens = Int32Array.from([...front, ...answer].slice(-(positions + 1)))
  return { tokens, promptLength: tokens.length - answer.length }
}

/** Spaces at the end of a context belong to what follows, where byte-level BPE has them. */
function encodePair(
  encode: Encode,
  context: string,
  continuation: string,
): { start: number[]; answer: number[] } {
  const trimmed = stripEnd(context)
  const start = Array.from(encode(trimmed))
  const whole = Array.from(encode(context + continuation))
  return { start, answer: whole.slice(start.length) }
}

/** How `taskWindows` makes its windows; a model's own limit is optional there. */
interface TaskWindowOptions extends Omit<PromptOptions, 'encode' | 'positions' | 'prefixIds'> {
  readonly prefixIds: readonly number[]
  readonly positions?: number
}

/**
 * The questions as windows, each going on with its right answer: what calibration reads. Every window begins with
 * `prefixIds`, unless it was cut to fit; questions that fit no window are left out.
 * @throws as `askRows`
 */
export function taskWindows(
  task: Task,
  rows: readonly PlacedRow[],
  encode: Encode,
  options: TaskWindowOptions,
): Window[] {
  const { positions = 2 ** 24 } = options
  const limits = { ...options, encode, positions: positions - 1 }
  return encodeRows(task, rows, limits).flatMap(({ place, question, requests }): Window[] => {
    if (!requests) return []
    const { continuations, gold } = question
    const words = continuations[gold].split(/\s+/).filter(Boolean).length
    return [{ document: place, genre: task.name, ...requests[gold], words }]
  })
}

/**
 * Decodes parquet in a thread with limits of time and memory.
 *
 * The format has counts at every level, down to runs inside compressed pages, and the decoder trusts them: a page of a few bytes
 * may claim two billion values. Counts outside compressed data are checked before (parquet_pages.ts); for the others the thread
 * is ended at its limit. One thread serves all files, one by one, and does not keep the process alive.
 */
import { startThread, type Thread, type ThreadCode, type ThreadEvents } from '../platform/platform.ts'
import { InputError } from '../tensor/errors.ts'
import type { JsonMap } from './json.ts'
import { refusal } from './refusal.ts'

/** A message to the thread. */
export interface ParquetQuestion {
  readonly bytes: Uint8Array
  readonly name: string
}

/** A message of the thread: rows, or the message of an error with code PARQUET. */
export type ParquetAnswer = { readonly rows: JsonMap[] } | { readonly message: string }

/** The heap limit in MB: low enough that no array grows past 2^27 values, which would end the process. */
const MEGABYTES = 1024
const MILLISECONDS = 20_000
const MILLISECONDS_PER_MEGABYTE = 1000

const decoder: ThreadCode = (Worker) =>
  new Worker(new URL('./parquet.ts', import.meta.url), { type: 'module' })

let thread: Thread | null = null
let events: ThreadEvents | null = null
let last: Promise<unknown> = Promise.resolve()

/**
 * The rows of a parquet file.
 * @throws InputError PARQUET for an invalid file, or one that exceeds the limits of size, memory or time
 */
export function decodeParquet(bytes: Uint8Array, name: string): Promise<JsonMap[]> {
  const rows = last.then(() => ask({ bytes, name }))
  last = rows.catch(() => {})
  return rows
}

async function ask(question: ParquetQuestion): Promise<JsonMap[]> {
  const { bytes, name } = question
  let watch: ReturnType<typeof setTimeout> | undefined
  try {
    const answer = await new Promise<ParquetAnswer | null>((resolve) => {
      const end = (): void => resolve(null)
      // The timer also keeps the process alive until there is a response.
      watch = setTimeout(end, MILLISECONDS + (MILLISECONDS_PER_MEGABYTE * bytes.length) / 1e6)
      events = { onMessage: (message) => resolve(message as ParquetAnswer), onError: end, onEnd: end }
      thread ??= start()
      thread.send(question)
    })
    if (answer !== null && 'rows' in answer) return answer.rows
    if (answer !== null) throw new InputError('PARQUET', answer.message)
    await thread?.end()
    thread = null
    throw refusal(
      'PARQUET',
      name,
      'a parquet file that decodes in bounded time and memory',
      'a file that does not',
    )
  } finally {
    clearTimeout(watch)
    events = null
  }
}

function start(): Thread {
  const started = startThread(
    decoder,
    {
      onMessage: (message) => events?.onMessage(message),
      onError: (error) => events?.onError(error),
      onEnd() {
        if (thread === started) thread = null
        events?.onEnd?.()
      },
    },
    MEGABYTES,
  )
  started.release()
  return started
}

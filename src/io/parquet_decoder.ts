/**
 * Parquet, decoded in a thread that has a limit of time and one of memory.
 *
 * Counts stand at every level of the format, down to runs inside of packed pages, and the decoder believes them: a page
 * of a few bytes may claim two billion values. What can be seen from outside is checked before (parquet_pages.ts); what
 * cannot ends with its thread. One thread is kept for all files, one after the other, and does not keep a process alive.
 */
import { startThread, type Thread, type ThreadCode, type ThreadEvents } from '../platform/platform.ts'
import { InputError } from '../tensor/errors.ts'
import type { JsonMap } from './json.ts'
import { refusal } from './refusal.ts'

/** What the thread is told. */
export interface ParquetQuestion {
  readonly bytes: Uint8Array
  readonly name: string
}

/** What it says: rows, or the message of a refusal, whose code is PARQUET. */
export type ParquetAnswer = { readonly rows: JsonMap[] } | { readonly message: string }

/** Of heap. Not more: an array that grows past 2^27 values ends the process, and with this it does not get there. */
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
 * @throws InputError PARQUET for one that is broken or claims too much, or that takes too much memory or time
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
      // The watch also keeps the process alive until there is an answer.
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

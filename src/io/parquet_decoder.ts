/**
 * Decodes parquet in a thread with limits of time and memory.
 *
 * The format has counts at every level, down to runs inside compressed pages, and the decoder trusts them: a page of a few bytes
 * may claim two billion values. Counts outside compressed data are checked before (parquet_pages.ts); for the others the thread
 * is ended at its limit. One thread serves all files, one by one, and does not keep the process alive.
 */
import { startThread, type Thread, type ThreadCode } from '../platform/platform.ts'
import { InputError } from '../tensor/errors.ts'
import { passOn, withPackages } from '../tensor/packages.ts'
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
/** Ends the wait for the current file; null without an answer. */
let settle: (answer: ParquetAnswer | null) => void = () => {}
let last: Promise<unknown> = Promise.resolve()

/**
 * The rows of a parquet file.
 * @throws InputError PARQUET for an invalid file, or one that exceeds the limits of size, memory or time; MissingError
 *   PACKAGE_MISSING
 */
export async function decodeParquet(bytes: Uint8Array, name: string): Promise<JsonMap[]> {
  // Asked for here: the thread could not say what it lacks.
  await withPackages(name, 'hyparquet hyparquet-compressors', () =>
    Promise.all([import('hyparquet').catch(passOn), import('hyparquet-compressors').catch(passOn)]),
  )
  const rows = last.then(() => ask({ bytes, name }))
  last = rows.catch(() => {})
  return rows
}

async function ask(question: ParquetQuestion): Promise<JsonMap[]> {
  const { bytes, name } = question
  let watch: ReturnType<typeof setTimeout> | undefined
  const answer = await new Promise<ParquetAnswer | null>((resolve) => {
    settle = resolve
    // The timer also keeps the process alive until there is a response.
    watch = setTimeout(settle, MILLISECONDS + (MILLISECONDS_PER_MEGABYTE * bytes.length) / 1e6, null)
    thread ??= start()
    thread.send(question)
  }).finally(() => clearTimeout(watch))
  if (answer === null) {
    await thread?.terminate()
    thread = null
    const expected = 'a parquet file that decodes in bounded time and memory'
    throw refusal('PARQUET', name, expected, 'a file that does not')
  }
  if ('message' in answer) throw new InputError('PARQUET', answer.message)
  return answer.rows
}

function start(): Thread {
  const started = startThread(
    decoder,
    {
      onMessage: (message) => settle(message as ParquetAnswer),
      onError: () => settle(null),
      onEnd() {
        if (thread === started) thread = null
        settle(null)
      },
    },
    MEGABYTES,
  )
  started.release()
  return started
}

/**
 * Decodes parquet by `hyparquet`, in a thread that parquet_decoder.ts starts. The decompressed size of pages is limited here,
 * because a page declares its own size.
 */
import { parquetMetadataAsync, parquetReadObjects, type AsyncBuffer, type Compressors } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { ignoreStrayRejections, listenAsThread } from '../platform/platform.ts'
import { InputError } from '../tensor/errors.ts'
import type { JsonMap, JsonValue } from './json.ts'
import type { ParquetAnswer, ParquetQuestion } from './parquet_decoder.ts'
import { checkPages } from './parquet_pages.ts'
import { quote, refusal } from './refusal.ts'

/** The maximal decompressed size of a page and of all pages, and the maximal number of rows. */
const PAGE_LIMIT = 128_000_000
const UNPACKED_LIMIT = 512_000_000
const ROW_LIMIT = 1_000_000

async function decode(bytes: Uint8Array, name: string): Promise<JsonMap[]> {
  const source: AsyncBuffer = {
    byteLength: bytes.length,
    slice: async (start, end) => bytes.slice(start, end).buffer,
  }
  try {
    const metadata = await parquetMetadataAsync(source)
    const count = Number(metadata.num_rows)
    if (!(count >= 0 && count <= ROW_LIMIT))
      throw refusal('PARQUET', name, `at most ${ROW_LIMIT} rows`, `${count}`)
    checkPages(bytes, metadata, name)
    const objects = await parquetReadObjects({ file: source, metadata, compressors: limited(name) })
    if (objects.length !== count) throw refusal('PARQUET', name, `${count} rows`, `${objects.length}`)
    return objects.map((object, i) => jsonOf(object, `${name} row ${i + 1}`) as JsonMap)
  } catch (cause) {
    if (cause instanceof InputError) throw cause
    const reason = quote(cause instanceof Error ? cause.message : String(cause))
    throw refusal('PARQUET', name, 'a parquet file', `a file that cannot be read: ${reason}`, { cause })
  }
}

/** The decompressors, with a limit for each page and for all of them. */
function limited(name: string): Compressors {
  let made = 0
  return Object.fromEntries(
    Object.entries(compressors).map(([codec, unpack]) => [
      codec,
      (input: Uint8Array, length: number): Uint8Array => {
        if (!(length >= 0 && length <= PAGE_LIMIT))
          throw refusal('PARQUET', name, `pages of at most ${PAGE_LIMIT} bytes`, `one of ${length}`)
        made += length
        if (made > UNPACKED_LIMIT)
          throw refusal('PARQUET', name, `at most ${UNPACKED_LIMIT} bytes unpacked`, 'more')
        return unpack(input, length)
      },
    ]),
  )
}

/** A decoded value as JSON. Values outside JSON, such as bytes, become null. */
function jsonOf(value: unknown, place: string): JsonValue {
  if (typeof value === 'string' || typeof value === 'boolean') return value
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  if (typeof value === 'bigint') {
    if (Number.isSafeInteger(Number(value))) return Number(value)
    throw refusal('PARQUET', place, 'whole numbers up to 2^53 - 1', `${value}`)
  }
  if (Array.isArray(value)) return value.map((item) => jsonOf(item, place))
  if (value instanceof Date) return value.toJSON()
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return null
  return new Map(Object.entries(value).map(([key, item]) => [key, jsonOf(item, place)]))
}

async function answerTo({ bytes, name }: ParquetQuestion): Promise<ParquetAnswer> {
  try {
    return { rows: await decode(bytes, name) }
  } catch (error) {
    const { message } = error as InputError
    return { message }
  }
}

// Columns are read concurrently; the first error of one is the error of the file.
ignoreStrayRejections()

const send = listenAsThread((question) => {
  void answerTo(question as ParquetQuestion).then((answer) => send?.(answer))
})

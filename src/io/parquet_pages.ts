/**
 * Checks the page headers of a parquet file before anything is decoded: the number of values and the encoding. A page of a few
 * bytes may claim billions of values, and a decoder trusts it.
 *
 * Headers are read by the function that the decoder reads them with, so both see the same values, of any type. Accepted are
 * encodings in which a value takes at least one bit of a page, or comes from a dictionary.
 */
import type { FileMetaData, PageHeader } from 'hyparquet'
import { parquetHeader } from 'hyparquet/src/column.js'
import { refusal } from './refusal.ts'

/** The maximal number of values of a file, over all columns. */
const MAX_VALUES = 10_000_000
/** The maximal number of columns, and of groups that they form: the decoder seeks each among all of them. */
const MAX_ELEMENTS = 1024

/** Other encodings build long values from few bytes. */
const ENCODINGS = ['PLAIN', 'PLAIN_DICTIONARY', 'RLE', 'RLE_DICTIONARY']

/**
 * Checks the schema, the rows of every group, and every page of every column.
 * @throws InputError PARQUET for too many columns, groups that do not have the rows of the file, and pages that do not lie in
 *   their column, have more values than it, or an encoding that is not read here; the decoder's error for a broken header
 */
export function checkPages(bytes: Uint8Array, metadata: FileMetaData, name: string): void {
  const { schema, row_groups: groups, num_rows: rows } = metadata
  if (schema.length > MAX_ELEMENTS)
    throw refusal('PARQUET', name, `at most ${MAX_ELEMENTS} columns and groups of them`, `${schema.length}`)
  const counts = groups.map((group) => Number(group.num_rows))
  if (!counts.every(isCount) || sumOf(counts) !== Number(rows))
    throw refusal('PARQUET', name, `groups of ${rows} rows in all`, 'groups of another number')
  let values = 0
  for (const group of groups)
    for (const { meta_data: column } of group.columns) {
      if (column === undefined) continue
      const start = Number(column.dictionary_page_offset ?? column.data_page_offset)
      const length = Number(column.total_compressed_size)
      values += Number(column.num_values)
      if (!(start >= 0 && length >= 0 && start + length <= bytes.length && values <= MAX_VALUES)) {
        const expected = `columns in the file, of at most ${MAX_VALUES} values`
        throw refusal('PARQUET', name, expected, 'other columns')
      }
      checkColumn(bytes.subarray(start, start + length), Number(column.num_values), name)
    }
}

function checkColumn(bytes: Uint8Array, maxValues: number, name: string): void {
  const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), offset: 0 }
  let values = 0
  while (reader.offset < bytes.length - 1) {
    const page = parquetHeader(reader)
    const { type, compressed_page_size: packed, uncompressed_page_size: unpacked } = page
    const isInside = isCount(packed) && packed <= bytes.length - reader.offset && isCount(unpacked)
    const header = headerOf(page)
    const isKnown = header !== undefined && ENCODINGS.includes(header.encoding)
    const count = header !== undefined && isCount(header.num_values) ? header.num_values : Infinity
    if (type !== 'DICTIONARY_PAGE') values += count
    if (!isInside || !isKnown || count > MAX_VALUES || values > maxValues || !levelsFit(page))
      throw refusal('PARQUET', name, `pages of a column of ${maxValues} values`, 'a page with another count')
    reader.offset += packed
  }
}

function headerOf(
  page: PageHeader,
): PageHeader['data_page_header' | 'dictionary_page_header' | 'data_page_header_v2'] {
  if (page.type === 'DATA_PAGE') return page.data_page_header
  if (page.type === 'DICTIONARY_PAGE') return page.dictionary_page_header
  return page.type === 'DATA_PAGE_V2' ? page.data_page_header_v2 : undefined
}

/** Pages of version 2 declare the number of nulls and the length of the levels. */
function levelsFit(page: PageHeader): boolean {
  const header = page.data_page_header_v2
  if (page.type !== 'DATA_PAGE_V2' || header === undefined) return true
  const definitions = header.definition_levels_byte_length
  const repetitions = header.repetition_levels_byte_length
  const levels = definitions + repetitions
  const areCounts = [header.num_nulls, header.num_rows, definitions, repetitions].every(isCount)
  const fits = levels <= page.compressed_page_size && levels <= page.uncompressed_page_size
  return areCounts && fits && header.num_nulls <= header.num_values
}

function sumOf(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0)
}

/** A header is untrusted: a field may have any type. */
function isCount(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0
}

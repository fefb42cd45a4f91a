/**
 * Rows of a data set from one file: JSON lines, or the parquet files of the Hugging Face hub.
 *
 * A file is parquet if it begins with the magic bytes, regardless of its name. Rows become JSON values, so their readers do not
 * depend on the format.
 */
import { openFile, readExactly, readWhole, TEXT_LIMIT } from './files.ts'
import { objectOf, parseJson, type JsonMap } from './json.ts'
import { decodeParquet } from './parquet_decoder.ts'
import { kinds, listOption, recordOption, required, type Kind } from '../tensor/option.ts'
import { refusal } from './refusal.ts'

/** A row and its place in errors. */
export interface PlacedRow {
  /** Such as "rte.jsonl:3" or "rte.parquet row 3", counted from 1. */
  readonly place: string
  readonly values: JsonMap
}

const rowOption = recordOption<PlacedRow>('a row', {
  place: required(kinds.text),
  values: required({ words: 'a Map of its fields', holds: (value) => value instanceof Map }),
})
/** A list of rows. */
export const rowsOption: Kind = listOption('a list of rows { place, values }', rowOption)

/** The maximal size of a file. */
const FILE_LIMIT = 512_000_000

/** The maximal numbers of rows, of lines, and of objects and lists; and the maximal length of a line. */
const ROW_LIMIT = 1_000_000
const LINE_LIMIT = 10_000_000
const CONTAINER_LIMIT = 2_000_000

/**
 * The rows of a file, in order.
 * @throws InputError ROW_SYNTAX for a row that is no JSON object, ROW_LIMIT for too many or too long rows, PARQUET for an
 *   invalid or too large file, those of `parseJson`, FILE_MISSING, FILE_KIND, FILE_LIMIT
 */
export async function readRowFile(path: string): Promise<PlacedRow[]> {
  return parseRows(await readWhole(path, FILE_LIMIT), path)
}

/** The rows of a file if it is parquet, else null. @throws InputError as `readRowFile` */
export async function readParquet(path: string): Promise<PlacedRow[] | null> {
  const file = await openFile(path)
  try {
    const mark = await readExactly(file, 0, Math.min(4, file.size), path)
    return isParquet(mark) ? await readRowFile(path) : null
  } finally {
    await file.close()
  }
}

/** The rows of the bytes of a file. @throws InputError as `readRowFile` */
export async function parseRows(bytes: Uint8Array, name: string): Promise<PlacedRow[]> {
  if (!isParquet(bytes)) return parseJsonLines(bytes, name)
  const rows = await decodeParquet(bytes, name)
  return rows.map((values, i) => ({ place: `${name} row ${i + 1}`, values }))
}

function isParquet(bytes: Uint8Array): boolean {
  return String.fromCharCode(...bytes.subarray(0, 4)) === 'PAR1'
}

const LINE_BREAK = 0x0a

function parseJsonLines(bytes: Uint8Array, name: string): PlacedRow[] {
  const rows: PlacedRow[] = []
  const budget = { max: CONTAINER_LIMIT, left: CONTAINER_LIMIT }
  for (let start = 0, number = 1; start < bytes.length; number++) {
    const found = bytes.indexOf(LINE_BREAK, start)
    const end = found < 0 ? bytes.length : found
    if (number > LINE_LIMIT) throw refusal('ROW_LIMIT', name, `at most ${LINE_LIMIT} lines`, 'more')
    if (!isBlank(bytes, start, end)) {
      const place = `${name}:${number}`
      if (end - start > TEXT_LIMIT)
        throw refusal('ROW_LIMIT', place, `lines of at most ${TEXT_LIMIT} bytes`, `${end - start}`)
      if (rows.length === ROW_LIMIT) throw refusal('ROW_LIMIT', name, `at most ${ROW_LIMIT} rows`, 'more')
      const row = parseJson(bytes.subarray(start, end), place, { byteOffset: start, budget })
      rows.push({ place, values: objectOf(row, 'ROW_SYNTAX', place, { byteOffset: start }) })
    }
    start = end + 1
  }
  return rows
}

function isBlank(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++)
    if (bytes[i] !== 0x20 && bytes[i] !== 0x09 && bytes[i] !== 0x0d) return false
  return true
}

/**
 * Checks the page headers of a parquet file before anything is decoded: the number of values and the encoding. A page of a few
 * bytes may claim billions of values, and a decoder trusts it.
 *
 * A page header is a struct of Thrift's compact protocol; unused fields are skipped. Accepted are encodings in which a value takes
 * at least one bit of a page, or comes from a dictionary.
 */
import type { FileMetaData } from 'hyparquet'
import { readExactly, type RangedFile } from './files.ts'
import { refusal } from './refusal.ts'

/** The maximal number of values of a file, over all columns. */
const MAX_VALUES = 10_000_000

/** PLAIN, PLAIN_DICTIONARY, RLE, RLE_DICTIONARY: other encodings build long values from few bytes. */
const ENCODINGS = [0, 2, 3, 8]

/** Kinds of pages. */
const [DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_2] = [0, 2, 3]

/**
 * Checks every page of every column.
 * @throws InputError PARQUET for pages that do not lie in their column, have more values than it, or an encoding that is
 *   not read here
 */
export async function checkPages(file: RangedFile, metadata: FileMetaData, name: string): Promise<void> {
  let values = 0
  for (const group of metadata.row_groups)
    for (const { meta_data: column } of group.columns) {
      if (column === undefined) continue
      const start = Number(column.dictionary_page_offset ?? column.data_page_offset)
      const length = Number(column.total_compressed_size)
      values += Number(column.num_values)
      if (!(start >= 0 && length >= 0 && start + length <= file.size && values <= MAX_VALUES))
        throw refusal(
          'PARQUET',
          name,
          `columns in the file, of at most ${MAX_VALUES} values`,
          'other columns',
        )
      checkColumn(await readExactly(file, start, length, name), Number(column.num_values), name)
    }
}

function checkColumn(bytes: Uint8Array<ArrayBuffer>, maxValues: number, name: string): void {
  const header = new HeaderReader(bytes, name)
  let values = 0
  while (header.position < bytes.length - 1) {
    const fields = header.readStruct()
    const of = (place: string): number => fields.get(place) ?? -1
    const packed = of('3')
    const unpacked = of('2')
    const kind = of('1')
    const known = kind === DATA_PAGE || kind === DICTIONARY_PAGE || kind === DATA_PAGE_2
    const count = of(kind === DATA_PAGE ? '5.1' : kind === DATA_PAGE_2 ? '8.1' : '7.1')
    const encoding = of(kind === DATA_PAGE ? '5.2' : kind === DATA_PAGE_2 ? '8.4' : '7.2')
    if (kind !== DICTIONARY_PAGE) values += count
    const inside = packed >= 0 && packed <= bytes.length - header.position && unpacked >= 0
    const counted = count >= 0 && count <= MAX_VALUES && values <= maxValues
    if (
      !known ||
      !inside ||
      !counted ||
      !ENCODINGS.includes(encoding) ||
      !levelsFit(kind, of, packed, unpacked)
    )
      throw refusal('PARQUET', name, `pages of a column of ${maxValues} values`, 'a page with another count')
    header.position += packed
  }
}

/** Pages of version 2 declare the number of nulls and the length of the levels. */
function levelsFit(kind: number, of: (place: string) => number, packed: number, unpacked: number): boolean {
  if (kind !== DATA_PAGE_2) return true
  const [nulls, definitions, repetitions] = [of('8.2'), of('8.5'), of('8.6')]
  const levels = definitions + repetitions
  const known = nulls >= 0 && nulls <= of('8.1') && of('8.3') >= 0 && definitions >= 0 && repetitions >= 0
  return known && levels <= packed && levels <= unpacked
}

/** Levels of structs and lists in a header; those of parquet have three. */
const MAX_LEVELS = 8

/** Reads the numbers of a struct by their place: "5.1" is the first field of the fifth. */
class HeaderReader {
  position = 0
  readonly #bytes: Uint8Array
  readonly #name: string

  constructor(bytes: Uint8Array, name: string) {
    this.#bytes = bytes
    this.#name = name
  }

  readStruct(place = '', level = 0, found = new Map<string, number>()): Map<string, number> {
    let field = 0
    for (;;) {
      const mark = this.#byte()
      const type = mark & 15
      if (type === 0) return found
      field = mark >> 4 === 0 ? this.#zigzag() : field + (mark >> 4)
      this.#readValue(type, `${place}${field}`, level, found)
    }
  }

  #readValue(type: number, place: string, level: number, found: Map<string, number>): void {
    if (level > MAX_LEVELS) throw this.#refuse()
    if (type === 1 || type === 2) return
    if (type === 3) this.position += 1
    else if (type >= 4 && type <= 6) found.set(place, this.#zigzag())
    else if (type === 7) this.position += 8
    else if (type === 8) this.position += this.#varint()
    else if (type === 12) this.readStruct(`${place}.`, level + 1, found)
    else if (type === 9) {
      const mark = this.#byte()
      const length = mark >> 4 === 15 ? this.#varint() : mark >> 4
      // In a list a flag takes a byte, elsewhere it is its own type.
      const itemType = (mark & 15) <= 2 ? 3 : mark & 15
      for (let i = 0; i < length; i++) this.#readValue(itemType, `${place}.-`, level + 1, found)
    } else throw this.#refuse()
    if (this.position > this.#bytes.length) throw this.#refuse()
  }

  #byte(): number {
    if (this.position >= this.#bytes.length) throw this.#refuse()
    return this.#bytes[this.position++]
  }

  /** Exact up to 2^53; a longer one is refused. */
  #varint(): number {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#byte()
      value += (byte & 127) * scale
      if (!Number.isSafeInteger(value)) throw this.#refuse()
      if (byte < 128) return value
    }
  }

  #zigzag(): number {
    const value = this.#varint()
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  #refuse(): Error {
    return refusal('PARQUET', this.#name, 'pages with whole headers', 'a broken header')
  }
}

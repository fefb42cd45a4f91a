/**
 * What a parquet file declares is checked before a page is decoded.
 */
import { parquetMetadata, type FileMetaData } from 'hyparquet'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { describe, expect, test } from 'vitest'
import { checkPages } from '../../src/io/parquet_pages.ts'

const file = new Uint8Array(
  parquetWriteBuffer({ columnData: [{ name: 'text', data: ['a', 'b'] }], codec: 'SNAPPY' }),
)
const valid = parquetMetadata(file.buffer)
const check = (changed: Partial<FileMetaData>): void => checkPages(file, { ...valid, ...changed }, 'f')

/** The groups of the file, with another number of rows in the first. */
const withRows = (rows: unknown): FileMetaData['row_groups'] => {
  const [first, ...rest] = valid.row_groups
  return [{ ...first, num_rows: rows as bigint }, ...rest]
}

describe('a parquet file', () => {
  test('is taken as it was written', () => expect(() => check({})).not.toThrow())

  test.each([2n ** 24n, 2n ** 31n, 1n, -1n, undefined, 1.5])(
    'is refused if a group declares %s rows of two',
    (rows) =>
      expect(() => check({ row_groups: withRows(rows) })).toThrow('f: expected groups of 2 rows in all'),
  )

  test('is refused if it has more than 1,024 columns', () => {
    const [root, column] = valid.schema
    const of = (count: number): FileMetaData['schema'] => [
      root,
      ...Array.from({ length: count }, () => column),
    ]
    expect(() => check({ schema: of(1023) })).not.toThrow()
    expect(() => check({ schema: of(1024) })).toThrow(
      'f: expected at most 1024 columns and groups of them, got 1025',
    )
  })
})

/**
 * Every place of every file that is read here, made larger up to 4 MiB (amounts.ts). SHADOWLLM_SOAK scales that size.
 */
import { afterAll, expect, test } from 'vitest'
import { lineOf, tryAmounts, worstOf, type AmountReport } from './amounts.ts'
import { Cell, projectReaders, type Limits } from './cell.ts'
import { formsOf } from './reader_forms.ts'
import { readers } from './readers.ts'

const size = 2 ** 22 * Number(process.env.SHADOWLLM_SOAK || 1)
const limits: Limits = { milliseconds: 30_000, megabytes: 1024 }
const cell = new Cell(projectReaders, limits)
const all: AmountReport[] = []

afterAll(async () => {
  await cell.close()
  process.stdout.write(`the slowest of ${all.length} places:\n${worstOf(all).join('\n')}\n`)
})

test.each(readers.map((reader) => [reader.name, reader] as const))(
  '%s: every place of a file, made larger, is read or refused in bounded time and memory',
  { timeout: 0 },
  async (name, reader) => {
    const reports = await tryAmounts(cell, reader, formsOf.get(name) ?? [], { size })
    all.push(...reports)
    expect(reports.filter(({ finding }) => finding !== null).map(lineOf)).toEqual([])
  },
)

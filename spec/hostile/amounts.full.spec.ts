/**
 * Bugs of amounts that are planted in the readers of this project are found, each at its place, where nothing is found without it.
 */
import { afterAll, describe, expect, test } from 'vitest'
import { tryAmounts, type AmountReport } from './amounts.ts'
import { Cell, projectReaders, usualLimits } from './cell.ts'
import { plantedAmounts, type PlantedAmount } from './planted_amounts.ts'
import { formsOf } from './reader_forms.ts'
import { readers } from './readers.ts'
import type { Reader } from './reader.ts'

const isDeno = 'Deno' in globalThis

/** Processor time: other work of the machine is no bug. */
function processorTime(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** The readers without a bug, for all of them. */
const right = new Cell(projectReaders, usualLimits, processorTime)
afterAll(() => right.close())

/**
 * A reader with a bug is ended when it takes so many times as long as without it; not before it has taken some milliseconds, which a
 * new thread takes to become fast.
 */
const SLOWER = 2
const LEAST = 1500

async function reportOf(cell: Cell, { reader, place, size }: PlantedAmount): Promise<AmountReport> {
  const judged = readers.find(({ name }) => name === reader) as Reader
  const only = (what: string): boolean => what === place
  const reports = await tryAmounts(cell, judged, formsOf.get(reader) ?? [], { only, size })
  expect(reports).toHaveLength(1)
  return reports[0]
}

describe.skipIf(isDeno)(
  `a planted bug${isDeno ? ' (skipped: Deno cannot change modules as they load)' : ''}`,
  () => {
    test.each(plantedAmounts.map((bug) => [bug.name, bug] as const))(
      'is found: %s',
      { timeout: 600_000 },
      async (_, bug) => {
        const without = await reportOf(right, bug)
        expect(without.finding).toBe(null)
        const milliseconds = Math.max(LEAST, SLOWER * without.milliseconds)
        const planted = new Cell(projectReaders, { ...usualLimits, milliseconds }, processorTime, bug.plants)
        try {
          expect((await reportOf(planted, bug)).finding).not.toBe(null)
        } finally {
          await planted.close()
        }
      },
    )
  },
)

/**
 * Bugs of amounts that are planted in the readers of this project are found, each at its place, where nothing is found without it.
 */
import { describe, expect, test } from 'vitest'
import { tryAmounts } from './amounts.ts'
import { Cell, projectReaders, type Limits, type Plant } from './cell.ts'
import { plantedAmounts, type PlantedAmount } from './planted_amounts.ts'
import { formsOf } from './reader_forms.ts'
import { readers } from './readers.ts'
import type { Reader } from './reader.ts'

const isDeno = 'Deno' in globalThis
const limits: Limits = { milliseconds: 4000, megabytes: 1024 }

async function findingsOf(
  { reader, place, size }: PlantedAmount,
  plants: readonly Plant[],
): Promise<string[]> {
  const cell = new Cell(projectReaders, limits, undefined, plants)
  try {
    const judged = readers.find(({ name }) => name === reader) as Reader
    const only = (what: string): boolean => what === place
    const reports = await tryAmounts(cell, judged, formsOf.get(reader) ?? [], { only, size })
    expect(reports).toHaveLength(1)
    return reports.flatMap(({ finding }) => (finding === null ? [] : [finding]))
  } finally {
    await cell.close()
  }
}

describe.skipIf(isDeno)(
  `a planted bug${isDeno ? ' (skipped: Deno cannot change modules as they load)' : ''}`,
  () => {
    test.each(plantedAmounts.map((bug) => [bug.name, bug] as const))(
      'is found: %s',
      { timeout: 600_000 },
      async (_, bug) => {
        expect(await findingsOf(bug, [])).toEqual([])
        expect(await findingsOf(bug, bug.plants)).toHaveLength(1)
      },
    )
  },
)

/**
 * Every flag of every command has a visible effect and a row in a table.
 *
 * Tests src/cli/flags.ts, src/cli/planner_flags.ts, src/cli/writing_flags.ts, src/cli/task_flags.ts, src/cli/report.ts,
 * src/cli/commands/learn.ts and src/cli/commands/serve.ts.
 */
import { expect, test } from 'vitest'
import { allFlags } from './commands.ts'
import { makingTables } from './making_rows.ts'
import { measuringTables } from './measuring_rows.ts'
import { programTable } from './program_rows.ts'
import { readingTables } from './reading_rows.ts'
import { queueTables } from './queue_rows.ts'
import { servingTable } from './serving_rows.ts'
import { slowTables, statedElsewhere } from './slow_rows.ts'
import { useSurroundings } from './surroundings.ts'
import { stateTables } from './table.ts'
import { writingTables } from './writing_rows.ts'

const { run } = useSurroundings()
const tables = [
  programTable,
  ...writingTables,
  ...measuringTables,
  ...makingTables,
  ...readingTables,
  servingTable,
]

test('every flag of every command has a row in a table, and every row is of an existing flag', async () => {
  const known = (await allFlags()).map(({ command, flag }) => `${command} ${flag}`)
  const stated = [...tables, ...slowTables, ...queueTables].flatMap(({ command, rows }) =>
    rows.map(({ flag }) => `${command} ${flag}`),
  )
  const all = [...stated, ...statedElsewhere.map(({ command, flag }) => `${command} ${flag}`)]
  expect([...new Set(all)].toSorted()).toEqual(known.toSorted())
})

stateTables(tables, run)

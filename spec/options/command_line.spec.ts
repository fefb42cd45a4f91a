/**
 * Every flag of every command has an effect that can be seen, and no flag is without a row.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { allFlags } from './commands.ts'
import { makeFiles } from './made_files.ts'
import { makingTables } from './making_rows.ts'
import { measuringTables } from './measuring_rows.ts'
import { observe } from './observe.ts'
import { programTable } from './program_rows.ts'
import { readingTables } from './reading_rows.ts'
import { slowTables, statedElsewhere } from './slow_rows.ts'
import { writeSmallFiles } from './small_files.ts'
import { remembering, stateTables } from './table.ts'
import { writingTables } from './writing_rows.ts'

let folder = ''
beforeAll(async () => {
  folder = await writeSmallFiles()
  await makeFiles(folder)
})
afterAll(() => rmSync(folder, { recursive: true }))
beforeEach(() => {
  vi.stubEnv('HF_HUB_CACHE', join(folder, 'hub'))
  vi.stubEnv('HF_HUB_OFFLINE', '')
  // A hub that has no model: what is asked of it ends at once.
  vi.stubGlobal('fetch', async () => new Response('{}', { status: 404 }))
})
afterEach(() => {
  vi.unstubAllEnvs()
  vi.unstubAllGlobals()
})

const tables = [programTable, ...writingTables, ...measuringTables, ...makingTables, ...readingTables]

test('every flag of every command has a row in a table, and every row is of a flag that there is', async () => {
  const known = (await allFlags()).map(({ command, flag }) => `${command} ${flag}`)
  const stated = [...tables, ...slowTables].flatMap(({ command, rows }) =>
    rows.map(({ flag }) => `${command} ${flag}`),
  )
  const all = [...stated, ...statedElsewhere.map(({ command, flag }) => `${command} ${flag}`)]
  expect([...new Set(all)].toSorted()).toEqual(known.toSorted())
})

stateTables(
  tables,
  remembering((args) => observe(args, folder)),
)

/**
 * Every law of src/verify/ops holds on every backend, page by page. `agreement.spec.ts` states those of agreement, which take as
 * long as all others together. Bugs for them are planted in the files `<definition>.mutants.ts` beside this one.
 *
 * Tests src/verify/ops/.
 */
import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { lawsOfPages, opLaws } from '../../src/verify/ops/index.ts'
import type { BackendLaw } from '../../src/verify/ops/law.ts'
import { overBackends, shareOfCases } from '../harness/backends.ts'
import { stateLaws } from '../harness/state.ts'

const { agreement: _, ...others } = lawsOfPages

/** These take ten times as long, and owe the bits of the definitions, of which `agreement.spec.ts` tries all cases. */
const slow = ['webgpu', 'cuda-emulated']
stateLaws(others, overBackends, (backend) => shareOfCases(backend) / (slow.includes(backend.name) ? 2 : 1))

type Exports = Readonly<Record<string, unknown>>

const isLaw = (value: unknown): value is BackendLaw =>
  typeof value === 'object' && value !== null && 'sentence' in value && 'predicate' in value

/** The laws that modules export, alone or in tables, without those of the list: `page: sentence`. */
function unlisted(modules: Readonly<Record<string, Exports>>, listed: readonly BackendLaw[]): string[] {
  const known = new Set(listed)
  return Object.entries(modules).flatMap(([page, exports]) =>
    Object.values(exports)
      .flatMap((value) => (isLaw(value) ? [value] : Object.values(value ?? {})))
      .filter((value) => isLaw(value) && !known.has(value))
      .map((law) => `${page}: ${(law as BackendLaw).sentence}`),
  )
}

/** The modules of src/verify/ops that state laws. */
async function readPages(): Promise<Record<string, Exports>> {
  const files = readdirSync(new URL('../../src/verify/ops/', import.meta.url))
  const read = files
    .map((file) => file.replace('.ts', ''))
    .filter((name) => !['index', 'pages'].includes(name))
    .map(async (name) => [name, (await import(`../../src/verify/ops/${name}.ts`)) as Exports] as const)
  return Object.fromEntries(await Promise.all(read))
}

test('every law that a page of src/verify/ops exports is in the suite', async () => {
  const pages = await readPages()
  expect(Object.keys(pages).length).toBeGreaterThan(30)
  expect(unlisted(pages, opLaws)).toEqual([])
})

test('a law that is missing from the list is found, alone or in a table', async () => {
  const pages = await readPages()
  const { add, attention } = lawsOfPages
  const without = opLaws.filter((law) => law !== add[0] && law !== attention[0])
  expect(unlisted(pages, without)).toEqual([`add: ${add[0].sentence}`, `attention: ${attention[0].sentence}`])
})

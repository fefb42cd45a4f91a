/**
 * Counterexamples of laws, shrunk, kept as JSON under fixtures/regressions.
 *
 * One file per law: `{ law, examples }`. An example holds the law's arguments by name, in the form of src/verify/values.ts.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Case } from '../../src/verify/law.ts'
import { decode, encode, type Json } from '../../src/verify/values.ts'

/** The folder of counterexamples. */
export const regressionsFolder: string = fileURLToPath(new URL('../../fixtures/regressions', import.meta.url))

/** A law's name as a file name: lower case, words joined by dashes. */
export function slug(name: string): string {
  return name
    .toLowerCase()
    .replace(/\.spec\.ts/g, '')
    .replace(/[^a-z0-9.]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 150)
}

interface Page {
  law: string
  examples: Json[]
}

function readPage(file: string): Page | null {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Page) : null
}

/** The stored counterexamples of a law, the newest first; none if the file does not exist. */
export function readRegressions(file: string): Case[] {
  return (readPage(file)?.examples ?? []).map((example) => decode(example) as Case)
}

/**
 * Puts a counterexample at the front of the law's file, unless the file has it.
 * @throws TypeError if it cannot be stored faithfully; the file is then left as it was.
 */
export function writeRegression(file: string, law: string, counterexample: Case): void {
  const example = encode(counterexample, 'case')
  const known = readPage(file)?.examples ?? []
  if (known.some((other) => JSON.stringify(other) === JSON.stringify(example))) return
  mkdirSync(dirname(file), { recursive: true })
  const page: Page = { law, examples: [example, ...known] }
  writeFileSync(file, JSON.stringify(page, null, 1) + '\n')
}

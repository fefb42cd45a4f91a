/**
 * Every counterexample under fixtures/regressions is tried: it is in the file of a law that a spec file or src/verify states.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { suite } from '../../src/verify/index.ts'
import { titles } from './documents.ts'
import { regressionsFolder, slug } from './regressions.ts'
import { readSources, type Source } from './syntax.ts'

/** A file of counterexamples: its name, and the law that it names. */
type Kept = readonly [file: string, law: string]

const kept = readdirSync(regressionsFolder).map((file): Kept => {
  const { law } = JSON.parse(readFileSync(join(regressionsFolder, file), 'utf8')) as { law: string }
  return [file, law]
})
const sentences = new Set(suite.map(({ sentence }) => sentence))
const specs = readSources('spec', '.spec.ts')

/** Whether a spec file has a test of this title; the parts of a title that is made from values may stand anywhere in it. */
function hasTitle(spec: Source, title: string): boolean {
  const known = titles(spec.path, spec.text).filter((text) => text.trim().length > 4)
  return known.some((text) => title.includes(text))
}

/** The files whose law nobody states. `seed.ts` and `engine/cases.ts` say how laws are named. */
function orphans(files: readonly Kept[]): string[] {
  return files
    .filter(([file, law]) => {
      const [, path, title] = /^(\S+\.spec\.ts) (.*)$/s.exec(law) ?? []
      const spec = specs.find((one) => one.path === `spec/${path}`)
      const isStated =
        path === undefined
          ? sentences.has(law.replace(/^model /, ''))
          : spec !== undefined && hasTitle(spec, title)
      return !isStated || file !== `${slug(law)}.json`
    })
    .map(([file]) => file)
}

test('every kept counterexample belongs to a law that is stated', () => {
  expect(kept.length).toBeGreaterThan(5)
  expect(orphans(kept)).toEqual([])
})

test('a counterexample of a spec file, a title or a sentence that is gone is found, as is a file of another name', () => {
  const ofFile = kept.find(([, law]) => law.startsWith('tensor/dtypes.spec.ts '))
  const [file, law] = ofFile ?? ['', '']
  expect(orphans([[file, law]])).toEqual([])
  const gone = [
    law.replace('tensor/', 'gone/'),
    'tensor/dtypes.spec.ts says nothing of the kind',
    'linear_i4: random sizes of old',
  ].map((name): Kept => [`${slug(name)}.json`, name])
  expect(orphans([...gone, ['other.json', law]])).toEqual([...gone.map(([name]) => name), 'other.json'])
})

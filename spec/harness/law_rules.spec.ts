/**
 * The sources keep the rules of how laws are stated, and a planted source that breaks one is found.
 */
import { expect, test } from 'vitest'
import { limitsAreReached, onlyTheHarnessChecksLaws } from './law_rules.ts'
import { parseModule, readSources } from './syntax.ts'

const planted = (path: string, text: string) => [parseModule({ path, text })]

test('every arbitrary of src/ with a limit states a size that reaches it', () => {
  const modules = readSources('src/verify').map(parseModule)
  expect(modules.length).toBeGreaterThan(10)
  expect(limitsAreReached(modules)).toEqual([])
})

test.each([
  ['fc.array(fc.nat(), { maxLength: 300 })', ['maxLength without size']],
  ['const exactly = { minLength: columns, maxLength: columns }', ['maxLength without size']],
  ['fc.dictionary(fc.string(), fc.nat(), { maxKeys: 20, depthSize: "max" })', ['maxKeys without size']],
  ['fc.jsonValue({ maxDepth: 5, size: "max" })', ['maxDepth without depthSize']],
])('an arbitrary that may not reach its limit is found: %s', (text, found) => {
  expect(limitsAreReached(planted('src/verify/a.ts', text))).toEqual(
    found.map((message) => `src/verify/a.ts:1: ${message}`),
  )
})

test.each([
  ['fc.array(fc.nat(), { maxLength: 300, size: "max" })'],
  ['fc.array(fc.nat())'],
  ['const { maxLength } = settings'],
])('an arbitrary that reaches its limit or has none is accepted: %s', (text) => {
  expect(limitsAreReached(planted('src/verify/a.ts', text))).toEqual([])
})

test('no spec checks a law on arbitraries of its own', () => {
  const modules = readSources('spec').map(parseModule)
  expect(onlyTheHarnessChecksLaws(modules)).toEqual([])
})

test('a spec that calls checkLaw is found, also under another name', () => {
  const call = "await checkLaw('mutant', [fc.nat()], isEven(mutant))"
  expect(onlyTheHarnessChecksLaws(planted('spec/a.spec.ts', call))).toEqual([
    'spec/a.spec.ts:1: checkLaw is named outside spec/harness',
  ])
  const renamed = "import { checkLaw as check } from './harness/seed.ts'"
  expect(onlyTheHarnessChecksLaws(planted('spec/a.spec.ts', renamed))).toHaveLength(1)
  expect(onlyTheHarnessChecksLaws(planted('spec/harness/seed.spec.ts', call))).toEqual([])
})

/**
 * Every export is used by another file, and no function of src/ is there for tests alone.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { unusedExports } from './harness/exports.ts'
import { parseModule, readSources, root } from './harness/syntax.ts'

const folders = ['src', 'spec', 'scripts', 'bench', 'examples', 'fixtures']
const { exports: published } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as {
  exports: Record<string, string | { '@shadowllm/source': string }>
}
const entries = Object.values(published).flatMap((entry) =>
  typeof entry === 'string' ? [] : [entry['@shadowllm/source'].replace('./', '')],
)

test('every export of the sources is used by another file or by users of the package', () => {
  const modules = folders.flatMap((folder) => readSources(folder)).map(parseModule)
  expect(modules.length).toBeGreaterThan(1000)
  expect(entries.length).toBeGreaterThan(10)
  expect(unusedExports(modules, entries)).toEqual([])
})

/** What is wrong with the export `a` of src/io/zip.ts with this text, beside a file that uses it so. */
function unused(text: string, user: string, path = 'src/io/user.ts'): string[] {
  const modules = [parseModule({ path: 'src/io/zip.ts', text }), parseModule({ path, text: user })]
  return unusedExports(modules, ['src/library/index.ts']).filter((fault) =>
    /^src\/io\/zip.ts:1: a /.test(fault),
  )
}

const a = 'export const a = 1'
const nobody = 'src/io/zip.ts:1: a is exported, and no other file uses it'

describe('an export that no other file uses is found', () => {
  test.each([
    [a],
    ['export function a() {}'],
    ['export class a {}'],
    ['export interface a {}'],
    ['export type a = 1'],
    ['const a = 1; export { a }'],
    ["export { b as a } from './other.ts'"],
    ['export const { b: [a] } = c'],
    ['export const a = 1, b = 2'],
    ['export const a = 1; const b = a'],
    ['export type a = 1; interface B { c: a }; export function d(b: 1) {}'],
    ['export type a = 1; export function d() { let b: a }'],
  ])('%s', (text) => expect(unused(text, '')).toEqual([nobody]))

  test.each([
    ["import { b } from './zip.ts'"],
    ["import { a } from './other.ts'"],
    ["import * as zip from './zip.ts'; zip.b()"],
    ["import * as zip from './zip.ts'; x.zip.a; ({ zip: 1 })"],
    ["const { b } = await import('./zip.ts'); a()"],
    ["(await import('./zip.ts')).b(a)"],
    ['const { a } = await import(`./${name}.mutants.ts`)'],
    ['const { a } = await import(`../${name}.ts`)'],
    ['const { b } = await import(`./${name}.ts`)'],
    ["import('./zip.ts').then(({ b }) => b(a))"],
    ["type B = import('./zip.ts').b"],
    ["// import { a } from './zip.ts'"],
  ])('beside %s', (user) => expect(unused(a, user)).toEqual([nobody]))
})

describe('an export that another file uses passes', () => {
  test.each([
    ["import { a } from './zip.ts'"],
    ["import { a as b } from './zip.ts'"],
    ["import { 'a' as b } from './zip.ts'"],
    ["import { type a } from './zip.ts'"],
    ["import * as zip from './zip.ts'; zip.a()"],
    ["import * as zip from './zip.ts'; let b: zip.a"],
    ["import * as zip from './zip.ts'; Object.values(zip)"],
    ["const { a } = await import('./zip.ts')"],
    ["const { a } = (await import('./zip.ts')) as { a: 1 }"],
    ['const { a } = await import(`./${name}.ts`)'],
    ['const { a } = await import(`./z${name}p.ts`)'],
    ["(await import('./zip.ts')).a"],
    ["import('./zip.ts').then(({ a }) => a)"],
    ["const zip = await import('./zip.ts')"],
    ["const { ...all } = await import('./zip.ts')"],
    ["type B = import('./zip.ts').a"],
    ["type B = typeof import('./zip.ts')"],
    ["export * as zip from './zip.ts'"],
  ])('by %s', (user) => expect(unused(a, user)).toEqual([]))

  test('in the signature of another exported value', () => {
    for (const signature of [
      'export function b(c: a) {}',
      'export const b: { c: a[] } = d',
      'export class B implements a {}',
      'export const b: Op<typeof a> = c',
    ])
      expect(unused(`export type a = 1; ${signature}`, "import { b, B } from './zip.ts'")).toEqual([])
  })

  test('with the others of its pattern', () =>
    expect(unused('export const [a, b] = c', "import { b } from './zip.ts'")).toEqual([]))

  test('as a default export, which a tool loads by its path', () =>
    expect(unused('export default function a() {}', '')).toEqual([]))

  test('through a module that exports everything of it, which users of the package import', () => {
    expect(unused(a, "export * from '../io/zip.ts'", 'src/library/index.ts')).toEqual([])
    expect(unused(a, "export { a } from '../io/zip.ts'", 'src/library/index.ts')).toEqual([])
    expect(unused(a, "export * from './zip.ts'")).toEqual([nobody])
  })
})

describe('a function of src/ that tests alone call is found', () => {
  const tested = "import { a } from '../../src/io/zip.ts'; a()"
  const fault = ['src/io/zip.ts:1: a is used by tests alone']

  test.each([
    ['export function a() {}', fault],
    ['export class a {}', fault],
    ['export function a() {}; const b = { a: 1 }.a', fault],
    ['export function a() {}; a()', []],
    ['export const a = 1', []],
  ])('%s', (text, faults) => expect(unused(text, tested, 'spec/io/zip.spec.ts')).toEqual(faults))

  test('but not what benches use, nor what a test imports of another test, nor a definition', () => {
    const text = 'export function a() {}'
    expect(unused(text, tested, 'bench/io/zip.ts')).toEqual([])
    const from = (path: string, user: string): string[] =>
      unusedExports(
        [
          parseModule({ path, text }),
          parseModule({ path: 'spec/io/zip.spec.ts', text: `import { a } from '${user}'` }),
        ],
        [],
      )
    expect(from('spec/io/zip.ts', './zip.ts')).toEqual([])
    expect(from('src/spec/zip.ts', '../../src/spec/zip.ts')).toEqual([])
  })
})

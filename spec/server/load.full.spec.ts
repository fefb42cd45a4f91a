/**
 * A server in a process of its own: many clients for some seconds, a reader that stops reading, and SIGTERM, in Node and in Deno.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { createConnection } from 'node:net'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import { findDeno } from '../../scripts/deno.ts'
import { thisRuntime, type Runner } from '../../scripts/steps.ts'
import { runtime } from '../../src/platform/platform.ts'
import { root, sendSignal } from '../cli/run_cli.ts'
import { eventsOf } from './served.ts'

test.skipIf(runtime.name !== 'node')(
  '64 clients for some seconds, some of them slow or gone, get right answers or documented refusals',
  { timeout: 300_000 },
  async () => {
    const args = [
      '--conditions=@shadowllm/source',
      'bench/serve.ts',
      '--seconds',
      '4',
      '--rounds',
      '0',
      '--json',
    ]
    // It ends with 1 if there are faults, which say more than its exit code.
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root }).catch(
      (error: Error & { stdout?: string }) => ({
        stdout: error.stdout || `{"faults":[${JSON.stringify(error.message)}]}`,
      }),
    )
    const { faults, counts } = JSON.parse(stdout) as { faults: string[]; counts: Record<string, number> }
    expect(faults).toEqual([])
    expect(Object.keys(counts)).toEqual(
      expect.arrayContaining(['whole', 'stream', 'scored', 'slow', 'left', '400']),
    )
  },
)

const deno = findDeno()
const runners: readonly (readonly [name: string, runner: Runner | null])[] =
  runtime.name === 'node'
    ? [
        ['Node', thisRuntime],
        [
          'program' in deno ? 'Deno' : `Deno (skipped: ${deno.missing})`,
          'program' in deno
            ? {
                program: deno.program,
                options: ['run', '--no-prompt', '--allow-read', '--allow-net', '--allow-env'],
              }
            : null,
        ],
      ]
    : [['Deno', thisRuntime]]

/** A `shadowllm serve` that listens. */
interface Serving {
  readonly url: URL
  readonly child: ChildProcess
  /** Its exit code and stderr, once it has ended. */
  readonly ended: Promise<[code: number | null, stderr: string]>
}

const children = new Set<ChildProcess>()
afterEach(() => {
  for (const child of children) sendSignal(child, 'SIGKILL')
  children.clear()
})

function start({ program, options }: Runner, ...flags: string[]): Promise<Serving> {
  const args = [...options, 'src/cli/main.ts', 'serve', '--port', '0', ...flags]
  const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  children.add(child)
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const ended = new Promise<[number | null, string]>((resolve) => {
    child.on('close', (code) => resolve([code, stderr]))
  })
  return new Promise((resolve, reject) => {
    child.stdout
      .setEncoding('utf8')
      .once('data', (text: string) => resolve({ url: new URL(text.trim()), child, ended }))
    void ended.then(([code]) => reject(new Error(`expected an address, got exit code ${code}: ${stderr}`)))
  })
}

const post = (url: URL, body: object): Promise<Response> =>
  fetch(new URL('/v1/completions', url), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

async function metric(url: URL, name: string): Promise<number> {
  const text = await (await fetch(new URL('/metrics', url))).text()
  return Number(new RegExp(`^shadowllm_${name} (.*)$`, 'm').exec(text)?.[1])
}

describe.each(runners)('shadowllm serve in %s', (_, runner) => {
  const timeout = 120_000
  test.skipIf(runner === null)(
    'SIGTERM ends it with 0 after the stream that was begun',
    { timeout },
    async () => {
      const { url, child, ended } = await start(runner as Runner)
      const response = await post(url, { prompt: 'The captain', max_tokens: 100, stream: true })
      sendSignal(child, 'SIGTERM')
      const events = await eventsOf(response)
      expect(events.at(-1)).toBe(null)
      expect(events.at(-2)).toMatchObject({
        choices: [{ finish_reason: expect.stringMatching(/length|stop/) }],
      })
      const [code] = await ended
      expect(code).toBe(0)
      await expect(fetch(url)).rejects.toThrow()
    },
  )

  test.skipIf(runner === null)('--drain 0 cuts what runs', { timeout }, async () => {
    const { url, child, ended } = await start(runner as Runner, '--drain', '0')
    const cut = post(url, { prompt: 'The captain', max_tokens: 200, n: 64 }).then(
      ({ status }) => status,
      () => 0,
    )
    await expect.poll(() => metric(url, 'active_requests'), { timeout: 20_000 }).toBe(1)
    sendSignal(child, 'SIGTERM')
    expect([0, 503]).toContain(await cut)
    expect((await ended)[0]).toBe(0)
  })

  test.skipIf(runner === null)(
    'a reader that stops reading loses its seat after --stall',
    { timeout },
    async () => {
      // Every event names the model: with a name of 32 KiB some hundred tokens fill what lies between the two processes.
      const name = 'm'.repeat(2 ** 15)
      const flags = ['--stall', '0.3', '--drain', '1', '--name', name]
      const { url, child, ended } = await start(runner as Runner, ...flags)
      const body = JSON.stringify({ prompt: 'The captain', max_tokens: 240, n: 128, stream: true })
      const socket = createConnection({ port: Number(url.port), host: '127.0.0.1' })
      socket.on('error', () => {})
      socket.pause()
      socket.write(
        `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      )
      await expect.poll(() => metric(url, 'generated_tokens_total'), { timeout: 30_000 }).toBeGreaterThan(0)
      await expect.poll(() => metric(url, 'active_requests'), { timeout: 100_000 }).toBe(0)
      // Only what buffers hold was computed.
      expect(await metric(url, 'generated_tokens_total')).toBeLessThan(128 * 240)
      socket.destroy()
      sendSignal(child, 'SIGTERM')
      expect((await ended)[0]).toBe(0)
    },
  )
})

/**
 * `shadowllm serve`: the key that clients must send, from a flag or the environment. Tests src/cli/commands/serve.ts;
 * spec/cli/options states its flags, spec/server its answers.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { createConnection, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { startLines } from '../../../src/cli/commands/serve.ts'
import { runCommandLine } from '../../../src/cli/run.ts'
import { maskModes } from '../../../src/engine/active_layer.ts'
import { LanguageModel } from '../../../src/engine/language_model.ts'
import type { Sequence } from '../../../src/engine/sequence.ts'
import { writeModel } from '../options/small_files.ts'
import { quietSession } from '../run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-serve-'))
const model = join(folder, 'model')
beforeAll(() => writeModel(model, 3))
afterAll(() => rmSync(folder, { recursive: true }))

/** Serves with a variable of the environment. @returns the exit code, the line on stderr, and the answers to two keys and to none */
async function answersWith(
  variable: string | undefined,
  ...flags: readonly string[]
): Promise<{ code: number; stderr: string; statuses: readonly number[] }> {
  const interrupt = new AbortController()
  let asking: Promise<number[]> = Promise.resolve([])
  let stderr = ''
  const statusOf = async (address: string, key: string | null): Promise<number> => {
    const headers = key === null ? undefined : { authorization: `Bearer ${key}` }
    const response = await fetch(new URL('/v1/models', address), { headers })
    await response.body?.cancel()
    return response.status
  }
  const print = (text: string): void => {
    const answers = ['of-the-variable', 'of-the-flag', null].map((key) => statusOf(text.trim(), key))
    asking = Promise.all(answers).finally(() => interrupt.abort())
  }
  const args = ['serve', '-m', model, '--port', '0', '--quiet', ...flags]
  const code = await runCommandLine({
    ...quietSession(print, args, { complain: (text) => void (stderr += text) }),
    environment: (name) => (name === 'SHADOWLLM_API_KEY' ? variable : undefined),
    signal: interrupt.signal,
  })
  return { code, stderr, statuses: await asking }
}

test.each<[string, string | undefined, string[], number[]]>([
  ['without a key everybody is answered', undefined, [], [200, 200, 200]],
  ['SHADOWLLM_API_KEY is the key', 'of-the-variable', [], [200, 401, 401]],
  ['--api-key is the key', undefined, ['--api-key', 'of-the-flag'], [401, 200, 401]],
  [
    '--api-key goes before SHADOWLLM_API_KEY',
    'of-the-variable',
    ['--api-key', 'of-the-flag'],
    [401, 200, 401],
  ],
])('%s', async (_, variable, flags, statuses) => {
  expect(await answersWith(variable, ...flags)).toEqual({ code: 0, stderr: '', statuses })
})

test.each([
  [
    '',
    '0.0.0.0: everybody who reaches this address is answered; a key in SHADOWLLM_API_KEY keeps others out\n',
  ],
  ['of-the-variable', ''],
])('an address that others reach, with the key "%s", is told of: %j', async (key, words) => {
  expect((await answersWith(key || undefined, '--host', '0.0.0.0')).stderr).toBe(words)
})

test.each(maskModes)(
  '--mode %s is the mode of the sequences that answer, scored prompts included',
  async (mode) => {
    const spy = vi.spyOn(LanguageModel.prototype, 'begin')
    const interrupt = new AbortController()
    let asking: Promise<number> = Promise.resolve(0)
    const ask = async (address: string): Promise<number> => {
      const body = JSON.stringify({ prompt: [1, 2, 3], max_tokens: 2, logprobs: 1, echo: true })
      const headers = { 'content-type': 'application/json' }
      const { status } = await fetch(new URL('/v1/completions', address), { method: 'POST', headers, body })
      return status
    }
    const print = (text: string): void => void (asking = ask(text.trim()).finally(() => interrupt.abort()))
    const planning = ['--planner', 'random', '--sparsity', '0.25', '--mask-tokens', '2', '--mode', mode]
    const args = ['serve', '-m', model, '--port', '0', '--quiet', ...planning]
    try {
      const code = await runCommandLine({
        ...quietSession(print, args),
        environment: () => undefined,
        signal: interrupt.signal,
      })
      expect([code, await asking]).toEqual([0, 200])
      const modes = spy.mock.results.map(({ value }) => (value as Sequence).mode)
      expect(modes).toHaveLength(2)
      expect(new Set(modes)).toEqual(new Set([mode]))
    } finally {
      spy.mockRestore()
    }
  },
)

test('without --quiet it tells what it serves, how to ask it, and each request', async () => {
  let [stderr, address, answered] = ['', '', 0]
  const interrupt = new AbortController()
  let asking: Promise<unknown> = Promise.resolve()
  /** The command that the second line names, as a request. */
  const asTold = async (): Promise<void> => {
    const [, url, body] = /^curl (\S+) -H 'content-type: application\/json' -d '(.*)'$/m.exec(stderr) ?? []
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(url, { method: 'POST', body, headers })
    answered = response.status
    await response.body?.cancel()
    await (await fetch(new URL('/none', address))).body?.cancel()
  }
  const print = (text: string): void => {
    address = text.trim()
    asking = asTold().finally(() => interrupt.abort())
  }
  const args = [
    'serve',
    '-m',
    model,
    '--port',
    '0',
    '--name',
    'small',
    '--planner',
    'random',
    '--sparsity',
    '0.25',
  ]
  const code = await runCommandLine({
    ...quietSession(print, args, { complain: (text) => void (stderr += text) }),
    environment: () => undefined,
    signal: interrupt.signal,
  })
  await asking
  expect([code, answered]).toEqual([0, 200])
  const [first, curl, ...requests] = stderr.trimEnd().split('\n')
  expect(first).toBe(
    'small: weights f32, backend wasm, planner random, 25.0 % of heads and neurons skipped; temperature 1 where a request says nothing else',
  )
  expect(curl).toContain(`curl ${address}/v1/`)
  expect(requests).toEqual([
    expect.stringMatching(
      /^20\S+Z POST \/v1\/(chat\/)?completions 200 prompt \d+ tokens, 0 of them kept; answer [1-9]\d* tokens; \d+\.\d{3} s$/,
    ),
    expect.stringMatching(/^20\S+Z GET \/none 404 ROUTE \d+\.\d{3} s$/),
    'ending: requests under way have 4 s to be answered; ctrl-C again ends at once',
  ])
})

test('a variable that is no key is refused by its name', async () => {
  const { code, stderr, statuses } = await answersWith('two words')
  expect(stderr).toMatch(/^shadowllm: SHADOWLLM_API_KEY: [^\n]*visible characters[^\n]* \[API_KEY\]\n$/)
  expect([code, statuses]).toEqual([2, []])
})

test('fewer connections than requests that may compute and wait are refused at the start', async () => {
  const flags = ['--parallel', '3', '--waiting', '4', '--connections']
  const { code, stderr } = await answersWith(undefined, ...flags, '7')
  expect(stderr).toMatch(/^shadowllm: --connections: expected more than 7, [^\n]* \[CONNECTIONS\]\n$/)
  expect(code).toBe(2)
  expect((await answersWith(undefined, ...flags, '8')).code).toBe(0)
})

test('no example of the help has a key on the command line', async () => {
  let help = ''
  await runCommandLine(quietSession((text) => (help += text), ['serve', '--help']))
  const examples = help.split('\n').filter((line) => line.startsWith('  $ '))
  expect(examples.length).toBeGreaterThan(1)
  expect(examples.filter((line) => line.includes('--api-key'))).toEqual([])
  expect(help.replaceAll(/\s+/g, ' ')).toContain('Put a key into SHADOWLLM_API_KEY')
})

test.each([
  ['dense', 'griffin', true],
  ['dense', 'shadow', false],
  ['griffin', 'griffin', false],
] as const)(
  'what is served by %s tells of the planner that a sparsity alone means (%s): %s',
  (planner, alone, isTold) => {
    const model = { weights: { storage: 'f32' }, backend: { name: 'wasm' } }
    const opt = { model, sampling: {}, chatTemplate: null } as unknown as Parameters<typeof startLines>[0]
    const lines = startLines(opt, 'm', { planner, sparsity: 0.3 }, 'http://a', null, null, alone)
    expect(lines).toHaveLength(isTold ? 3 : 2)
    if (isTold) expect(lines[2]).toContain(`masked by ${alone},`)
    const skipped = planner === 'dense' ? 'planner dense;' : 'planner griffin, 30.0 % of neurons skipped;'
    expect(lines[0]).toContain(skipped)
  },
)

test.each([
  [null, null, undefined],
  ['secret', 'secret', '$SHADOWLLM_API_KEY'],
  ['secret', null, 'KEY'],
  ['secret', 'other', 'KEY'],
])(
  'the first request asks with the key of the flag (%s) or of the variable (%s), which is not shown',
  (flag, variable, key) => {
    const model = { weights: { storage: 'f32' }, backend: { name: 'wasm' } }
    const opt = { model, sampling: {}, chatTemplate: null } as unknown as Parameters<typeof startLines>[0]
    const [, curl] = startLines(opt, 'm', { planner: 'dense' }, 'http://a', flag, variable, 'shadow')
    expect(/authorization: Bearer ([^"]+)"/.exec(curl)?.[1]).toBe(key)
  },
)

/** Asks a server for more than it can write, and does something meanwhile. @returns what it logs */
async function whileAsked(
  meanwhile: (interrupt: AbortController, client: AbortController) => void,
  seen: (answer: Promise<Response>) => Promise<unknown>,
): Promise<string> {
  const [interrupt, client] = [new AbortController(), new AbortController()]
  let [log, asked] = ['', Promise.resolve<unknown>(undefined)]
  const ask = async (address: string): Promise<void> => {
    const body = JSON.stringify({ prompt: 'a', max_tokens: 150, n: 128 })
    const headers = { 'content-type': 'application/json' }
    const init = { method: 'POST', headers, body, signal: client.signal }
    const answered = seen(fetch(`${address}/v1/completions`, init))
    const metrics = async (): Promise<string> => (await fetch(`${address}/metrics`)).text()
    await expect.poll(metrics, { interval: 5 }).toMatch(/active_requests 1$/m)
    meanwhile(interrupt, client)
    await answered
    await expect.poll(() => log).toContain('POST ')
    interrupt.abort()
  }
  const print = (text: string): void => void (asked = ask(text.trim()))
  const args = ['serve', '-m', model, '--port', '0', '--drain', '0']
  const end = { complain: (text: string) => void (log += text) }
  const code = await runCommandLine({ ...quietSession(print, args, end), signal: interrupt.signal })
  await asked
  expect(code).toBe(0)
  return log
}

test('a request that is cut at the end has its refusal as answer', async () => {
  const log = await whileAsked(
    (interrupt) => interrupt.abort(),
    async (answer) => {
      const refusal = await answer
      expect([refusal.status, refusal.headers.get('retry-after')]).toEqual([503, '1'])
      expect(await refusal.json()).toMatchObject({ error: { code: 'DRAINING' } })
    },
  )
  expect(log).toMatch(/POST \/v1\/completions 503 DRAINING \d+\.\d{3} s\n/)
})

test('a request whose client leaves is logged', async () => {
  const log = await whileAsked(
    (_, client) => client.abort(),
    (answer) => expect(answer).rejects.toThrow('aborted'),
  )
  expect(log).toMatch(/POST \/v1\/completions 499 client left \d+\.\d{3} s\n/)
})

test('the line of a stream is written when the stream has ended, with its tokens', async () => {
  const interrupt = new AbortController()
  let [log, before, asked] = ['', '', Promise.resolve<unknown>(undefined)]
  const ask = async (address: string): Promise<void> => {
    const body = JSON.stringify({ prompt: 'a', max_tokens: 40, logit_bias: { 0: -100 }, stream: true })
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(`${address}/v1/completions`, { method: 'POST', headers, body })
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    await reader.read()
    await (await fetch(`${address}/health`)).text()
    await expect.poll(() => log).toContain('/health')
    before = log
    while (!(await reader.read()).done);
    interrupt.abort()
  }
  const print = (text: string): void => void (asked = ask(text.trim()))
  const end = { complain: (text: string) => void (log += text) }
  const code = await runCommandLine({
    ...quietSession(print, ['serve', '-m', model, '--port', '0'], end),
    signal: interrupt.signal,
  })
  await asked
  expect(code).toBe(0)
  expect(before).not.toContain('/v1/completions 200')
  expect(log).toMatch(
    /\/v1\/completions 200 prompt \d+ tokens, 0 of them kept; answer 40 tokens; \d+\.\d{3} s\n/,
  )
})

/** Presses ctrl-C while an answer is not read. @returns the exit code, what happened meanwhile, and the port */
async function whileEnding<Seen>(
  drain: string,
  meanwhile: (url: URL, answer: Response) => Promise<Seen>,
): Promise<{ code: number; seen: Seen; url: URL }> {
  const interrupt = new AbortController()
  const asked = Promise.withResolvers<{ seen: Seen; url: URL }>()
  const ask = async (address: string): Promise<{ seen: Seen; url: URL }> => {
    const url = new URL(address)
    // An answer of this length is not sent before it is read.
    const body = JSON.stringify({
      prompt: 'a',
      max_tokens: 150,
      n: 128,
      stream: true,
      logit_bias: { 0: -100 },
    })
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(new URL('/v1/completions', url), { method: 'POST', headers, body })
    interrupt.abort()
    const health = async (): Promise<number> => (await fetch(new URL('/health', url))).status
    await expect.poll(health, { interval: 5 }).toBe(503)
    return { url, seen: await meanwhile(url, answer) }
  }
  const print = (text: string): void => asked.resolve(ask(text.trim()))
  const args = ['serve', '-m', model, '--port', '0', '--drain', drain, '--quiet']
  const code = await runCommandLine({ ...quietSession(print, args), signal: interrupt.signal })
  return { code, ...(await asked.promise) }
}

test('a server that ends answers new connections with 503 until its last answer is sent, and then no longer', async () => {
  const { code, seen, url } = await whileEnding('600', async (url, answer) => {
    const refusals = []
    for (const path of ['/health', '/v1/models', '/v1/completions', '/none']) {
      const { status, headers, ...refusal } = await fetch(new URL(path, url)).then(async (response) => ({
        status: response.status,
        headers: response.headers,
        json: (await response.json()) as { status?: string; error?: { code: string } },
      }))
      const { error, status: word } = refusal.json
      refusals.push([status, error?.code ?? word, headers.get('retry-after'), headers.get('connection')])
    }
    const metrics = await fetch(new URL('/metrics', url))
    const text = await answer.text()
    return { refusals, metrics: metrics.status, isWhole: text.endsWith('data: [DONE]\n\n') }
  })
  expect(seen).toEqual({
    refusals: ['draining', 'DRAINING', 'DRAINING', 'DRAINING'].map((word) => [503, word, '1', 'close']),
    metrics: 200,
    isWhole: true,
  })
  expect(code).toBe(0)
  await expect(fetch(url)).rejects.toThrow('fetch failed')
})

test('an answer that is not read does not hold a server longer than --drain and a second', async () => {
  const start = performance.now()
  const { code, url } = await whileEnding('0.1', () => Promise.resolve())
  expect(code).toBe(0)
  expect(performance.now() - start).toBeLessThan(10_000)
  await expect(fetch(url)).rejects.toThrow('fetch failed')
})

test('a connection that never sent a request does not hold up the end', { timeout: 20_000 }, async () => {
  const interrupt = new AbortController()
  let [left, silent] = [0, null as Socket | null]
  const print = (text: string): void => {
    const { hostname, port } = new URL(text.trim())
    silent = createConnection({ host: hostname, port: Number(port) }, () => {
      left = performance.now()
      interrupt.abort()
    }).on('error', () => {})
  }
  const args = ['serve', '-m', model, '--port', '0', '--drain', '600', '--quiet']
  const code = await runCommandLine({ ...quietSession(print, args), signal: interrupt.signal })
  expect(code).toBe(0)
  expect(performance.now() - left).toBeLessThan(10_000)
  ;(silent as Socket | null)?.destroy()
})

/**
 * What a stranger sends costs the stranger, not the others: every field of every body brings much, and everybody else is answered
 * meanwhile. Times are of an idle machine.
 *
 * SHADOWLLM_SOAK_MODEL names the model of the server; by default a small random one.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ShadowModel } from '../../src/library/index.ts'
import { thisRuntime } from '../../scripts/steps.ts'
import { root, sendSignal } from '../cli/run_cli.ts'
import { chatMl, writeChatModel } from '../library/chat_model.ts'
import { costOf, everyMuch, type Ask, type Cost } from './amounts.ts'
import { requestOf, serverOf } from './served.ts'

/** The longest that anybody waits, in milliseconds. */
const WAIT = 500
/** What the memory may grow by under one client, and under many, in MiB. */
const [ALONE, TOGETHER] = [300, 600]
/** Milliseconds from SIGTERM to the end. */
const END = 5000

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-amounts-'))
afterAll(() => rmSync(folder, { recursive: true }))
/** It takes as long as a template may where a message says so. */
const template = `${chatMl}{% if messages[0].content == 'slowly' %}{% for a in range(9999) %}{% for b in range(9999) %}
{%- endfor %}{% endfor %}{% endif %}`
await writeChatModel(folder, { template })

interface Serving {
  readonly url: URL
  readonly pid: number
  /** Its exit code. */
  readonly ended: Promise<number | null>
  stop(): void
}

async function serve(): Promise<Serving> {
  const { program, options } = thisRuntime
  const model = process.env.SHADOWLLM_SOAK_MODEL ?? folder
  const child = spawn(program, [...options, 'src/cli/main.ts', 'serve', '-m', model, '--port', '0'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  const url = await new Promise<URL>((resolve) =>
    child.stdout.setEncoding('utf8').once('data', (text: string) => resolve(new URL(text.trim()))),
  )
  return { url, pid: child.pid as number, ended, stop: () => sendSignal(child, 'SIGTERM') }
}

const askAt =
  (url: URL): Ask =>
  async (path, body) => {
    const headers = { 'content-type': 'application/json' }
    const sent = body === undefined ? {} : { method: 'POST', headers, body }
    const response = await fetch(new URL(path, url), sent)
    return { status: response.status, text: await response.text() }
  }

/** Resident memory of a process in MiB. */
function memoryOf(pid: number): number {
  const [, kibibytes] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kibibytes) / 1024
}

/** The most memory while something goes on. */
async function mostMemory(pid: number, work: () => Promise<unknown>): Promise<number> {
  let most = 0
  const timer = setInterval(() => (most = Math.max(most, memoryOf(pid))), 20)
  await work()
  clearInterval(timer)
  return most
}

const worstOf = (costs: readonly Cost[]): string =>
  costs
    .toSorted((a, b) => b.waited - a.waited)
    .slice(0, 10)
    .map(
      ({ name, status, code, took, waited }) =>
        `${waited.toFixed()} ms: ${name}, ${code ?? status} after ${took.toFixed()} ms`,
    )
    .join('\n')

describe('one client at a time', () => {
  let serving: Serving
  const costs: Cost[] = []
  let most = 0
  let usual = 0
  beforeAll(async () => {
    serving = await serve()
    const ask = askAt(serving.url)
    for (let i = 0; i < 20; i++)
      await ask('/v1/chat/completions', '{"messages":[{"role":"user","content":"a"}]}')
    usual = memoryOf(serving.pid)
    for (const much of everyMuch()) {
      most = Math.max(most, await mostMemory(serving.pid, async () => costs.push(await costOf(ask, much))))
    }
    process.stdout.write(
      `${costs.length} requests; memory ${usual.toFixed()} MiB, at most ${most.toFixed()}\n${worstOf(costs)}\n`,
    )
  }, 1_800_000)

  test('every request is answered or refused', () => {
    expect(costs.filter(({ status }) => status >= 500)).toEqual([])
    expect(costs.filter(({ code }) => code === 'BUG')).toEqual([])
  })
  test('nobody else waits long', () => expect(costs.filter(({ waited }) => waited > WAIT)).toEqual([]))
  test('memory grows by little', () => expect(most - usual).toBeLessThan(ALONE))
})

/** What is going on when SIGTERM comes. */
const attacks: Readonly<Record<string, (url: URL) => void>> = {
  'long texts that are made tokens': (url) => {
    const prompt = 'ab'.repeat(2 ** 17)
    for (let i = 0; i < 20; i++) send(url, '/tokenize', { prompt })
  },
  'a template that takes long': (url) => {
    for (let i = 0; i < 20; i++)
      send(url, '/v1/chat/completions', { messages: [{ role: 'user', content: 'slowly' }] })
  },
  'texts without an end': (url) => {
    for (let i = 0; i < 16; i++) send(url, '/v1/completions', { prompt: 'a', max_tokens: 390, n: 128 })
  },
  'long prompts under a planner': (url) => {
    const prompt = Array.from({ length: 128 }, () => Array.from({ length: 380 }, (_, i) => 3 + (i % 50)))
    for (let i = 0; i < 16; i++)
      send(url, '/v1/completions', { prompt, max_tokens: 1, planner: 'random', sparsity: 0.5 })
  },
  'streams that nobody reads': (url) => {
    for (let i = 0; i < 16; i++)
      raw(url, { prompt: 'a', max_tokens: 390, n: 128, logprobs: 20, stream: true }, 0)
  },
  'bodies that do not come': (url) => {
    for (let i = 0; i < 200; i++) raw(url, { prompt: 'a' }, 1)
  },
}

/** Sends a request whose answer nobody needs. */
function send(url: URL, path: string, body: object): void {
  void askAt(url)(path, JSON.stringify(body)).catch(() => null)
}

/** Sends a request without its last bytes, and reads nothing. */
function raw(url: URL, body: object, missing: number): void {
  const text = JSON.stringify(body)
  const socket = createConnection({ port: Number(url.port), host: url.hostname })
  socket.on('error', () => {}).pause()
  const head = `Host: localhost\r\nContent-Type: application/json\r\nContent-Length: ${text.length}`
  socket.write(`POST /v1/completions HTTP/1.1\r\n${head}\r\n\r\n${text.slice(0, text.length - missing)}`)
}

test.each(Object.entries(attacks))(
  'SIGTERM ends the server amid %s',
  { timeout: 60_000 },
  async (_, attack) => {
    const serving = await serve()
    await askAt(serving.url)('/v1/chat/completions', '{"messages":[{"role":"user","content":"a"}]}')
    attack(serving.url)
    await new Promise((resolve) => setTimeout(resolve, 1000))
    const start = performance.now()
    serving.stop()
    expect(await serving.ended).toBe(0)
    expect(performance.now() - start).toBeLessThan(END)
  },
)

test('250 clients at a time', { timeout: 600_000 }, async () => {
  const serving = await serve()
  const ask = askAt(serving.url)
  await ask('/v1/chat/completions', '{"messages":[{"role":"user","content":"a"}]}')
  const usual = memoryOf(serving.pid)
  const statuses = new Map<number, number>()
  const heavy = [...everyMuch()].filter(
    ({ name }) => name.includes('of 4 MiB') || name.startsWith('chat messages'),
  )
  const most = await mostMemory(serving.pid, () =>
    Promise.all(
      Array.from({ length: 250 }, async (_, i) => {
        const { path, body } = heavy[i % heavy.length]
        const { status } = await ask(path, body)
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
      }),
    ),
  )
  process.stdout.write(
    `250 clients: ${usual.toFixed()} MiB, at most ${most.toFixed()}; ${JSON.stringify([...statuses])}\n`,
  )
  expect([...statuses.keys()].filter((status) => ![200, 400, 404, 413, 429, 503].includes(status))).toEqual(
    [],
  )
  expect(most - usual).toBeLessThan(TOGETHER)
  const start = performance.now()
  serving.stop()
  expect(await serving.ended).toBe(0)
  expect(performance.now() - start).toBeLessThan(END)
})

describe('what holds up the others is found', async () => {
  const opt = await ShadowModel.fromPretrained()
  afterAll(() => opt.dispose())
  const server = serverOf(opt)
  afterAll(() => server.drain())
  const texts = (value: unknown): string[] =>
    typeof value === 'string'
      ? [value]
      : typeof value === 'object' && value !== null
        ? Object.values(value).flatMap(texts)
        : []
  /** Work that is done with a body before it is bounded; each ends after seconds, where its fault has been seen. */
  const bugs: Readonly<Record<string, (body: Record<string, unknown>) => unknown>> = {
    'a check of each item against those before it': ({ prompt }) =>
      Array.isArray(prompt) &&
      prompt
        .slice(0, 40_000)
        .every((one, i) => prompt.slice(0, i).every((other) => typeof other === typeof one)),
    'a list that is copied for each item': ({ prompt }) =>
      Array.isArray(prompt) && prompt.reduce((before: unknown[], one) => [...before.slice(-20_000), one], []),
    'a copy of the rest for each character': ({ prompt }) => {
      let found = 0
      if (typeof prompt === 'string')
        for (
          let rest = Buffer.from(prompt.slice(0, 200_000));
          rest.length > 0;
          rest = Buffer.from(rest.subarray(1))
        )
          found ^= rest[0]
      return found
    },
    'a pattern that goes back': ({ prompt }) =>
      typeof prompt === 'string' && /a*a*b/.test(prompt.slice(0, 2000)),
    'text in a normal form': (body) => texts(body).map((text) => text.slice(0, 200_000).normalize('NFC')),
    'the whole body for each message': (body) =>
      Array.isArray(body.messages) && body.messages.slice(0, 300).map(() => JSON.stringify(body).length),
    'a spread of a list': ({ tokens }) => Array.isArray(tokens) && Math.max(...(tokens as number[])),
    'a distance of names': (body) => Object.keys(body).map((name) => distance(name, name.slice(1))),
    'a search for each mark that might be unused': (body) =>
      texts(body).map((text) => [...privateMarks].filter((mark) => !text.includes(mark))),
    'a check that calls itself': (body) => depthOf(body),
  }
  const privateMarks = Array.from({ length: 6400 }, (_, i) => String.fromCharCode(0xe000 + i))
  const depthOf = (value: unknown): number =>
    typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0
  function distance(from: string, to: string): number {
    let above = Array.from({ length: to.length + 1 }, (_, i) => i)
    for (let i = 0; i < Math.min(from.length, 200); i++)
      above = above.map((value, j) =>
        j === 0 ? i : Math.min(value + 1, above[j - 1] + (from[i] === to[j] ? 0 : 1)),
      )
    return above[to.length]
  }

  const planted =
    (bug: (body: Record<string, unknown>) => unknown): Ask =>
    async (path, body) => {
      try {
        if (body !== undefined) bug(JSON.parse(body) as Record<string, unknown>)
      } catch {
        return { status: 500, text: '{"error":{"code":"BUG"}}' }
      }
      const response = await server.fetch(requestOf(path, body))
      return { status: response.status, text: await response.text() }
    }

  /** The fields that the bugs work with; every other one is as long. */
  const fields = /^\w+ (prompt|messages|tokens|a name|100,000 names)/
  /** The first request that costs too much. */
  async function firstFault(ask: Ask): Promise<Cost | null> {
    for (const much of everyMuch()) {
      if (!fields.test(much.name)) continue
      const cost = await costOf(ask, much)
      if (cost.waited > WAIT || cost.status >= 500) return cost
    }
    return null
  }

  test('and nothing without it', { timeout: 600_000 }, async () =>
    expect(await firstFault(planted(() => null))).toBe(null),
  )

  test.each(Object.entries(bugs))('%s', { timeout: 600_000 }, async (_, bug) =>
    expect(await firstFault(planted(bug))).not.toBe(null),
  )
})

/**
 * The server over a socket: the `openai` package as its client, bytes that are no requests, and clients that leave. The same in
 * Node and in Deno.
 *
 * Tests src/platform/http_server.ts.
 */
import { createConnection } from 'node:net'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import OpenAI, { APIError, AuthenticationError, BadRequestError, NotFoundError, RateLimitError } from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ShadowModel } from '../../src/library/index.ts'
import { listen, type Listening } from '../../src/platform/http_server.ts'
import { nextTurn } from '../../src/platform/pause.ts'
import { runtime } from '../../src/platform/platform.ts'
import type { Server } from '../../src/server/app.ts'
import { kills, law, lawAlways, stateLaw } from '../harness/seed.ts'
import { casesAtTier, isRest } from '../harness/tier.ts'
import { writeChatModel } from '../library/chat_model.ts'
import { requestOf, serverOf } from './served.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-client-'))
await writeChatModel(join(folder, 'model'))
const [opt, chatty] = [
  await ShadowModel.fromPretrained(),
  await ShadowModel.fromPretrained(join(folder, 'model')),
]

const refuse = (): Response => Response.json({ error: { code: 'ADDRESS' } }, { status: 400 })
const refuseConnection = (): Response =>
  Response.json(
    { error: { code: 'CONNECTIONS' } },
    { status: 503, headers: { 'retry-after': '1', connection: 'close' } },
  )
const server = serverOf(opt, { apiKey: 'secret', seats: 2, queue: 2 })
const chatServer = serverOf(chatty, { name: 'chatty' })
const sockets: Listening[] = []
async function open(of: Server, connections = 512): Promise<{ url: string; port: number }> {
  const options = { host: '127.0.0.1', port: 0, refuse, connections, refuseConnection }
  const socket = await listen((request) => of.fetch(request), options)
  sockets.push(socket)
  return { url: `http://127.0.0.1:${socket.port}/v1`, port: socket.port }
}
let client: OpenAI
let chats: OpenAI
let port: number
beforeAll(async () => {
  const opened = await open(server)
  ;({ port } = opened)
  client = new OpenAI({ baseURL: opened.url, apiKey: 'secret', maxRetries: 0 })
  chats = new OpenAI({ baseURL: (await open(chatServer)).url, apiKey: 'none', maxRetries: 0 })
})
afterAll(async () => {
  for (const socket of sockets) {
    const closed = socket.close()
    socket.end()
    await closed.catch(() => {})
  }
  await Promise.all([opt.dispose(), chatty.dispose()])
  rmSync(folder, { recursive: true })
})

const model = 'tiny-opt'
const asked = { model, prompt: 'The captain', max_tokens: 8, temperature: 0.8, seed: 4 }

async function byLibrary(): Promise<string> {
  let text = ''
  for await (const step of opt.generate('The captain', { maxTokens: 8, temperature: 0.8, seed: 4 }))
    text += step.text
  return text
}

/** The seats and the queue as the server tells them. */
async function load(): Promise<number[]> {
  const response = await server.fetch(
    requestOf('/metrics', undefined, { headers: { authorization: 'Bearer secret' } }),
  )
  const text = await response.text()
  return ['active_requests', 'queue_length'].map((name) =>
    Number(new RegExp(`^shadowllm_${name} (.*)`, 'm').exec(text)?.[1]),
  )
}

describe.skipIf(isRest)('the openai package', () => {
  test('lists and finds the model', async () => {
    const found: string[] = []
    for await (const one of client.models.list()) found.push(one.id)
    expect(found).toEqual([model])
    expect(await client.models.retrieve(model)).toMatchObject({ id: model, object: 'model' })
  })

  test('completes a prompt', async () => {
    const { choices, usage, object } = await client.completions.create(asked)
    expect([object, choices[0].text, choices[0].finish_reason]).toEqual([
      'text_completion',
      await byLibrary(),
      'length',
    ])
    expect(usage).toEqual({
      prompt_tokens: 4,
      completion_tokens: 8,
      total_tokens: 12,
      prompt_tokens_details: { cached_tokens: 0 },
    })
  })

  test('reads echoed log-probabilities of a batch of ids', async () => {
    const ids = opt.encode('The captain looked')
    const body = {
      model,
      prompt: [ids, ids.slice(1)],
      max_tokens: 1,
      temperature: 0,
      echo: true,
      logprobs: 1,
    }
    const { choices } = await client.completions.create(body)
    expect(choices.map(({ logprobs }) => logprobs?.token_logprobs?.length)).toEqual([
      ids.length + 1,
      ids.length,
    ])
    expect(choices[0].logprobs?.token_logprobs?.[0]).toBe(null)
  })

  test('streams a completion, with its usage at the end', async () => {
    const stream = await client.completions.create({
      ...asked,
      stream: true,
      stream_options: { include_usage: true },
    })
    let text = ''
    let tokens: number | undefined
    for await (const event of stream) {
      text += event.choices[0]?.text ?? ''
      tokens = event.usage?.completion_tokens ?? tokens
    }
    expect([text, tokens]).toEqual([await byLibrary(), 8])
  })

  test('chats, whole, as a stream and by its helper', async () => {
    const body = {
      model: 'chatty',
      messages: [{ role: 'user' as const, content: 'once' }],
      max_tokens: 6,
      temperature: 0,
      seed: 1,
    }
    const { choices } = await chats.chat.completions.create(body)
    const { role, content } = choices[0].message
    expect(role).toBe('assistant')
    let text = ''
    for await (const event of await chats.chat.completions.create({ ...body, stream: true }))
      text += event.choices[0]?.delta.content ?? ''
    expect(text).toBe(content)
    const helped = chats.chat.completions.stream(body)
    expect((await helped.finalChatCompletion()).choices[0].message.content).toBe(content)
  })

  test('gets each refusal as an error of its class, with our code', async () => {
    const refusalOf = async (work: Promise<unknown>): Promise<APIError> =>
      work.then(
        () => expect.unreachable(),
        (error: unknown) => error as APIError,
      )
    const wrong = await refusalOf(client.completions.create({ ...asked, temperature: -1 }))
    expect(wrong).toBeInstanceOf(BadRequestError)
    expect([wrong.code, wrong.type]).toEqual(['TEMPERATURE', 'invalid_request_error'])
    const missing = await refusalOf(client.completions.create({ ...asked, model: 'gpt-4' }))
    expect(missing).toBeInstanceOf(NotFoundError)
    const stranger = new OpenAI({ baseURL: client.baseURL, apiKey: 'other', maxRetries: 0 })
    expect(await refusalOf(stranger.models.list())).toBeInstanceOf(AuthenticationError)
    const crowd = await Promise.all(
      Array.from({ length: 12 }, () =>
        refusalOf(
          client.completions.create({ ...asked, max_tokens: 30 }).then(() => {
            throw new APIError(200, {}, 'done', new Headers())
          }),
        ),
      ),
    )
    const refused = crowd.filter((error) => error instanceof RateLimitError)
    expect(refused.length).toBeGreaterThan(0)
    expect(refused[0].headers?.get('retry-after')).toBe('1')
    expect(crowd.every((error) => error instanceof RateLimitError || error.status === 200)).toBe(true)
  })

  test('gets an error that comes in the middle of a stream', async () => {
    const body = {
      ...asked,
      prompt: [[3, 4], [3]],
      max_tokens: 2,
      stream: true as const,
      planner: 'prompt-plainact',
    }
    const stream = await client.completions.create(body)
    const read = async (): Promise<void> => {
      for await (const _ of stream);
    }
    await expect(read()).rejects.toMatchObject({ code: 'PROMPT' })
  })

  test('aborts a stream, and the server stops at the next token', async () => {
    const stream = await client.completions.create({
      ...asked,
      max_tokens: 200,
      temperature: 0,
      stream: true,
    })
    for await (const _ of stream) break
    await expect.poll(load, { timeout: 100_000 }).toEqual([0, 0])
    const controller = new AbortController()
    const waiting = client.completions.create({ ...asked, max_tokens: 200 }, { signal: controller.signal })
    setTimeout(() => controller.abort(), 30)
    await expect(waiting).rejects.toThrow(/abort/i)
    await expect.poll(load, { timeout: 100_000 }).toEqual([0, 0])
  })
})

// ---- Bytes that are no requests --------------------------------------------------------------------------------------

/**
 * Sends bytes and reads until the server closes.
 * @param ends whether this side closes soon after, so that the server need not wait for the rest of a request
 */
function sendBytes(bytes: string, ends: boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ port, host: '127.0.0.1' })
    let text = ''
    const timer = setTimeout(() => {
      socket.destroy()
      reject(new Error(`expected an answer, got none to ${bytes.slice(0, 80)}`))
    }, 20_000)
    const done = (): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(text)
    }
    socket.on('data', (data) => (text += data.toString('latin1')))
    socket.on('error', done)
    socket.on('close', done)
    socket.write(bytes, 'latin1')
    if (ends) setTimeout(() => socket.end(), 30)
  })
}

const headers =
  'Host: localhost\r\nAuthorization: Bearer secret\r\nContent-Type: application/json\r\nConnection: close\r\n'
const body = '{"prompt":"a","max_tokens":1}'
const right = `POST /v1/completions HTTP/1.1\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`

const someBytes: fc.Arbitrary<string> = fc.oneof(
  // A right request with some characters replaced.
  fc
    .array(
      fc.tuple(fc.nat(right.length - 1), fc.constantFrom('', '\r\n', ' ', '\0', ':', 'x', '0', '\xff')),
      { minLength: 1, maxLength: 4 },
    )
    .map((changes) => changes.reduce((text, [at, by]) => text.slice(0, at) + by + text.slice(at + 1), right)),
  fc.nat(right.length).map((length) => right.slice(0, length)),
  fc.string({ maxLength: 60 }),
  fc.constantFrom(
    `POST /v1/completions HTTP/1.1\r\n${headers}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
    `POST /v1/completions HTTP/1.1\r\n${headers}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc`,
    `POST /v1/completions HTTP/1.1\r\n${headers}Content-Length: 99999999999\r\n\r\n{}`,
    `GET /${'a'.repeat(100_000)} HTTP/1.1\r\n${headers}\r\n`,
    `GET /v1/models HTTP/9.9\r\n${headers}\r\n`,
    `GET http://other.example/v1/models HTTP/1.1\r\n${headers}\r\n`,
    `CONNECT a:1 HTTP/1.1\r\n${headers}\r\n`,
  ),
)

describe('bytes on the socket', () => {
  test('a right request is answered', async () => {
    expect(await sendBytes(right, false)).toMatch(/^HTTP\/1\.1 200 /)
  })

  test.skipIf(runtime.name !== 'node')(
    'a connection is kept for a minute (skipped in Deno, which decides itself)',
    async () => {
      const { headers } = await fetch(`http://127.0.0.1:${port}/health`)
      expect(headers.get('keep-alive')).toBe('timeout=60')
    },
  )

  law(
    'no bytes make the server fail or hang: it answers below 500, or closes',
    { bytes: someBytes },
    async ({ bytes }) => {
      const answer = await sendBytes(bytes, true)
      if (answer !== '') expect(answer).toMatch(/^HTTP\/1\.[01] [1-4]\d\d /)
      expect((await client.models.list()).data.length).toBe(1)
    },
    { runs: casesAtTier(25, 400) },
  )
})

// ---- Connections and bodies that stay ---------------------------------------------------------------------------------

/** A connection that sends bytes when it is told to. */
interface Raw {
  send(bytes: string): Promise<void>
  /** What has come so far. */
  readonly text: string
  /** What came until the server closed. */
  readonly ended: Promise<string>
  destroy(): void
}

async function connect(to: number): Promise<Raw> {
  const socket = createConnection({ port: to, host: '127.0.0.1' })
  let text = ''
  socket.on('data', (data) => (text += data.toString('latin1')))
  socket.on('error', () => {})
  const ended = new Promise<string>((resolve) => socket.on('close', () => resolve(text)))
  await new Promise((resolve) => socket.once('connect', resolve))
  return {
    send: (bytes) => new Promise((resolve) => socket.write(bytes, 'latin1', () => resolve())),
    get text() {
      return text
    },
    ended,
    destroy: () => socket.destroy(),
  }
}

const half = right.slice(0, -10)
const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setTimeout(resolve, 5))
}

describe.skipIf(isRest)('what stays on the socket', () => {
  const isLimited = lawAlways(
    'connections past the limit are refused with a code that clients try again, until others end',
    async (opens: (connections: number) => ReturnType<typeof open>) => {
      const few = await opens(2)
      const held = await Promise.all([connect(few.port), connect(few.port)])
      for (const one of held) await one.send(half)
      const late = new OpenAI({ baseURL: few.url, apiKey: 'secret', maxRetries: 0 })
      const refused = async (): Promise<unknown> =>
        late.models.list().then(
          () => null,
          (error: unknown) => (error instanceof APIError ? [error.status, error.code] : error),
        )
      await expect.poll(refused).toEqual([503, 'CONNECTIONS'])
      for (const one of held) await one.send(right.slice(-10))
      for (const one of held) expect(await one.ended).toMatch(/^HTTP\/1\.1 200 /)
      await expect.poll(refused).toBe(null)
    },
  )
  stateLaw(isLimited, (connections) => open(server, connections))
  test('a server without a limit is found', () => kills(isLimited, () => open(server, 512)))
  test('a server that allows one connection more is found', () =>
    kills(isLimited, (connections) => open(server, connections + 1)))

  test.skipIf(runtime.name !== 'node')(
    'a connection past the limit that asks nothing is closed (skipped in Deno, which does not tell of connections)',
    async () => {
      const few = await open(server, 1)
      const told = await Promise.all(Array.from({ length: 1 + 64 }, () => connect(few.port)))
      // As many are told that they are past the limit; the next one is closed at once, before any of them.
      const last = await connect(few.port)
      const ends = [last, ...told].map((one, i) => one.ended.then((text) => [i, text]))
      expect(await Promise.race(ends)).toEqual([0, ''])
      await Promise.all(ends.filter((_, i) => i !== 1))
      for (const one of told) one.destroy()
    },
  )

  test('a body that stalls is refused, and one that was held up with the event loop is not', async () => {
    // Longer than a busy machine takes from one part to the next.
    const part = 1000
    const { port: at } = await open(
      serverOf(opt, { apiKey: 'secret', bodyPatience: { whole: 60_000, part } }),
    )
    const stalled = await connect(at)
    await stalled.send(half)
    // Node closes the connection then; Deno waits for the rest of the body.
    await expect
      .poll(() => stalled.text, { timeout: 20_000 })
      .toMatch(/^HTTP\/1\.1 408 [^]*"code":"BODY_TIME"/)
    stalled.destroy()
    const busy = await connect(at)
    await busy.send(half)
    await turns(4)
    // As steps of a model do: timers come next, before what is on the socket.
    await nextTurn()
    const sent = busy.send(right.slice(-10))
    const until = performance.now() + 1.5 * part
    while (performance.now() < until);
    await sent
    expect(await busy.ended).toMatch(/^HTTP\/1\.1 200 /)
  })

  test('a body that trickles is refused when its time is over', async () => {
    const { port: at } = await open(
      serverOf(opt, { apiKey: 'secret', bodyPatience: { whole: 100, part: 60_000 } }),
    )
    const slow = await connect(at)
    await slow.send(half)
    const timer = setInterval(() => void slow.send(' '), 20)
    const text = await slow.ended
    clearInterval(timer)
    expect(text).toMatch(/^HTTP\/1\.1 408 [^]*"code":"BODY_TIME"/)
  })
})

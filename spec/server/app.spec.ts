/**
 * Routes, keys, origins, chats, streams that fail or are left, and metrics.
 *
 * Tests src/server/answers.ts, src/server/metrics.ts and src/server/text_service.ts.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { ShadowModel } from '../../src/library/index.ts'
import { chatMl, writeChatModel } from '../library/chat_model.ts'
import { amounts, MAX_BODIES } from '../../src/server/amounts.ts'
import { ask, complete, eventsOf, requestOf, serverOf, type Completion, type Refused } from './served.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-server-'))
afterAll(() => rmSync(folder, { recursive: true }))
await writeChatModel(join(folder, 'model'))
const chatty = await ShadowModel.fromPretrained(join(folder, 'model'))
const opt = await ShadowModel.fromPretrained()
afterAll(() => Promise.all([opt.dispose(), chatty.dispose()]))
const server = serverOf(opt)
const chatServer = serverOf(chatty, { name: 'chatty' })

describe('routes', () => {
  test('the model is listed, by its name for clients', async () => {
    const { json } = await ask<{ data: { id: string; max_model_len: number }[] }>(server, '/v1/models')
    expect(json.data).toMatchObject([{ id: 'tiny-opt', object: 'model', max_model_len: 256 }])
    expect((await ask(server, '/v1/models/tiny-opt')).json).toMatchObject({ id: 'tiny-opt' })
    expect((await ask<Refused>(server, '/v1/models/other')).json.error.code).toBe('MODEL')
  })

  test('times of creation are whole seconds that have begun', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_900 })
    try {
      const own = serverOf(opt)
      const models = await ask<{ data: { created: number }[] }>(own, '/v1/models')
      const body = { prompt: 'a', max_tokens: 1 }
      const completion = await ask<{ created: number }>(own, '/v1/completions', body)
      expect([models.json.data[0].created, completion.json.created]).toEqual([1_700_000_000, 1_700_000_000])
    } finally {
      vi.useRealTimers()
    }
  })

  test.each([
    '/',
    '/etc/passwd',
    '/v1/completions/../../etc/passwd',
    '/%2e%2e/%2e%2e/etc/passwd',
    '//etc/passwd',
    '/v1/',
  ])('no file is behind %s', async (path) => {
    const { status, json } = await ask<Refused>(server, path)
    expect([status, json.error.code]).toEqual([404, 'ROUTE'])
  })

  test('a path that is none is refused by its name, of which a long one is cut', async () => {
    const { json } = await ask<Refused>(server, `/v1/responses${'x'.repeat(100)}`)
    expect(json.error.message).toMatch(/^path: expected one of .*, got GET \/v1\/responsesx{67}$/)
  })

  test.each([
    ['/chat/completions', '/v1/chat/completions'],
    ['/v1/v1/completions', '/v1/completions'],
    ['/models', '/v1/models'],
    ['/v1/tokenize', '/tokenize'],
    ['/v1/models/', '/v1/models'],
    ['/v1/responses', null],
    ['/v1/', null],
  ])('%s is refused with the path that is meant: %s', async (path, meant) => {
    const { status, json } = await ask<Refused>(server, path, {})
    expect([status, json.error.code]).toEqual([404, 'ROUTE'])
    const [, hint = null] = /, got POST \S+ \(did you mean (.*)\?\)$/.exec(json.error.message) ?? []
    expect(hint).toBe(meant)
  })

  test('another method is refused with those that are allowed', async () => {
    const { status, headers, json } = await ask<Refused>(server, '/v1/completions')
    expect([status, headers.get('allow'), json.error.code]).toEqual([405, 'POST', 'METHOD'])
    expect((await ask(server, '/health', undefined, { method: 'PUT' })).status).toBe(405)
  })

  test('a body of another type is refused, so that no page can send one unasked', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonx', '']) {
      const init = { method: 'POST', body: '{"prompt":"a"}', headers: { 'content-type': type } }
      const { status, json } = await ask<Refused>(server, '/v1/completions', undefined, init)
      expect([status, json.error.code]).toEqual([415, 'CONTENT_TYPE'])
    }
  })

  test('text and ids go back and forth', async () => {
    const { json } = await ask<{ tokens: number[]; count: number }>(server, '/tokenize', {
      prompt: 'The captain',
    })
    expect(json.tokens).toEqual(opt.encode('The captain', { prefix: true }))
    expect(json.count).toBe(json.tokens.length)
    const plain = await ask<{ tokens: number[] }>(server, '/tokenize', {
      prompt: 'The captain',
      add_special_tokens: false,
    })
    expect(plain.json.tokens).toEqual(opt.encode('The captain'))
    const back = await ask<{ prompt: string }>(server, '/detokenize', { tokens: plain.json.tokens })
    expect(back.json.prompt).toBe('The captain')
  })

  test('a special token is found by its whole spelling, and is no part of a longer text', async () => {
    const ids = async (prompt: string): Promise<number[]> =>
      (await ask<{ tokens: number[] }>(server, '/tokenize', { prompt, add_special_tokens: false })).json
        .tokens
    const { json } = await ask<{ eos_token: string }>(server, '/tokenizer_info')
    expect(await ids(json.eos_token)).toEqual([opt.config.eosIds[0]])
    expect(await ids(`a${json.eos_token}`)).not.toContain(opt.config.eosIds[0])
  })
})

test('the tokenizer is described as the model has it', async () => {
  const { json } = await ask<object>(chatServer, '/tokenizer_info')
  expect(json).toEqual({
    bos_token: '<|im_start|>',
    eos_token: '<|im_end|>',
    pad_token: null,
    unk_token: null,
    add_bos_token: chatty.prefixIds.length > 0,
    vocab_size: chatty.tokenizer?.vocabularySize,
    model_max_length: 400,
    chat_template: chatMl,
  })
  const plain = (await ask<object>(server, '/tokenizer_info')).json
  expect(plain).toMatchObject({
    chat_template: null,
    bos_token: '</s>',
    eos_token: '</s>',
    add_bos_token: true,
  })
})

describe('who may ask', () => {
  const guarded = serverOf(opt, { apiKey: 'secret' })
  const withKey = (authorization: string): RequestInit => ({ headers: { authorization } })
  test('without the key nothing is answered but the health', async () => {
    for (const path of ['/v1/models', '/metrics', '/tokenizer_info', '/v1/completions', '/nothing']) {
      const { status, headers, json } = await ask<Refused>(guarded, path)
      expect([status, json.error.code, headers.get('www-authenticate')]).toEqual([401, 'API_KEY', 'Bearer'])
      expect(json.error.message).toContain('got none')
    }
    for (const wrong of ['secret', 'Bearer', 'Bearer secre', 'Bearer secrets', 'Basic secret']) {
      const { status, json } = await ask<Refused>(guarded, '/v1/models', undefined, withKey(wrong))
      expect([status, json.error.message], wrong).toEqual([401, expect.stringContaining('got another')])
    }
    expect((await ask(guarded, '/health')).status).toBe(200)
    expect((await ask(guarded, '/v1/models', undefined, withKey('Bearer secret'))).status).toBe(200)
  })

  test.each([
    ['localhost', 200],
    ['localhost:8080', 200],
    ['127.0.0.1:8080', 200],
    ['[::1]:8080', 200],
    ['LOCALHOST', 200],
    ['rebound.example', 403],
    ['localhost.example:8080', 403],
    ['127.0.0.1.example', 403],
    ['192.168.0.7:8080', 403],
  ])('the host %s of a server of this machine alone is answered with %i', async (host, status) => {
    const answer = await ask<Refused>(server, '/tokenizer_info', undefined, { headers: { host } })
    expect(answer.status).toBe(status)
    if (status === 403) expect(answer.json.error.code).toBe('HOST')
    for (const open of [{ isLocal: false }, { origins: [`https://${host}`] }])
      expect(
        (await ask(serverOf(opt, open), '/tokenizer_info', undefined, { headers: { host } })).status,
      ).toBe(200)
  })

  test('bodies that do not end take a bounded memory together, and give it back', async () => {
    const many = serverOf(opt)
    const stop = new AbortController()
    /** Sends a body but for its end, which does not come. */
    const send = (): { answer: Promise<number>; sent: Promise<void> } => {
      let rest = amounts.bytes.most
      let tell = (): void => {}
      const sent = new Promise<void>((resolve) => (tell = resolve))
      const body = new ReadableStream<Uint8Array>({
        start: (controller) =>
          stop.signal.addEventListener('abort', () => controller.error(stop.signal.reason)),
        pull: (controller) => {
          if (rest === 0) return tell()
          controller.enqueue(new Uint8Array(2 ** 20).fill(0x20))
          rest -= 2 ** 20
        },
      })
      const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body, duplex: 'half' }
      const request = new Request('http://localhost/v1/completions', init as RequestInit)
      return {
        sent,
        answer: Promise.resolve(many.fetch(request)).then(
          ({ status }) => status,
          () => 0,
        ),
      }
    }
    const hanging = Array.from({ length: MAX_BODIES / amounts.bytes.most }, send)
    await Promise.all(hanging.map(({ sent }) => sent))
    const { status, json } = await ask<Refused>(many, '/v1/completions', { prompt: [5], max_tokens: 1 })
    expect([status, json.error.code]).toEqual([503, 'BODIES'])
    stop.abort()
    await Promise.all(hanging.map(({ answer }) => answer))
    expect((await ask(many, '/v1/completions', { prompt: [5], max_tokens: 1 })).status).toBe(200)
  })

  test('pages of other sites are refused unless their origin was allowed', async () => {
    const from = (origin: string): RequestInit => ({ headers: { origin } })
    const { status, json, headers } = await ask<Refused>(
      server,
      '/v1/models',
      undefined,
      from('https://a.example'),
    )
    expect([status, json.error.code, headers.get('access-control-allow-origin')]).toEqual([
      403,
      'ORIGIN',
      null,
    ])
    expect(json.error.message).toContain('(--cors)')
    const open = serverOf(opt, { origins: ['https://a.example'] })
    const allowed = await ask(open, '/v1/models', undefined, from('https://a.example'))
    expect([allowed.status, allowed.headers.get('access-control-allow-origin')]).toEqual([
      200,
      'https://a.example',
    ])
    expect((await ask(open, '/v1/models', undefined, from('https://b.example'))).status).toBe(403)
    const asked = {
      method: 'OPTIONS',
      headers: { origin: 'https://a.example', 'access-control-request-method': 'POST' },
    }
    const preflight = await open.fetch(requestOf('/v1/completions', undefined, asked))
    expect([preflight.status, preflight.headers.get('access-control-allow-methods')]).toEqual([
      204,
      expect.stringContaining('POST'),
    ])
    const all = serverOf(opt, { origins: ['*'], apiKey: 'secret' })
    expect((await all.fetch(requestOf('/v1/completions', undefined, asked))).status).toBe(204)
  })
})

describe('chats', () => {
  const messages = [{ role: 'user', content: 'once' }]
  interface Chat {
    readonly choices: readonly {
      readonly message: { readonly role: string; readonly content: string }
      readonly finish_reason: string
    }[]
    readonly usage: Completion['usage']
  }

  test('an answer is that of the library, whole and as a stream', async () => {
    let text = ''
    for await (const step of chatty.chat(messages, { maxTokens: 8, temperature: 1, seed: 5 }))
      text += step.text
    const body = { model: 'chatty', messages, max_tokens: 8, temperature: 1, seed: 5 }
    const { json } = await ask<Chat>(chatServer, '/v1/chat/completions', body)
    expect(json.choices[0].message).toEqual({ role: 'assistant', content: text, refusal: null })
    const { ids } = await chatty.chatPrompt(messages)
    expect(json.usage.prompt_tokens).toBe(ids.length)
    const response = await chatServer.fetch(requestOf('/v1/chat/completions', { ...body, stream: true }))
    const events = (await eventsOf(response)) as ({
      choices: { delta: { role?: string; content?: string } }[]
    } | null)[]
    expect(events.at(-1)).toBe(null)
    expect(events[0]?.choices[0].delta.role).toBe('assistant')
    expect(events.map((event) => event?.choices[0].delta.content ?? '').join('')).toBe(text)
  })

  test('what a request leaves open of how tokens are drawn is as the model has it, and a greedy answer is not', async () => {
    const generation = { temperature: 0.5, top_k: 7, top_p: 0.9, min_p: 0.01, repetition_penalty: 1.4 }
    await writeChatModel(join(folder, 'drawing'), { generation })
    const drawing = await ShadowModel.fromPretrained(join(folder, 'drawing'))
    const own = { temperature: 0.5, topK: 7, topP: 0.9, minP: 0.01, repetitionPenalty: 1.4 }
    expect(drawing.sampling).toEqual(own)
    const service = serverOf(drawing)
    const pairs: [Record<string, unknown>, object][] = [
      [{}, own],
      [
        { temperature: null, top_k: 3 },
        { ...own, topK: 3 },
      ],
      [
        { temperature: 2, top_p: 1, repetition_penalty: 1 },
        { ...own, temperature: 2, topP: 1, repetitionPenalty: 1 },
      ],
      [{ temperature: 0 }, { temperature: 0 }],
      [
        { presence_penalty: 2, frequency_penalty: 1.5, logit_bias: { 7: 3 } },
        { ...own, presencePenalty: 2, frequencyPenalty: 1.5, logitBias: { 7: 3 } },
      ],
    ]
    const texts = new Set<string>()
    for (const [fields, options] of pairs) {
      let text = ''
      for await (const step of drawing.chat(messages, { maxTokens: 24, seed: 5, ...options }))
        text += step.text
      const body = { messages, max_tokens: 24, seed: 5, ...fields }
      const { json } = await ask<Chat>(service, '/v1/chat/completions', body)
      expect(json.choices[0].message.content, JSON.stringify(fields)).toBe(text)
      texts.add(text)
    }
    expect(texts.size).toBe(pairs.length)
    await drawing.dispose()
  })

  test('a role that is none, an image and an effort are refused with words that help', async () => {
    const refused = async (body: Record<string, unknown>): Promise<[string, string | null]> => {
      const { json } = await ask<Refused>(chatServer, '/v1/chat/completions', { max_tokens: 1, ...body })
      return [json.error.message, json.error.param]
    }
    const image = { type: 'image_url', image_url: { url: 'data:,' } }
    expect(
      await refused({ messages: [{ role: 'user', content: [{ type: 'text', text: 'a' }, image] }] }),
    ).toEqual([
      'messages.0.content: expected text, or a list of parts of text, as image_url is not supported, got a list',
      'messages',
    ])
    expect(await refused({ messages: [{ role: 'wizard', content: 'a' }] })).toEqual([
      'message 0: expected a role that is one of system, developer, user, assistant, tool, function, got the text wizard',
      'messages',
    ])
    expect(await refused({ messages, reasoning_effort: 'low' })).toEqual([
      expect.stringContaining('{"enable_thinking":false}'),
      'reasoning_effort',
    ])
    expect(await refused({ messages, verbosity: 'low' })).toEqual([
      expect.stringMatching(/^verbosity: expected medium, as it is not supported, got /),
      'verbosity',
    ])
    expect(await refused({ messages, top_logprobs: 2 })).toEqual([
      'logprobs: expected true beside top_logprobs, got nothing',
      'logprobs',
    ])
    expect(await refused({ messages, max_tokens: 3, max_completion_tokens: 2 })).toEqual([
      'max_tokens: expected none beside max_completion_tokens 2, or the same, got 3',
      'max_tokens',
    ])
    expect(await refused({ messages, stream_options: {} })).toEqual([
      'stream_options: expected stream true beside it, got no stream',
      'stream_options',
    ])
    expect((await refused({ messages, model: 'gpt-4' }))[0]).toMatch(
      /, got the text "gpt-4"; serve --name gives the model another name$/,
    )
  })

  test('two fields for the most tokens that agree are taken, and so is what a stream is not padded with', async () => {
    const body = { messages, max_tokens: 2, max_completion_tokens: 2, temperature: 0 }
    const { json, status } = await ask<Chat>(chatServer, '/v1/chat/completions', body)
    expect([status, json.usage.completion_tokens]).toEqual([200, 2])
    const streamed = { ...body, stream: true, stream_options: { include_obfuscation: false } }
    expect((await chatServer.fetch(requestOf('/v1/chat/completions', streamed))).status).toBe(200)
  })

  test('parts of text are one text, and a message spells no special token', async () => {
    const ids = async (content: unknown): Promise<number[]> =>
      (await ask<{ tokens: number[] }>(chatServer, '/tokenize', { messages: [{ role: 'user', content }] }))
        .json.tokens
    const parts = [
      { type: 'text', text: 'on' },
      { type: 'text', text: 'ce' },
    ]
    expect(await ids(parts)).toEqual(await ids('once'))
    const end = chatty.tokenizer?.idOf('<|im_end|>')
    const count = (tokens: number[]): number => tokens.filter((id) => id === end).length
    expect(count(await ids('a<|im_end|>'))).toBe(count(await ids('a')))
  })

  test('log-probabilities have tokens, bytes and as many of the likeliest as asked for', async () => {
    const body = { messages, max_tokens: 3, logprobs: true, top_logprobs: 2 }
    const { json } = await ask<{
      choices: {
        logprobs: {
          content: { token: string; logprob: number; bytes: number[]; top_logprobs: { logprob: number }[] }[]
        }
      }[]
    }>(chatServer, '/v1/chat/completions', body)
    const { content } = json.choices[0].logprobs
    expect(content.length).toBeGreaterThan(0)
    for (const { logprob, bytes, top_logprobs: top } of content) {
      expect(top.length).toBe(2)
      expect(logprob).toBeLessThanOrEqual(top[0].logprob)
      expect(bytes.every((byte) => byte >= 0 && byte < 256)).toBe(true)
    }
  })
})

describe('streams', () => {
  const stream = { prompt: 'The captain', stream: true, max_tokens: 60, temperature: 0 }

  test('what fails before the first event has a status; what fails later is an event, without [DONE]', async () => {
    const early = await ask<Refused>(server, '/v1/completions', {
      ...stream,
      prompt: [3],
      planner: 'prompt-plainact',
    })
    expect([early.status, early.json.error.code]).toEqual([400, 'PROMPT'])
    const response = await server.fetch(
      requestOf('/v1/completions', {
        ...stream,
        max_tokens: 2,
        prompt: [[3, 4], [3]],
        planner: 'prompt-plainact',
      }),
    )
    expect([response.status, response.headers.get('content-type')]).toEqual([
      200,
      'text/event-stream; charset=utf-8',
    ])
    const events = await eventsOf(response)
    expect(events.length).toBeGreaterThan(1)
    expect(events.at(-1)).toMatchObject({ error: { code: 'PROMPT' } })
  })

  test('a client that leaves ends its work and frees its seat and its buffers', async () => {
    const alone = serverOf(opt, { seats: 1, queue: 0 })
    const before = opt.model.backend.liveBuffers
    for (const leaves of ['the reader', 'the signal'] as const) {
      const client = new AbortController()
      const response = await alone.fetch(
        requestOf('/v1/completions', stream, { ...postOf(stream), signal: client.signal }),
      )
      const reader = (response.body as ReadableStream<Uint8Array>).getReader()
      await reader.read()
      expect((await ask<Refused>(alone, '/v1/completions', stream)).json.error.code).toBe('QUEUE_FULL')
      if (leaves === 'the signal') client.abort()
      await reader.cancel()
      expect((await complete(alone, { ...stream, stream: false, max_tokens: 1 })).choices.length).toBe(1)
    }
    await alone.drain()
    expect(opt.model.backend.liveBuffers).toBe(before)
  })

  test('a request that is left while it waits is never run', async () => {
    const alone = serverOf(opt, { seats: 1, queue: 1 })
    const response = await alone.fetch(requestOf('/v1/completions', stream))
    const client = new AbortController()
    const waiting = alone.fetch(
      requestOf('/v1/completions', stream, { ...postOf(stream), signal: client.signal }),
    )
    await new Promise((resolve) => setTimeout(resolve, 20))
    // Node's bridge gives a text as the reason.
    client.abort('left')
    expect((await waiting).status).toBe(499)
    await response.body?.cancel()
    expect((await ask(alone, '/v1/completions', { ...stream, stream: false, max_tokens: 1 })).status).toBe(
      200,
    )
  })

  test('nothing is computed for a reader who does not read, and a stream that stalls is ended', async () => {
    const impatient = serverOf(opt, { seats: 1, queue: 1, stall: 30 })
    const response = await impatient.fetch(requestOf('/v1/completions', stream))
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    await reader.read()
    const metrics = async (): Promise<string> => (await impatient.fetch(requestOf('/metrics'))).text()
    expect(await metrics()).toContain('shadowllm_generated_tokens_total 1\n')
    // The seat goes to one who reads.
    expect(
      (await ask(impatient, '/v1/completions', { ...stream, stream: false, max_tokens: 1 })).status,
    ).toBe(200)
    const { value } = await reader.read()
    expect(new TextDecoder().decode(value)).toContain('"code":"STALLED"')
    expect((await reader.read()).done).toBe(true)
  })

  function postOf(body: object): RequestInit {
    return { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  }
})

describe('the queue and the end', () => {
  const long = { prompt: 'The captain', max_tokens: 40 }
  test('a full queue is a 429 with Retry-After', async () => {
    const small = serverOf(opt, { seats: 1, queue: 1 })
    const answers = await Promise.all([1, 2, 3].map(() => ask<Refused>(small, '/v1/completions', long)))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 429])
    expect(answers[2].headers.get('retry-after')).toBe('1')
    expect(answers[2].json.error.code).toBe('QUEUE_FULL')
  })

  test('requests at once have the texts that they have alone', async () => {
    const bodies = ['dense', 'random', 'shadow'].flatMap((planner) =>
      [1, 2].map((seed) => ({ ...long, max_tokens: 12, planner, seed })),
    )
    const alone: string[] = []
    for (const body of bodies) alone.push((await complete(server, body)).choices[0].text)
    const together = await Promise.all(bodies.map((body) => complete(server, body)))
    expect(together.map(({ choices }) => choices[0].text)).toEqual(alone)
  })

  test('a server that drains answers what it has taken and nothing more', async () => {
    const ending = serverOf(opt)
    const taken = ask(ending, '/v1/completions', long)
    await new Promise((resolve) => setTimeout(resolve, 5))
    const drained = ending.drain()
    const { status, json } = await ask<Refused>(ending, '/v1/completions', long)
    expect([status, json.error.code]).toEqual([503, 'DRAINING'])
    expect((await ask(ending, '/health')).status).toBe(503)
    expect((await taken).status).toBe(200)
    await drained
  })
})

test('metrics count requests, tokens, texts and what was skipped', async () => {
  const fresh = serverOf(opt)
  await complete(fresh, { prompt: [3, 4, 5], max_tokens: 2, n: 2 })
  await complete(fresh, { prompt: [3, 4, 5], max_tokens: 2, planner: 'random', sparsity: 0.5 })
  await ask(fresh, '/v1/completions', {})
  await ask(fresh, '/secret?key=1')
  for (const name of ['tiny-opt', 'secret']) await ask(fresh, `/v1/models/${name}`)
  const text = await (await fresh.fetch(requestOf('/metrics'))).text()
  const value = (name: string): number =>
    Number(new RegExp(`^shadowllm_${name.replace(/[{}"+]/g, '\\$&')} (.*)$`, 'm').exec(text)?.[1])
  expect(value('requests_total{path="/v1/completions",status="200"}')).toBe(2)
  expect(value('requests_total{path="/v1/completions",status="400"}')).toBe(1)
  expect(value('requests_total{path="other",status="404"}')).toBe(1)
  expect(value('requests_total{path="/v1/models/ID",status="200"}')).toBe(1)
  expect(value('requests_total{path="/v1/models/ID",status="404"}')).toBe(1)
  expect(value('prompt_tokens_total')).toBe(9)
  expect(value('generated_tokens_total')).toBe(6)
  expect(value('texts_total')).toBe(3)
  expect(value('skipped_share_sum{of="neurons"}')).toBeGreaterThan(0.3)
  expect(value('request_seconds_count')).toBe(2)
  expect(value('request_seconds_bucket{le="+Inf"}')).toBe(2)
  expect([value('active_requests'), value('queue_length')]).toEqual([0, 0])
  expect(text).not.toContain('secret')
  for (const line of text.split('\n').filter(Boolean))
    expect(line).toMatch(/^(# (HELP|TYPE) shadowllm_\w+ .+|shadowllm_\w+(\{[^}]*\})? [0-9.e+-]+)$/)
})

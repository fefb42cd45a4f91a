/**
 * Asks a server that a command has started what shows the effects of its flags, and ends it.
 */

import { createConnection, type Socket } from 'node:net'

/** Before any test replaces it by a hub without models. */
const realFetch = globalThis.fetch

/** What a server answered. */
export interface Served {
  readonly url: URL
  /** What it calls the model; null if it does not say. */
  readonly model: string | null
  /** The status of a request without a key. */
  readonly status: number
  /** The status of a request of a page of `https://a.example`. */
  readonly ofPage: number
  /** Some texts that were drawn. */
  readonly texts: readonly string[] | null
  /** The log-probabilities of an echoed prompt. */
  readonly scores: readonly (number | null)[] | null
  /** Whether a request that was asked before goes on from what is kept of it; null if it was refused. */
  readonly cached: boolean | null
  /** Of four long requests at once: how many compute and how many wait. */
  readonly crowd: readonly [active: number, queued: number] | null
  /** Whether a connection is refused beside four whose requests do not end. */
  readonly isFull: boolean | null
  /** The status of a long text that is to be tokenized. */
  readonly read: number | null
  /** The tokens of a chat, as the template writes it; null without a template. */
  readonly chat: number | null
  /** The status of a long request that was taken before the end; 0 if it was cut. */
  readonly last: number | null
}

interface Choice {
  readonly text: string
  readonly logprobs: { readonly token_logprobs: readonly (number | null)[] } | null
}

/** @param end presses ctrl-C */
export async function askServer(address: string, args: readonly string[], end: () => void): Promise<Served> {
  const url = new URL(address)
  const has = (flag: string): boolean => args.includes(flag)
  const post = (body: object, signal?: AbortSignal): Promise<Response> =>
    realFetch(new URL('/v1/completions', url), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal,
    })
  const choices = async (body: object): Promise<readonly Choice[] | null> => {
    const answer = (await (await post(body)).json()) as { choices?: Choice[] }
    return answer.choices ?? null
  }
  const long = { prompt: 'abcdef', max_tokens: 12, n: 128 }
  try {
    const models = await realFetch(new URL('/v1/models', url))
    const { data } = (await models.json()) as { data?: { id: string }[] }
    const page = await realFetch(new URL('/v1/models', url), { headers: { origin: 'https://a.example' } })
    await page.body?.cancel()
    const drawn = await choices({ prompt: 'abcdef', max_tokens: 12, temperature: 1.5, n: 2 })
    const echoed = await choices({ prompt: 'abcdef fedcba', max_tokens: 0, echo: true, logprobs: 0 })
    const cached = has('--kept') ? await isCached(post) : null
    // Few connections would refuse the crowd first.
    const crowd =
      has('--parallel') && !has('--connections') ? await gather(url, (signal) => post(long, signal)) : null
    const isFull = has('--connections') ? await isRefusedBesideFour(url) : null
    const read = has('--read') ? await tokenize(url, 'so it was '.repeat(5000)) : null
    const chat = has('--chat-template-kwargs') ? await chatTokens(url) : null
    let last: Promise<number> | null = null
    if (has('--drain')) {
      last = post(long).then(
        async (response) => (await response.arrayBuffer(), response.status),
        () => 0,
      )
      await untilLoad(url, ([active]) => active > 0)
    }
    end()
    return {
      url,
      model: data?.[0].id ?? null,
      status: models.status,
      ofPage: page.status,
      texts: drawn && drawn.map(({ text }) => text),
      scores: echoed && (echoed[0].logprobs?.token_logprobs ?? null),
      cached,
      crowd,
      isFull,
      read,
      chat,
      last: await last,
    }
  } finally {
    end()
  }
}

/** Asks twice. */
async function isCached(post: (body: object) => Promise<Response>): Promise<boolean | null> {
  let cached: number | undefined
  for (let i = 0; i < 2; i++) {
    const answer = await post({ prompt: 'abcdef', max_tokens: 1 })
    const { usage } = (await answer.json()) as {
      usage?: { prompt_tokens_details: { cached_tokens: number } }
    }
    cached = usage?.prompt_tokens_details.cached_tokens
  }
  return cached === undefined ? null : cached > 0
}

function askTokens(url: URL, body: object): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  return realFetch(new URL('/tokenize', url), { method: 'POST', headers, body: JSON.stringify(body) })
}

async function tokenize(url: URL, prompt: string): Promise<number> {
  const response = await askTokens(url, { prompt })
  await response.arrayBuffer()
  return response.status
}

async function chatTokens(url: URL): Promise<number | null> {
  const response = await askTokens(url, { messages: [{ role: 'user', content: 'abc' }] })
  const { count } = (await response.json()) as { count?: number }
  return count ?? null
}

/** Sends four requests at once and leaves them when each has its place. */
async function gather(
  url: URL,
  send: (signal: AbortSignal) => Promise<Response>,
): Promise<[active: number, queued: number]> {
  const clients = new AbortController()
  let refused = 0
  const sent = Array.from({ length: 4 }, () =>
    send(clients.signal).then(
      ({ status }) => void (refused += status === 429 ? 1 : 0),
      () => {},
    ),
  )
  const load = await untilLoad(url, ([active, queued]) => active + queued + refused === 4)
  clients.abort()
  await Promise.all(sent)
  return load
}

const TRIES = 20

async function isRefusedBesideFour(url: URL): Promise<boolean> {
  const head = 'HTTP/1.1\r\nHost: localhost\r\n'
  const sockets: Socket[] = []
  /** Sends a request on a connection of its own. @returns the answer, once the server closes */
  const send = (request: string): Promise<string> =>
    new Promise((resolve) => {
      const socket = createConnection({ port: Number(url.port), host: url.hostname })
      let text = ''
      sockets.push(socket.on('data', (data) => (text += String(data))))
      socket.on('error', () => {}).on('close', () => resolve(text))
      socket.write(request)
    })
  for (let i = 0; i < 4; i++)
    void send(`POST /tokenize ${head}Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{`)
  try {
    for (let i = 0; i < TRIES; i++)
      if ((await send(`GET /health ${head}Connection: close\r\n\r\n`)).includes(' 503 ')) return true
    return false
  } finally {
    for (const socket of sockets) socket.destroy()
  }
}

async function untilLoad(
  url: URL,
  holds: (load: [active: number, queued: number]) => boolean,
): Promise<[active: number, queued: number]> {
  for (;;) {
    const text = await (await realFetch(new URL('/metrics', url))).text()
    const value = (name: string): number =>
      Number(new RegExp(`^shadowllm_${name} (\\d+)$`, 'm').exec(text)?.[1])
    const load: [number, number] = [value('active_requests'), value('queue_length')]
    if (holds(load)) return load
  }
}

/**
 * Requests to the hub and to the hosts it redirects to. Every redirect is checked here.
 *
 * Invariants: the token is sent to the host of the hub only; HTTPS never redirects to HTTP; metadata of a model (its commit and
 * hashes) comes from the hub itself, and only content may come from other hosts; responses that are read into memory have a
 * limit; a connection without data for a while counts as dropped.
 */
import { runtime } from '../../platform/platform.ts'
import type { HubError } from '../../tensor/errors.ts'
import { TEXT_LIMIT } from '../files.ts'
import { hubRefusal, quote } from '../refusal.ts'
import { MAX_RETRY_AFTER, Patience, PassingFailure, type WaitBudget } from './patience.ts'
import type { HubSettings } from './settings.ts'

/** A request. */
interface HubRequest {
  /** Its name in errors. */
  readonly subject: string
  readonly headers?: Readonly<Record<string, string>>
  /** Whether only the hub itself may respond. */
  readonly hubOnly?: boolean
  readonly signal?: AbortSignal
}

/** A response whose body is not read yet. Read it to its end, or close it. */
export interface HubReply {
  readonly status: number
  readonly headers: Headers
  /** Its URL, if known. */
  readonly url: string
  /** The etag that the hub sent in a redirect; null if there is none. */
  readonly linkedEtag: string | null
  /** The body in chunks. @throws PassingFailure if the connection drops; the signal's reason */
  pieces(): AsyncGenerator<Uint8Array, void, void>
  close(): void
}

const inPage = runtime.name === 'browser'

const MAX_REDIRECTS = 5
const redirects = new Set([301, 302, 303, 307, 308])
/** Status codes of transient failures. */
const passing = new Set([408, 425, 429, 500, 502, 503, 504])

/** A client of the hub for one model. */
export class HubClient {
  readonly settings: HubSettings
  /** The address of the hub without a slash at its end. */
  readonly base: string
  readonly #budget: WaitBudget = { left: MAX_RETRY_AFTER }

  constructor(settings: HubSettings) {
    this.settings = settings
    this.base = settings.endpoint.href.replace(/\/+$/, '')
  }

  /** The retry state of a new request. */
  patience(signal: AbortSignal | undefined): Patience {
    return new Patience(this.settings.wait, this.#budget, signal)
  }

  /** The result of an action, which is repeated after a transient failure. @throws as `Patience.after` */
  async retry<T>(signal: AbortSignal | undefined, action: () => Promise<T>): Promise<T> {
    const patience = this.patience(signal)
    for (;;) {
      try {
        return await action()
      } catch (failure) {
        await patience.after(failure)
      }
    }
  }

  /** The URL of a file of a commit; each segment is encoded. */
  fileAddress(id: string, commit: string, name: string): URL {
    const segments = `${id}/resolve/${commit}/${name}`.split('/')
    return new URL(`${this.base}/${segments.map(encodeURIComponent).join('/')}`)
  }

  /**
   * Opens a URL and follows redirects.
   * @throws PassingFailure for a transient failure; HubError HUB_NOT_FOUND, HUB_ACCESS, HUB_STATUS,
   *   HUB_REDIRECT; the signal's reason
   */
  async open(address: URL, request: HubRequest): Promise<HubReply> {
    const { subject } = request
    let url = address
    let linkedEtag: string | null = null
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const atHub = this.#isHub(url)
      if (request.hubOnly && !atHub)
        throw hubRefusal('HUB_REDIRECT', subject, `a response from ${this.settings.endpoint.host}`, url.host)
      const reply = await this.#send(url, atHub, request)
      if (request.hubOnly && reply.url !== '' && !this.#isHub(new URL(reply.url)))
        throw hubRefusal('HUB_REDIRECT', subject, `a response from ${this.settings.endpoint.host}`, reply.url)
      if (atHub) linkedEtag = reply.headers.get('x-linked-etag') ?? linkedEtag
      if (reply.status === 200 || reply.status === 206) return { ...reply, linkedEtag }
      reply.close()
      if (!redirects.has(reply.status)) throw failureOf(reply, url, subject, this.settings.now())
      url = judgeRedirect(url, reply.headers.get('location'), subject)
    }
    throw hubRefusal('HUB_REDIRECT', subject, `at most ${MAX_REDIRECTS} redirects`, 'more')
  }

  /**
   * `fetch` for the API client: complete JSON of the hub itself, with retries. The token is added here; the client does not
   * have it.
   */
  factFetch(subject: string, signal: AbortSignal | undefined): typeof fetch {
    return async (input) => {
      const address = new URL(input instanceof Request ? input.url : input)
      return this.retry(signal, () => this.#fact(address, { subject, signal, hubOnly: true }))
    }
  }

  async #fact(address: URL, request: HubRequest): Promise<Response> {
    const reply = await this.open(address, { ...request, headers: { accept: 'application/json' } })
    try {
      const type = reply.headers.get('content-type') ?? 'nothing'
      if (!/^application\/json\b/i.test(type))
        throw hubRefusal('HUB_ANSWER', request.subject, 'JSON', quote(type))
      const parts: Uint8Array[] = []
      let length = 0
      for await (const piece of reply.pieces()) {
        length += piece.length
        if (length > TEXT_LIMIT)
          throw hubRefusal('HUB_ANSWER', request.subject, `at most ${TEXT_LIMIT} bytes`, 'more')
        parts.push(piece)
      }
      const link = reply.headers.get('link')
      return new Response(new Blob(parts as BlobPart[]), { headers: link === null ? {} : { link } })
    } finally {
      reply.close()
    }
  }

  async #send(url: URL, atHub: boolean, request: HubRequest): Promise<HubReply> {
    const { signal, subject } = request
    const { token, stallAfter } = this.settings
    const end = new AbortController()
    const stop = AbortSignal.any(signal ? [signal, end.signal] : [end.signal])
    const guarded = async <T>(action: () => Promise<T>): Promise<T> => {
      const timer = setTimeout(() => end.abort(new Error('no data')), stallAfter)
      try {
        return await action()
      } catch (error) {
        signal?.throwIfAborted()
        throw new PassingFailure(dropped(error, url, subject))
      } finally {
        clearTimeout(timer)
      }
    }
    const response = await guarded(() =>
      fetch(url, {
        // A page cannot see redirects. It has no token, and hashes are checked.
        redirect: inPage ? 'follow' : 'manual',
        signal: stop,
        headers: {
          // A range of a compressed file is useless. Browsers set these headers themselves.
          ...(!inPage && { 'accept-encoding': 'identity', 'user-agent': 'shadowllm' }),
          ...request.headers,
          ...(atHub && token !== null && { authorization: `Bearer ${token}` }),
        },
      }),
    )
    const close = (): void => end.abort(new Error('closed'))
    async function* pieces(): AsyncGenerator<Uint8Array, void, void> {
      const reader = response.body?.getReader()
      try {
        for (;;) {
          const { done = true, value } = (await guarded(async () => reader?.read())) ?? {}
          if (done || value === undefined) return
          yield value
        }
      } finally {
        close()
      }
    }
    return {
      status: response.status,
      headers: response.headers,
      url: response.url,
      linkedEtag: null,
      pieces,
      close,
    }
  }

  #isHub({ href }: URL): boolean {
    return href.startsWith(`${this.base}/`)
  }
}

/** The target of a redirect. @throws HubError HUB_REDIRECT */
function judgeRedirect(from: URL, location: string | null, subject: string): URL {
  const to = location !== null && URL.canParse(location, from.href) ? new URL(location, from.href) : null
  const safe = to !== null && (to.protocol === 'https:' || to.protocol === from.protocol)
  if (safe && to.username === '' && to.password === '') return to
  const expected = `a redirect to another ${from.protocol.slice(0, -1)} address`
  throw hubRefusal('HUB_REDIRECT', subject, expected, location === null ? 'nothing' : quote(location))
}

function dropped(error: unknown, { host }: URL, subject: string): HubError {
  const { cause, message } = error as Error & { cause?: { code?: unknown; message?: unknown } }
  const words = String(cause?.code ?? cause?.message ?? message)
  const expected = `an answer of ${host}`
  const isUnfound = words === 'ENOTFOUND' || words === 'EAI_AGAIN'
  const got = `${quote(words).slice(1, -1)}${isUnfound ? ' (no network, or no such host)' : ''}`
  return hubRefusal('HUB_NETWORK', subject, expected, got, { cause: error })
}

/** The error of an unsuccessful response. */
function failureOf(
  { status, headers }: Pick<HubReply, 'status' | 'headers'>,
  url: URL,
  subject: string,
  now: number,
): HubError | PassingFailure {
  const said = headers.get('x-error-code') ?? ''
  if (passing.has(status)) {
    const retryAfter = readRetryAfter(headers.get('retry-after'), now)
    const asked = retryAfter === null ? '' : `, which asks to wait ${Math.ceil(retryAfter / 1000)} s`
    const code = status === 429 ? 'HUB_BUSY' : 'HUB_STATUS'
    const reason = hubRefusal(code, subject, `a response from ${url.host}`, `status ${status}${asked}`)
    return new PassingFailure(reason, retryAfter)
  }
  if (status === 404 || said === 'RevisionNotFound')
    return hubRefusal('HUB_NOT_FOUND', subject, `a resource at ${url.host}`, `status ${status}`)
  if (status === 401 || status === 403) {
    const got = `status ${status}: there is no such model, or it is private or gated; HF_TOKEN authenticates`
    return hubRefusal('HUB_ACCESS', subject, 'a model that may be read', got)
  }
  return hubRefusal('HUB_STATUS', subject, `a response from ${url.host}`, `status ${status}`)
}

/** The milliseconds of a `retry-after` header: seconds or a date; null for neither. */
function readRetryAfter(text: string | null, now: number): number | null {
  if (text === null) return null
  if (/^\s*\d+\s*$/.test(text)) return Number(text) * 1000
  const date = Date.parse(text)
  return Number.isNaN(date) ? null : Math.max(0, date - now)
}

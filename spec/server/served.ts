/**
 * A server without a socket, for tests: requests go in, answers come out.
 */
import { createServer, type Server, type ServerOptions } from '../../src/server/app.ts'
import type { CompletionLogprobs } from '../../src/server/token_texts.ts'
import type { CheckCounts, ShadowModel } from '../../src/library/index.ts'

/** Options that a test may leave out. */
const usualOptions: ServerOptions = {
  name: 'tiny-opt',
  planning: { planner: 'dense' },
  maskTokens: 8,
  readTime: 60_000,
  keptBytes: 2 ** 26,
  stall: 60_000,
  seats: 16,
  queue: 64,
  apiKey: null,
  origins: [],
  isLocal: true,
  report: (error) => {
    throw error
  },
}

/** Makes a server of a model. */
export function serverOf(model: ShadowModel, options: Partial<ServerOptions> = {}): Server {
  return createServer(model, { ...usualOptions, ...options })
}

/** A body as a client sends it. */
export type Body = Readonly<Record<string, unknown>> | Uint8Array | string

/** A request. */
export function requestOf(path: string, body?: Body, init: RequestInit = {}): Request {
  const sent =
    body === undefined
      ? {}
      : {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body:
            typeof body === 'string' || body instanceof Uint8Array
              ? (body as BodyInit)
              : JSON.stringify(body),
        }
  return new Request(`http://localhost${path}`, { ...sent, ...init })
}

/** An answer as a client reads it. */
export interface Answer<Json = unknown> {
  readonly status: number
  readonly headers: Headers
  readonly json: Json
}

/** An error as a client reads it. */
export interface Refused {
  readonly error: {
    readonly message: string
    readonly type: string
    readonly param: string | null
    readonly code: string
  }
}

/** One text of an answer. */
export interface AnsweredChoice {
  readonly index: number
  readonly text: string
  readonly logprobs: CompletionLogprobs | null
  readonly finish_reason: string
  readonly seed: number
  readonly skipped: { readonly heads: number; readonly neurons: number; readonly weights: number }
  readonly decisions: number
  readonly checked?: CheckCounts
}

/** An answer of `/v1/completions`. */
export interface Completion {
  readonly choices: readonly AnsweredChoice[]
  readonly usage: {
    readonly prompt_tokens: number
    readonly completion_tokens: number
    readonly total_tokens: number
    readonly prompt_tokens_details: { readonly cached_tokens: number }
  }
}

/** Asks and reads the whole answer. */
export async function ask<Json>(
  server: Server,
  path: string,
  body?: Body,
  init?: RequestInit,
): Promise<Answer<Json>> {
  const response = await server.fetch(requestOf(path, body, init))
  const json = (await response.json()) as Json
  return { status: response.status, headers: response.headers, json }
}

/** Asks for completions that are not refused. @throws Error with the refusal */
export async function complete(server: Server, body: Body): Promise<Completion> {
  const { status, json } = await ask<Completion>(server, '/v1/completions', body)
  if (status !== 200) throw new Error(`${status}: ${JSON.stringify(json)}`)
  return json
}

/** The events of a stream, `[DONE]` as null. @throws Error for bytes that are no events */
export async function eventsOf(response: Response): Promise<unknown[]> {
  const text = await response.text()
  return text
    .split('\n\n')
    .slice(0, -1)
    .map((event) => {
      if (!event.startsWith('data: ') || event.includes('\n')) throw new Error(`no event: ${event}`)
      return event === 'data: [DONE]' ? null : (JSON.parse(event.slice(6)) as unknown)
    })
}

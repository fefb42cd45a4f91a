/**
 * The server as a function from requests to answers: routes, keys, origins, and errors in the form of the OpenAI API.
 *
 * Nothing of a request names a file: paths are compared with the routes below and with nothing else.
 */
import { Hono, type Context } from 'hono'
import { cors } from 'hono/cors'
import { timingSafeEqual } from 'hono/utils/buffer'
import type { TemplateVariables } from '../io/template_variables.ts'
import type { ShadowModel } from '../library/shadow_model.ts'
import { isLoopback } from '../platform/loopback.ts'
import { HeldBytes, type BodyPatience } from './body_bytes.ts'
import { SequenceStore } from './sequence_store.ts'
import { Metrics } from './metrics.ts'
import { KEY_VARIABLE, refusalOf } from './refusals.ts'
import { RequestError } from './request_error.ts'
import { Readers } from './readers.ts'
import { expectModel, type Reading } from './reading.ts'
import { takeBody, type BodyName } from './requests.ts'
import { Scheduler, type Limits } from './scheduler.ts'
import { TextService, type BegunAnswer, type EndedAnswer, type ServiceOptions } from './text_service.ts'
import { spellToken } from './token_texts.ts'

/** Characters of a path that a refusal repeats. */
const MAX_PATH = 80

/** Where models are listed. */
const MODELS = '/v1/models'

/** How a server answers. */
export interface ServerOptions extends ServiceOptions, Limits {
  /** Variables of the chat template that a request does not set; default none. */
  readonly variables?: TemplateVariables
  /** The most bytes of keys and values that are kept for later requests, of as many texts as there are seats; 0 keeps none. */
  readonly keptBytes: number
  /** Milliseconds that reading the body of a request may take. */
  readonly readTime: number
  /** The key that clients must send; null for none. */
  readonly apiKey: string | null
  /** The origins of pages that may ask; `*` for all. */
  readonly origins: readonly string[]
  /**
   * Whether only names of this machine may be asked for, and those of origins: a page could let another name lead here (DNS
   * rebinding).
   */
  readonly isLocal: boolean
  /** How long bodies may take; default: a minute, and ten seconds without a byte. */
  readonly bodyPatience?: BodyPatience
}

/** The status of an answer that nobody waits for. */
const CLIENT_LEFT = 499

/** A server without its socket. */
export interface Server {
  /** Answers one request. Its signal is aborted when the client leaves. */
  fetch(request: Request): Response | Promise<Response>
  /** When the texts of a request have been answered that `fetch` has begun to answer; null for a request that has none, or was refused. */
  ended(request: Request): Promise<EndedAnswer> | null
  /** Makes ready what the first chat would wait for. */
  start(): void
  /** Refuses further requests, and those that are being read. @returns when the last one has been answered */
  drain(): Promise<void>
  /** Ends every request at its next step. */
  end(): void
}

/** The server of a model. @throws InputError TOKENIZER_MISSING */
export function createServer(model: ShadowModel, options: ServerOptions): Server {
  const { name, apiKey, origins, isLocal, variables = {} } = options
  const scheduler = new Scheduler(options)
  const metrics = new Metrics()
  const kept = new SequenceStore({ texts: options.seats, bytes: options.keptBytes })
  const texts = new TextService(model, options, scheduler, metrics, kept)
  const held = new HeldBytes(options.bodyPatience)
  const names = [name, model.name]
  const { tokenizer } = texts
  const { vocabulary, positions } = model.config
  const readers = new Readers(
    { tokenizer, chatTemplate: model.chatTemplate, variables, names, vocabulary, positions },
    scheduler,
    options.readTime,
  )
  const read = async <Name extends BodyName>(of: Name, request: Request): Promise<Reading[Name]> => {
    const bytes = await takeBody(request, held)
    try {
      return await readers.read(of, bytes, request.signal)
    } finally {
      held.add(-bytes.length)
    }
  }
  const endings = new WeakMap<Request, Promise<EndedAnswer>>()
  const begun = ({ req }: Context, { response, ended }: BegunAnswer): Response => {
    endings.set(req.raw, ended)
    return response
  }
  const app = new Hono()
  const named = new Set(origins.filter((origin) => origin !== '*').map((origin) => new URL(origin).host))
  const created = Math.floor(Date.now() / 1000)

  app.use(async (c, next) => {
    await next()
    const { path } = c.req
    metrics.request(
      paths.has(path) ? path : path.startsWith(`${MODELS}/`) ? `${MODELS}/ID` : 'other',
      c.res.status,
    )
  })
  app.use((c, next) => {
    const origin = c.req.header('origin')
    if (origin !== undefined && !origins.includes('*') && !origins.includes(origin))
      throw new RequestError(
        403,
        'ORIGIN',
        'origin: expected one that the server was started with (--cors), got another',
      )
    return next()
  })
  app.use((c, next) => {
    const host = c.req.header('host')
    if (isLocal && host !== undefined && !isLoopback(host.replace(/:\d+$/, '')) && !named.has(host))
      throw new RequestError(
        403,
        'HOST',
        'host: expected a name of this machine, such as localhost, got another',
      )
    return next()
  })
  if (origins.length > 0) app.use(cors({ origin: origins.includes('*') ? '*' : [...origins] }))
  app.use(async (c, next) => {
    const given = c.req.header('authorization')
    if (apiKey !== null && c.req.path !== '/health' && !(await hasKey(given, apiKey))) {
      const got = given === undefined ? 'none' : 'another'
      throw new RequestError(
        401,
        'API_KEY',
        `authorization: expected Bearer and the key that the server was started with (${KEY_VARIABLE} or --api-key), got ${got}`,
        { headers: { 'www-authenticate': 'Bearer' } },
      )
    }
    return next()
  })

  app.use((c, next) => {
    if (scheduler.isDraining && !['/health', '/metrics'].includes(c.req.path)) throw scheduler.ending()
    return next()
  })

  // Node's bridge names the client that left by a text, which the router would not hand on.
  app.use(async (_, next) => {
    try {
      await next()
    } catch (error) {
      throw error instanceof Error ? error : new Error(String(error))
    }
  })

  const described = {
    id: name,
    object: 'model',
    created,
    owned_by: 'shadowllm',
    max_model_len: model.config.positions,
  }
  const routes: Readonly<
    Record<string, Partial<Record<'GET' | 'POST', (c: Context) => Response | Promise<Response>>>>
  > = {
    '/health': {
      GET: (c) =>
        scheduler.isDraining
          ? c.json({ status: 'draining' }, 503, scheduler.ending().headers)
          : c.json({ status: 'ok' }),
    },
    '/metrics': {
      GET: (c) =>
        c.text(metrics.render(scheduler), 200, {
          'content-type': 'text/plain; version=0.0.4; charset=utf-8',
        }),
    },
    [MODELS]: { GET: (c) => c.json({ object: 'list', data: [described] }) },
    '/tokenizer_info': { GET: (c) => c.json(tokenizerInfo(model)) },
    '/tokenize': { POST: async (c) => json(await read('tokenize', c.req.raw)) },
    '/detokenize': { POST: async (c) => json(await read('detokenize', c.req.raw)) },
    '/v1/completions': {
      POST: async (c) =>
        begun(c, await texts.complete(await read('completion', c.req.raw), c.req.raw.signal)),
    },
    '/v1/chat/completions': {
      POST: async (c) => begun(c, await texts.chat(await read('chat', c.req.raw), c.req.raw.signal)),
    },
  }
  const paths = new Set(Object.keys(routes))
  for (const [path, methods] of Object.entries(routes)) {
    if (methods.GET) app.get(path, methods.GET)
    if (methods.POST) app.post(path, methods.POST)
    const allow = Object.keys(methods).join(', ')
    app.all(path, (c) => {
      throw new RequestError(405, 'METHOD', `${path}: expected the method ${allow}, got ${c.req.method}`, {
        headers: { allow },
      })
    })
  }
  app.get(`${MODELS}/:name{.+}`, (c) => {
    expectModel(names, c.req.param('name'))
    return c.json(described)
  })
  app.notFound(({ req }) => {
    const meant = meantPath(req.path, paths)
    const hint = meant === null ? '' : ` (did you mean ${meant}?)`
    throw new RequestError(
      404,
      'ROUTE',
      `path: expected one of ${[...paths].join(', ')}, got ${req.method} ${req.path.slice(0, MAX_PATH)}${hint}`,
    )
  })
  app.onError((error, c) => {
    const { status, headers, body } = refusalOf(error)
    // Nobody is told of a client that left, and its status is for the metrics alone.
    if (c.req.raw.signal.aborted) return new Response(null, { status: CLIENT_LEFT })
    if (status === 500) options.report(error)
    return c.json(body, status, { ...headers })
  })
  return {
    fetch: (request) => app.fetch(request),
    ended: (request) => endings.get(request) ?? null,
    start: () => readers.start(),
    async drain() {
      readers.end(scheduler.ending())
      await scheduler.drain()
      kept.dispose()
    },
    end: () => scheduler.end(),
  }
}

/** The path that is meant by one without its /v1, with one that does not belong there, or with a slash at its end. */
function meantPath(path: string, paths: ReadonlySet<string>): string | null {
  const bare = path.replace(/^(?:\/v1)+(?=\/)/, '').replace(/\/$/, '')
  return [`/v1${bare}`, bare].find((one) => one !== path && paths.has(one)) ?? null
}

async function hasKey(header: string | undefined, key: string): Promise<boolean> {
  const [, given] = /^Bearer +(.+)$/i.exec(header ?? '') ?? []
  return given !== undefined && (await timingSafeEqual(given, key))
}

/** Describes the tokenizer, for clients that tokenize by this server. */
function tokenizerInfo({ tokenizer, chatTemplate, config, prefixIds }: ShadowModel): object {
  const spelled = (id: number | null | undefined): string | null =>
    tokenizer && typeof id === 'number' && id < tokenizer.vocabularySize ? spellToken(tokenizer, id) : null
  return {
    bos_token: chatTemplate?.bosToken ?? spelled(config.bosId),
    eos_token: chatTemplate?.eosToken ?? spelled(config.eosIds[0]),
    pad_token: spelled(tokenizer?.special.padding),
    unk_token: spelled(tokenizer?.special.unknown),
    add_bos_token: prefixIds.length > 0,
    vocab_size: tokenizer?.vocabularySize,
    model_max_length: config.positions,
    chat_template: chatTemplate?.source ?? null,
  }
}

function json(answer: Uint8Array): Response {
  return new Response(answer as BodyInit, { headers: { 'content-type': 'application/json' } })
}

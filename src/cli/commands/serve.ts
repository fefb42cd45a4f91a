/**
 * `shadowllm serve`: a model behind the completions and chat interfaces of the OpenAI API.
 */
import { Option, type Command } from 'commander'
import type { CacheStorage } from '../../engine/layer_cache.ts'
import type { MaskMode } from '../../engine/active_layer.ts'
import { fillSampling } from '../../engine/sampling.ts'
import { listen, loadBridge, type Listening } from '../../platform/http_server.ts'
import { isLoopback } from '../../platform/loopback.ts'
import {
  choiceOf,
  generationOption,
  type GenerationPlanner,
  type PlannerChoice,
} from '../../library/planner_options.ts'
import { amounts, usualTokens } from '../../server/amounts.ts'
import type * as ServerModule from '../../server/app.ts'
import type { Server } from '../../server/app.ts'
import { REQUEST_TEMPERATURE, type EndedAnswer } from '../../server/text_service.ts'
import { ANY_SEED } from '../../server/requests.ts'
import type { Usage } from '../../server/answers.ts'
import { KEY_VARIABLE, refusalOf, type ErrorBody } from '../../server/refusals.ts'
import { RequestError, RETRY_AFTER } from '../../server/request_error.ts'
import type { ShadowModel } from '../../library/shadow_model.ts'
import { plannerOf } from '../../planners/index.ts'
import { MissingError, ShadowError, UsageError } from '../../tensor/errors.ts'
import { withPackages } from '../../tensor/packages.ts'
import type { TemplateVariables } from '../../io/template_variables.ts'
import { addFlags, type ModelFlags } from '../flags.ts'
import { samplingWords, variablesFlag } from '../writing_flags.ts'
import { withModel } from '../open_model.ts'
import {
  addCompensationFlags,
  addPlanFlags,
  checkPredictors,
  loadPlanFiles,
  type PlanFlags,
} from '../planner_flags.ts'
import type { Session } from '../session.ts'
import { formatCount, formatPercent } from '../words.ts'
import { now, runtime } from '../../platform/platform.ts'
import { wholeOption } from '../../tensor/option.ts'
import { number, whole, addOwnFlags, text } from '../values.ts'

const help = `
Paths:
  POST /v1/completions       prompt, max_tokens, temperature, top_p, seed, stop, n, logprobs, echo, stream
  POST /v1/chat/completions  messages, and the same; it needs a model with a chat template
  GET  /v1/models            POST /tokenize      GET /health
  GET  /tokenizer_info       POST /detokenize    GET /metrics

Without max_tokens a completion has at most ${usualTokens.completion} tokens and an answer at most ${formatCount(usualTokens.chat)}, as far as the context leaves room. Unlike at OpenAI,
temperature has no upper bound, and stop takes up to ${amounts.stops.most} texts. Settings of drawing that a request does not name are those of
the model's makers (generation_config.json); without any, temperature is ${REQUEST_TEMPERATURE}. An unknown field is refused.

A request without a seed, or with seed ${ANY_SEED}, gets the next seed of a sequence. --seed begins that sequence, which is the same after each
start. Each answer names its seed; a request with that seed repeats the answer.

A request may set planner, sparsity, every and check. With check, a stream sends tokens once they are checked. Where a prompt is echoed
with log-probabilities, its first tokens alone decide the mask: as many as --mask-tokens says, or mask_prompt_tokens of the request.

The server says on stderr what it serves and how to ask it, and then has a line for each request, when its answer has ended. --quiet drops
both.

At SIGTERM or ctrl-C the server takes no more requests, answers those that it has, and ends at most --drain seconds later. An answer that is
not complete by then is refused (503), and a stream ends with an error. npx does not pass SIGTERM on: a service starts
node_modules/.bin/shadowllm itself, or shadowllm of a global installation.

Put a key into ${KEY_VARIABLE}: other users of the machine can read --api-key in the list of processes.

Examples:
  $ shadowllm serve
  $ shadowllm serve -m FILE.gguf --name my-model
  $ shadowllm serve -m FILE.gguf --planner griffin --sparsity 0.3 --port 8080`

interface ServeFlags extends ModelFlags, PlanFlags {
  readonly planner: GenerationPlanner
  readonly every?: number | 'auto'
  readonly check?: number
  readonly mode: MaskMode
  readonly cache?: CacheStorage
  readonly host: string
  readonly port: number
  readonly name?: string
  readonly apiKey?: string
  readonly cors: readonly string[]
  readonly parallel: number
  readonly waiting: number
  readonly connections?: number
  readonly kept: number
  readonly maskTokens: number
  readonly read: number
  readonly stall: number
  readonly drain: number
  readonly chatTemplateKwargs?: TemplateVariables
}

const MAX_SECONDS = 86_400
/** Open connections, where requests that compute and wait are fewer than half of them. */
const CONNECTIONS = 512

/** Gives the command its flags and action. */
export function define(command: Command, session: Session): void {
  addPlanFlags(addFlags(command, 'model'), generationOption, 'dense')
  addOwnFlags(command, [
    [
      '--host <address>',
      'the address to listen at; 0.0.0.0 for all of this machine',
      // Of no address a system makes every one of the machine.
      text('ADDRESS', 'an address of this machine'),
      '127.0.0.1',
    ],
    ['--port <number>', 'the port; 0 for any that is free', wholeOption('PORT', 0, 65_535), 8080],
    ['--name <name>', 'what clients call the model (default: the last part of --model)', text('NAME')],
    new Option(
      '--api-key <key>',
      `what clients must send as a bearer token (default: ${KEY_VARIABLE}, or none)`,
    ).argParser((key: string) => keyOf(key, '--api-key')),
    new Option('--cors <origin>', 'an origin whose pages may ask, such as https://example.org, or * for all')
      .argParser((origin: string, before: readonly string[]) => [...before, originFlag(origin)])
      .default([], 'none'),
    variablesFlag('', ', unless a request has others'),
  ])
  addOwnFlags(
    command,
    [
      ['--parallel <count>', 'requests that compute in turn; each holds a cache', whole(1, 1024), 16],
      ['--waiting <count>', 'requests that wait; further ones are refused', whole(0, 65_536), 64],
      [
        '--kept <MiB>',
        'keys and values of answered requests that are kept, for those that begin alike; 0 for none',
        whole(0, 2 ** 20),
        512,
      ],
      [
        '--connections <count>',
        `open connections; further ones are refused (default: ${CONNECTIONS}, or twice --parallel and --waiting together)`,
        whole(1, 2 ** 20),
      ],
      [
        '--mask-tokens <count>',
        'first tokens of an echoed prompt that planners see, where log-probabilities are asked for',
        whole(1),
        8,
      ],
      ['--read <seconds>', 'how long reading the body of a request may take', number(0.001, MAX_SECONDS), 10],
      ['--stall <seconds>', 'how long a stream waits for its reader', number(0.001, MAX_SECONDS), 60],
      ['--drain <seconds>', 'how long requests may take after ctrl-C or SIGTERM', number(0, MAX_SECONDS), 4],
    ],
    'What the server takes at once:',
  )
  addFlags(addCompensationFlags(command), 'every', 'check')
  addFlags(command, 'backend', 'fileStorage', 'threads', 'mode', 'cache', 'quiet')
    .addHelpText('after', help)
    .action(async (flags: ServeFlags) => {
      const { createServer } = await loadServer()
      await checkPredictors(flags.predictor)
      await withModel(session, flags, (opt) => serve(session, opt, flags, createServer))
    })
}

/** @param subject where the key comes from */
function keyOf(key: string, subject: string): string {
  if (/^[!-~]+$/.test(key)) return key
  // The text of a key is not repeated.
  throw new UsageError('API_KEY', `${subject}: expected visible characters of ASCII, got others or none`)
}

function originFlag(origin: string): string {
  if (origin === '*' || (URL.canParse(origin) && new URL(origin).origin === origin)) return origin
  throw new UsageError(
    'ORIGIN',
    `--cors: expected an origin such as https://example.org, or *, got ${origin || 'nothing'}`,
  )
}

/** Its help needs none of the packages. @throws MissingError PACKAGE_MISSING */
function loadServer(): Promise<typeof ServerModule> {
  return withPackages('serve', 'hono @hono/node-server', async () => {
    if (runtime.name !== 'deno') await loadBridge()
    return import('../../server/app.ts')
  })
}

async function serve(
  session: Session,
  opt: ShadowModel,
  asked: ServeFlags,
  createServer: typeof ServerModule.createServer,
): Promise<void> {
  const flags = await loadPlanFiles(session, opt, asked, true)
  const { planner, check, mode, cache, cors, parallel, waiting, maskTokens, read, stall, host } = flags
  const connections = connectionsOf(flags)
  // What the flags ask for is refused at the start, not at the first request.
  const planning = { ...choiceOf(flags), planner, check }
  await opt.planner({ ...planning, mode })
  const apiKey = flags.apiKey ?? keyOfEnvironment(session)
  const isLocal = isLoopback(host)
  const name = flags.name ?? (opt.name.split(/[\\/]/).findLast((part) => part !== '') || opt.name)
  const server = createServer(opt, {
    isLocal,
    planning,
    mode,
    cache,
    maskTokens,
    variables: flags.chatTemplateKwargs,
    name,
    apiKey,
    origins: cors,
    seats: parallel,
    keptBytes: flags.kept * 2 ** 20,
    queue: waiting,
    readTime: read * 1000,
    stall: stall * 1000,
    report: (error) =>
      void session.note(
        error instanceof ShadowError
          ? error.message
          : error instanceof Error
            ? `${error.stack}`
            : String(error),
      ),
  })
  const told = flags.quiet ? server : { ...server, fetch: withLog(session, server) }
  const listening = await listenAt(told, flags, connections)
  if (opt.chatTemplate) server.start()
  const shown = host.includes(':') ? `[${host}]` : host
  const address = `http://${shown}:${listening.port}`
  if (!flags.quiet)
    for (const line of startLines(
      opt,
      name,
      planning,
      address,
      apiKey,
      flags.apiKey === undefined ? apiKey : null,
      await opt.usualPlanner(choiceOf(flags)),
    ))
      await session.note(line)
  await session.print(`${address}\n`)
  if (!isLocal && apiKey === null)
    await session.note(
      `${host}: everybody who reaches this address is answered; a key in ${KEY_VARIABLE} keeps others out`,
    )
  await untilAborted(session.signal)
  if (!flags.quiet)
    await session.note(
      `ending: requests under way have ${flags.drain} s to be answered; ctrl-C again ends at once`,
    )
  await endServer(server, listening, flags.drain)
}

/** What planners skip a share of. */
const skippedWords = {
  nothing: '',
  units: 'heads and neurons',
  neurons: 'neurons',
  channels: 'input channels',
} as const

/** What is served, a request to try, and the planner that a share alone means, if it is not `shadow`. */
export function startLines(
  opt: Pick<ShadowModel, 'model' | 'sampling' | 'chatTemplate'>,
  name: string,
  { planner, sparsity }: PlannerChoice & { readonly planner: GenerationPlanner },
  address: string,
  apiKey: string | null,
  keyVariable: string | null,
  alone: string,
): string[] {
  const { storage } = opt.model.weights
  const sampling = samplingWords(fillSampling({}, opt.sampling, REQUEST_TEMPERATURE))
  const kinds = skippedWords[plannerOf(planner).skips]
  const skips = kinds === '' ? '' : `, ${formatPercent(sparsity ?? 0.5)} of ${kinds} skipped`
  const [path, asked] = opt.chatTemplate
    ? ['chat/completions', '"messages":[{"role":"user","content":"What is gravity?"}]']
    : ['completions', '"prompt":"Once upon a time"']
  // A key of a flag is not shown.
  const key = apiKey === keyVariable ? `$${KEY_VARIABLE}` : 'KEY'
  const bearer = apiKey === null ? '' : ` -H "authorization: Bearer ${key}"`
  return [
    `${name}: weights ${storage}, backend ${opt.model.backend.name}, planner ${planner}${skips}; ${sampling} where a request says nothing else`,
    `curl ${address}/v1/${path}${bearer} -H 'content-type: application/json' -d '{${asked}}'`,
    ...(alone === 'shadow' || planner !== 'dense'
      ? []
      : [`a request with "sparsity" alone is masked by ${alone}, which skips neurons alone`]),
  ]
}

/** Characters of a path in the log. */
const MAX_PATH = 80

/** Answers, and writes a line for each request when its answer has ended. */
function withLog(session: Session, server: Server): Server['fetch'] {
  return async (request) => {
    const start = now()
    const response = await server.fetch(request)
    const { method, url } = request
    const { status } = response
    const refusal = status < 400 ? null : await refusalWords(response)
    const tell = (ended: EndedAnswer | null): Promise<void> => {
      const path = new URL(url).pathname.slice(0, MAX_PATH)
      const words = [status, refusal ?? ended?.failure ?? [], ended ? usageWords(ended.usage) : []]
        .flat()
        .join(' ')
      const seconds = ((now() - start) / 1000).toFixed(3)
      return session.note(`${new Date().toISOString()} ${method} ${path} ${words} ${seconds} s`)
    }
    const ending = server.ended(request)
    if (ending) void ending.then(tell)
    else await tell(null)
    return response
  }
}

function usageWords({
  prompt_tokens: prompt,
  completion_tokens: answer,
  prompt_tokens_details: details,
}: Usage): string {
  return `prompt ${prompt} tokens, ${details.cached_tokens} of them kept; answer ${answer} tokens;`
}

/** The code of a refusal and its field. Only a client that left is answered nothing. */
async function refusalWords(response: Response): Promise<string> {
  if (response.body === null) return 'client left'
  const { error } = (await response
    .clone()
    .json()
    .catch(() => ({}))) as { error?: ErrorBody }
  return error ? [error.code, error.param ?? []].flat().join(' ') : 'ended'
}

/** The most open connections. @throws UsageError CONNECTIONS for fewer than there may be requests */
function connectionsOf({ parallel, waiting, connections }: ServeFlags): number {
  const requests = parallel + waiting
  if (connections === undefined) return Math.max(CONNECTIONS, 2 * requests)
  if (connections > requests) return connections
  throw new UsageError(
    'CONNECTIONS',
    `--connections: expected more than ${requests}, which --parallel and --waiting are together, got ${connections}`,
  )
}

/** @throws UsageError ADDRESS, MissingError PORT */
async function listenAt(server: Server, { host, port }: ServeFlags, connections: number): Promise<Listening> {
  const answer = (error: RequestError): Response => {
    const { status, headers, body } = refusalOf(error)
    return Response.json(body, { status, headers })
  }
  const refuse = (reason: string): Response =>
    answer(new RequestError(400, 'ADDRESS', `request: expected ${reason}, got another`))
  const refuseConnection = (): Response =>
    answer(
      new RequestError(
        503,
        'CONNECTIONS',
        `connections: expected at most ${connections} at a time, got more; try again`,
        { headers: { 'retry-after': RETRY_AFTER, connection: 'close' } },
      ),
    )
  const options = { host, port, refuse, connections, refuseConnection }
  try {
    return await listen((request) => server.fetch(request), options)
  } catch (error) {
    const code = String((error as { code?: unknown }).code ?? (error as Error).name)
    const address = `${host}:${port}`
    if (code === 'EADDRINUSE' || code === 'AddrInUse')
      throw new MissingError('PORT', `${address}: expected a free port, got one that is in use`, {
        cause: error,
      })
    if (code === 'EACCES')
      throw new MissingError('PORT', `${address}: expected a port that may be used, got another`, {
        cause: error,
      })
    if (['EADDRNOTAVAIL', 'AddrNotAvailable', 'ENOTFOUND', 'EAI_AGAIN', 'EINVAL'].includes(code))
      throw new UsageError('ADDRESS', `--host: expected an address of this machine, got ${host}`, {
        cause: error,
      })
    throw error
  }
}

function keyOfEnvironment(session: Session): string | null {
  const key = session.environment(KEY_VARIABLE)
  return key === undefined ? null : keyOf(key, KEY_VARIABLE)
}

function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

/** Milliseconds in which requests that are cut must have their refusals. */
const REFUSING = 1000

/** Answers what was taken, as long as that may take. */
async function endServer(server: Server, listening: Listening, patience: number): Promise<void> {
  const drained = server.drain()
  let timer = setTimeout(() => {
    server.end()
    timer = setTimeout(() => listening.end(), REFUSING)
  }, patience * 1000)
  await listening.close()
  clearTimeout(timer)
  await drained
}

/**
 * Many clients at one server: whether it answers all of them, whether its memory stays what it was, and what it costs.
 *
 *   node scripts/node.mjs bench/serve.ts [--seconds 600] [--clients 64] [--rounds 5] [--json]
 *
 * The server runs the embedded model in a process of its own, on loopback, with the limits of `shadowllm serve`. First it is
 * timed: texts that the clients ask for at once against the same texts by the library in the server's process, and the time
 * between two tokens of one stream against that of the library, in turn. On a busy
 * machine only the difference of the best rounds of both says something. Then the clients load it for `--seconds`: they
 * complete, stream, score, read slowly, leave in the middle, leave at once, and send what is refused. Up to fifty times they
 * pause, the server collects its garbage, and everything is counted. A run of less than a minute does not judge memory.
 *
 * Ends with exit code 1 if an answer is no right one and no documented refusal, if two answers to one request differ, if
 * memory is not flat by the rule of bench/soak.ts, or if the texts come at less than 0.9 of the library's speed.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { request as httpRequest, Agent, type ClientRequest, type IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { formatColumns } from '../src/cli/words.ts'
import { ShadowModel } from '../src/library/index.ts'
import { listen } from '../src/platform/http_server.ts'
import {
  commandArguments,
  endWhenIdle,
  machine,
  residentMemory,
  runtime,
  write,
} from '../src/platform/platform.ts'
import { serverOf } from '../spec/server/served.ts'
import { Random } from '../src/tensor/random.ts'
import { faultsOf, type Sample } from './soak_verdict.ts'

const { values } = parseArgs({
  args: commandArguments(),
  options: {
    seconds: { type: 'string', default: '600' },
    clients: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
    server: { type: 'boolean', default: false },
  },
})

/** A text that is asked for. */
interface Asked {
  readonly prompt: readonly number[]
  readonly max_tokens: number
  readonly temperature: number
  readonly seed: number
  readonly planner: 'dense' | 'random' | 'shadow'
  readonly sparsity?: number
}

function someText(random: Random, maxTokens: number): Asked {
  const below = (count: number): number => Math.floor(random.uniform() * count)
  const text = {
    prompt: Array.from({ length: 4 + below(24) }, () => 3 + below(4000)),
    max_tokens: maxTokens,
    temperature: 1,
    seed: below(1000),
    planner: (['dense', 'random', 'shadow'] as const)[below(3)],
  }
  return text.planner === 'dense' ? text : { ...text, sparsity: 0.5 }
}

/** The texts of one timing. */
const timed = (count: number): Asked[] => Array.from({ length: count }, (_, i) => someText(new Random(i), 24))
const longText: Asked = { ...someText(new Random(7), 200), planner: 'dense', sparsity: undefined }

// ---- The server's process --------------------------------------------------------------------------------------------

async function collect(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10))
    globalThis.gc?.()
  }
}

/** Writes a text by the library; the milliseconds after its first token, and how many came then. */
async function byLibrary(
  opt: ShadowModel,
  { prompt, max_tokens: maxTokens, ...options }: Asked,
): Promise<[ms: number, tokens: number]> {
  let first = 0
  let tokens = -1
  for await (const _ of opt.generate(prompt, { ...options, maxTokens }))
    if (++tokens === 0) first = performance.now()
  return [performance.now() - first, tokens]
}

/** Serves until its input ends. A line of it is a command, and is answered by a line. */
async function serve(): Promise<void> {
  const opt = await ShadowModel.fromPretrained()
  await opt.planner({ planner: 'shadow' })
  const server = serverOf(opt, {
    report: (error) => void process.stderr.write(`${(error as Error).stack}\n`),
  })
  const refuse = (): Response => new Response(null, { status: 400 })
  const refuseConnection = (): Response => new Response(null, { status: 503 })
  const where = { host: '127.0.0.1', port: 0, refuse, connections: 512, refuseConnection }
  const socket = await listen((one) => server.fetch(one), where)
  const tell = (value: unknown): Promise<void> => write('stdout', `${JSON.stringify(value)}\n`)
  await tell(socket.port)
  let cycle = 0
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, count] = line.split(' ')
    if (command === 'texts') {
      const start = performance.now()
      for (const one of timed(Number(count))) await byLibrary(opt, one)
      await tell(performance.now() - start)
    } else if (command === 'long') await tell(await byLibrary(opt, longText))
    else {
      await collect()
      const sample: Sample = {
        cycle: ++cycle,
        resident: residentMemory() as number,
        heap: process.memoryUsage().heapUsed,
        buffers: opt.model.backend.liveBuffers,
        pages: 0,
        threads: existsSync('/proc/self/task') ? readdirSync('/proc/self/task').length : null,
      }
      await tell(sample)
    }
  }
  const closed = socket.close()
  socket.end()
  await closed
  await opt.dispose()
}

/** The server, seen from here. */
interface Served {
  readonly port: number
  /** Sends a command and reads the answer. */
  tell<T>(command: string): Promise<T>
  end(): void
}

async function startServer(): Promise<Served> {
  const args = ['--expose-gc', '--conditions=@shadowllm/source', fileURLToPath(import.meta.url), '--server']
  const child: ChildProcess = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout as NonNullable<typeof child.stdout> })[
    Symbol.asyncIterator
  ]()
  const read = async <T>(): Promise<T> => {
    const { done, value } = await lines.next()
    if (done) throw new Error('server: expected an answer, got its end')
    return JSON.parse(value as string) as T
  }
  return {
    port: await read<number>(),
    tell: (command) => {
      child.stdin?.write(`${command}\n`)
      return read()
    },
    end: () => child.stdin?.end(),
  }
}

// ---- Clients ---------------------------------------------------------------------------------------------------------

const agent = new Agent({ keepAlive: true, maxSockets: Infinity })

/** How an answer is read: whole, slowly, or only so many of its pieces. */
interface Reading {
  readonly pause?: number
  readonly leaveAfter?: number
}

interface Read {
  /** 0 if this side left. */
  readonly status: number
  readonly text: string
  readonly retryAfter: string | undefined
}

/** A request for a completion whose body is yet to be sent. */
function completionRequest(port: number): ClientRequest {
  const headers = { 'content-type': 'application/json' }
  return httpRequest({ port, host: '127.0.0.1', path: '/v1/completions', method: 'POST', headers, agent })
}

function post(port: number, body: object, { pause = 0, leaveAfter = Infinity }: Reading = {}): Promise<Read> {
  return new Promise((resolve, reject) => {
    const sent = completionRequest(port)
    const left = (): void => {
      sent.destroy()
      resolve({ status: 0, text: '', retryAfter: undefined })
    }
    sent.on('error', reject)
    sent.on('response', (answer: IncomingMessage) => {
      let text = ''
      let pieces = 0
      answer.setEncoding('utf8').on('data', (piece: string) => {
        text += piece
        if (++pieces >= leaveAfter) return left()
        if (pause === 0) return
        answer.pause()
        setTimeout(() => answer.resume(), pause)
      })
      answer.on('error', () => {})
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, text, retryAfter: answer.headers['retry-after'] }),
      )
    })
    sent.end(JSON.stringify(body))
    if (leaveAfter === 0) setTimeout(left, 5)
  })
}

/** The text of an answer, whole or as a stream. @throws Error for an answer that is none */
function textOf(answer: string, stream: boolean): string {
  const choice = (json: string): { text: string } =>
    (JSON.parse(json) as { choices: { text: string }[] }).choices[0]
  if (!stream) return choice(answer).text
  const events = answer.split('\n\n').slice(0, -1)
  if (events.pop() !== 'data: [DONE]') throw new Error(`expected [DONE], got ${answer.slice(-200)}`)
  return events.map((event) => choice(event.slice(6)).text).join('')
}

/** What the clients saw. */
interface Seen {
  readonly counts: Record<string, number>
  readonly faults: string[]
  /** The first answer to each request. */
  readonly known: Map<string, string>
}

/** One request of some kind. */
async function askOnce(port: number, random: Random, seen: Seen): Promise<void> {
  const kinds = ['whole', 'stream', 'scored', 'slow', 'left', 'left at once', 'refused'] as const
  const kind = kinds[Math.floor(random.uniform() * kinds.length)]
  const asked = someText(
    new Random(Math.floor(random.uniform() * 40)),
    2 + Math.floor(random.uniform() * 3) * 8,
  )
  const stream = kind === 'stream' || kind === 'slow' || kind === 'left'
  const body = {
    ...asked,
    ...(stream && { stream }),
    ...(kind === 'scored' && { echo: true, logprobs: 1, max_tokens: 1 }),
    ...(kind === 'refused' && { temperature: -1 }),
  }
  const reading =
    { slow: { pause: 10 }, left: { leaveAfter: 2 }, 'left at once': { leaveAfter: 0 } }[kind as string] ?? {}
  const { status, text, retryAfter } = await post(port, body, reading)
  const count = (name: string): void => void (seen.counts[name] = (seen.counts[name] ?? 0) + 1)
  if (status === 0) return count('left')
  if (status === 429 && retryAfter !== undefined) return count('429')
  if (kind === 'refused' && status === 400 && text.includes('"TEMPERATURE"')) return count('400')
  if (status !== 200 || kind === 'refused')
    return void seen.faults.push(`${kind}: ${status} ${text.slice(0, 200)}`)
  count(kind)
  const key = JSON.stringify({ ...body, stream: false })
  const found = textOf(text, stream)
  const before = seen.known.get(key) ?? found
  seen.known.set(key, before)
  if (found !== before) seen.faults.push(`${kind}: two answers to ${key}`)
}

// ---- The run ---------------------------------------------------------------------------------------------------------

/** Pauses of a run: each waits for the slowest client. */
const samplesOf = (seconds: number): number => Math.min(50, Math.max(4, Math.floor(seconds / 2)))
/** Seconds from which on memory is judged: before that it still grows with what has never run. */
const JUDGED = 60

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2
}

/** The speeds of server and library, in turn. */
async function time(
  server: Served,
  clients: number,
  rounds: number,
): Promise<{ ratios: number[]; tokens: { library: number[]; stream: number[] } }> {
  const texts = timed(clients * 2)
  // The first round warms up: where nothing is timed, there is none.
  const ratios: number[] = []
  const milliseconds = { library: [] as number[], stream: [] as number[] }
  for (let round = rounds > 0 ? -1 : 0; round < rounds; round++) {
    const library = await server.tell<number>(`texts ${texts.length}`)
    const start = performance.now()
    const rest = [...texts]
    const client = async (): Promise<void> => {
      for (let one = rest.pop(); one; one = rest.pop()) await post(server.port, one)
    }
    await Promise.all(Array.from({ length: clients }, client))
    const served = performance.now() - start
    const [ms, tokens] = await server.tell<[number, number]>('long')
    const stream = await streamTime(server.port)
    if (round < 0) continue
    ratios.push(library / served)
    milliseconds.library.push(ms / tokens)
    milliseconds.stream.push(stream)
  }
  return { ratios, tokens: milliseconds }
}

/** Milliseconds between two tokens of a stream. */
function streamTime(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = completionRequest(port)
    sent.on('error', reject)
    sent.on('response', (answer: IncomingMessage) => {
      let first = 0
      let last = 0
      let text = ''
      answer.setEncoding('utf8').on('data', (piece: string) => {
        last = performance.now()
        first ||= last
        text += piece
      })
      answer.on('end', () => {
        // Some tokens complete no character and have no event.
        const [, tokens] = /"completion_tokens":(\d+)/.exec(text) ?? []
        resolve((last - first) / (Number(tokens) - 1))
      })
    })
    sent.end(JSON.stringify({ ...longText, stream: true, stream_options: { include_usage: true } }))
  })
}

async function load(
  server: Served,
  clients: number,
  seconds: number,
): Promise<{ seen: Seen; samples: Sample[] }> {
  const seen: Seen = { counts: {}, faults: [], known: new Map() }
  const samples: Sample[] = []
  const count = samplesOf(seconds)
  const randoms = Array.from({ length: clients }, (_, i) => new Random(i))
  for (let round = 0; round < count; round++) {
    const until = performance.now() + (seconds * 1000) / count
    await Promise.all(
      randoms.map(async (random) => {
        do
          await askOnce(server.port, random, seen).catch(
            (error: Error) => void seen.faults.push(error.message),
          )
        while (performance.now() < until)
      }),
    )
    samples.push(await server.tell<Sample>('sample'))
  }
  return { seen, samples }
}

async function run(): Promise<void> {
  const [seconds, clients, rounds] = [values.seconds, values.clients, values.rounds].map(Number)
  const server = await startServer()
  const { ratios, tokens } = await time(server, clients, rounds)
  const { seen, samples } = await load(server, clients, seconds)
  server.end()
  agent.destroy()
  const throughput = median(ratios)
  const overhead = (of: (all: readonly number[]) => number): number => of(tokens.stream) - of(tokens.library)
  const faults = [
    ...seen.faults,
    ...(seconds < JUDGED ? [] : faultsOf(samples)),
    ...(rounds > 0 && throughput < 0.9 ? [`texts at ${throughput.toFixed(2)} of the library's speed`] : []),
  ]
  const last = samples[samples.length - 1]
  const report = {
    seconds,
    clients,
    throughput: ratios,
    millisecondsPerToken: tokens,
    counts: seen.counts,
    faults,
    samples,
  }
  const { processor, threads } = machine()
  const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1)
  const rows = [
    ...Object.entries(seen.counts).map(([name, count]) => [name, String(count)]),
    [
      'RSS MiB, half of the time and end',
      `${mebibytes(samples[samples.length >> 1].resident)} ${mebibytes(last.resident)}`,
    ],
    [
      'heap MiB, half of the time and end',
      `${mebibytes(samples[samples.length >> 1].heap)} ${mebibytes(last.heap)}`,
    ],
    ...(rounds > 0
      ? [
          ['texts at once, of the library (median)', throughput.toFixed(3)],
          ['ms a streamed token over the library (median of rounds)', overhead(median).toFixed(3)],
          ['the same of the best rounds', overhead((all) => Math.min(...all)).toFixed(3)],
        ]
      : []),
    ['', faults.length === 0 ? 'flat' : faults.slice(0, 5).join('; ')],
  ]
  const about = `${runtime.name} ${runtime.version}, ${runtime.system}, ${threads} x ${processor}\n${clients} clients, ${seconds} s\n\n`
  await write(
    'stdout',
    values.json ? `${JSON.stringify(report, null, 2)}\n` : about + formatColumns(rows, [1]),
  )
  if (faults.length > 0) endWhenIdle(1)
}

if (values.server) await serve()
else await run()

/**
 * Two threads beside one: products and decoding, on cores that are free, and while another process holds one of them.
 *
 * "shared" shares every call that can be cut; "auto" is what `--threads` does: it measures and decides; "again" is one
 * thread once more, which shows what differences mean nothing. With a core taken auto is to take no more than 1/0.95 of
 * one thread's time: there the time of all rounds counts, what it tries included.
 */
import { spawn } from 'node:child_process'
import { write } from '../src/platform/platform.ts'
import type { Backend } from '../src/backends/backend.ts'
import { BufferScope } from '../src/backends/buffer_scope.ts'
import { createBackend } from '../src/backends/select.ts'
import { LanguageModel } from '../src/engine/language_model.ts'
import { initialWeights } from '../src/engine/initial_weights.ts'
import { memorySource } from '../src/tensor/memory_source.ts'
import { config, decodeJob, PROMPT } from './decode.ts'
import { figure, ratio, table, interleave, type Job, type Rates } from './timing.ts'

/** The op, and [T, O, I]. */
const PRODUCTS = [
  ['linear', 1, 768, 768],
  ['linear', 1, 2048, 2048],
  ['linear', 1, 8192, 2048],
  ['linear', 1, 50272, 768],
  ['linear_input_major', 1, 2048, 8192],
  ['linear', 128, 2048, 2048],
  ['linear_input_major', 128, 2048, 2048],
] as const

/** Weights of a shape for one token: several matrices, so that none waits in a cache. */
const WEIGHT_BYTES = 96 * 2 ** 20
/** How often a turn goes through them: about 50 ms, in which threads that slept since the last turn count little. */
const TIMES = 10
const ROUNDS = 21
/** Tokens of a turn of decoding. */
const TOKENS = 16

const kinds = ['one', 'again', 'shared', 'auto'] as const
type Backends = Readonly<Record<(typeof kinds)[number], Backend>>

async function openBackends(): Promise<Backends> {
  return {
    one: await createBackend('wasm'),
    again: await createBackend('wasm'),
    shared: await createBackend('wasm', { threads: 2, sharing: 'always' }),
    auto: await createBackend('wasm', { threads: 2 }),
  }
}

/** What is timed, and gives its memory back. */
interface Bench extends Disposable {
  readonly name: string
  /** In the order of `kinds`. */
  readonly jobs: readonly Job[]
}

function productBench(backends: Backends, [op, T, O, I]: (typeof PRODUCTS)[number]): Bench {
  const count = T === 1 ? Math.max(1, Math.floor(WEIGHT_BYTES / (4 * O * I))) : 2
  const times = T === 1 ? TIMES : 1
  const scopes = kinds.map((kind) => new BufferScope(backends[kind]))
  const jobs = scopes.map((scope, i): Job => {
    const numbers = (rows: number, columns: number) =>
      scope.upload(new Float32Array(rows * columns).fill(0.01), [rows, columns])
    const [rows, columns] = op === 'linear' ? [O, I] : [I, O]
    const weights = Array.from({ length: count }, () => numbers(rows, columns))
    const [y, x] = [numbers(T, O), numbers(T, I)]
    const multiply = scope.backend.ops[op]
    const run = (): void => {
      for (let i = 0; i < times; i++) for (const weight of weights) multiply(y, x, weight, null, null)
    }
    return { name: kinds[i], work: times * count, run }
  })
  const end = (): void => scopes.forEach((scope) => scope.dispose())
  return { name: `${op} ${T} x ${O} x ${I}`, jobs, [Symbol.dispose]: end }
}

async function decodeBench(backends: Backends): Promise<Bench> {
  const source = memorySource(initialWeights(config, { seed: 1 }))
  const models: LanguageModel[] = []
  for (const kind of kinds) models.push(await LanguageModel.load(config, source, backends[kind]))
  const sequences = models.map((model) => model.begin({ capacity: 2048 }))
  for (const sequence of sequences) sequence.feed(PROMPT, 'last')
  const jobs = kinds.map((kind, i) => decodeJob(kind, sequences[i], TOKENS))
  const end = (): void => {
    for (const one of [...sequences, ...models]) one.dispose()
  }
  return { name: 'decode, OPT-125m shape', jobs, [Symbol.dispose]: end }
}

/** The time of all rounds as a multiple of another job's, upside down: above 1 is faster. */
function inAll(rates: Rates, base: Rates): number {
  const time = ({ samples }: Rates): number => samples.reduce((sum, rate) => sum + 1 / rate, 0)
  return time(base) / time(rates)
}

/** Does something while a process takes whatever it gets of a core. */
async function whileBusy<T>(work: () => T): Promise<T> {
  const spinner = spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' })
  try {
    // Until it spins.
    await new Promise((resolve) => setTimeout(resolve, 500))
    return work()
  } finally {
    spinner.kill('SIGKILL')
  }
}

async function measure({ name, jobs }: Bench): Promise<string[]> {
  const [one, ...free] = interleave(jobs, ROUNDS)
  const [busyOne, ...busy] = await whileBusy(() => interleave(jobs, ROUNDS))
  const cells = [
    ...free.map((rates) => ratio(rates, one)),
    ...busy.map((rates) => ratio(rates, busyOne)),
    ...busy.map((rates) => inAll(rates, busyOne)),
  ]
  return [name, figure(one, 1000), ...cells.map((cell) => cell.toFixed(2))]
}

export async function run(): Promise<void> {
  const backends = await openBackends()
  const columns = kinds.slice(1)
  const rows = [
    [
      '',
      'one, per second',
      ...columns,
      ...columns.map((kind) => `${kind}, busy`),
      ...columns.map((kind) => `${kind}, in all`),
    ],
  ]
  for (const product of PRODUCTS) {
    using bench = productBench(backends, product)
    rows.push(await measure(bench))
  }
  {
    using bench = await decodeBench(backends)
    rows.push(await measure(bench))
  }
  for (const backend of Object.values(backends)) backend.dispose()
  await write(
    'stdout',
    `Two threads, x one thread of the same round: median of ${ROUNDS} rounds; then with a core taken
`,
  )
  await write('stdout', table(rows))
}

/**
 * Exact zeros. First fc2 alone, a token whose inputs are partly zero: rows listed beside every row read, in each storage.
 * Then decoding where rows of zero inputs are left out of fc2, beside the same kernels that read every row, with the same
 * bits; and half of the units skipped by a predictor, with and without.
 *
 * After ReLU most activations of trained models are zero; of random weights half are. A shape with random weights is
 * therefore given a bias in fc1 that leaves about 5 % of them. The embedded model has its own weights and predictor, and goes
 * on from a text. The table says how many activations were not zero.
 *
 * The kernels that read every row, and those that always make a list, are compiled for this bench: the product has no such
 * switch.
 */
import { createBackend } from '../src/backends/select.ts'
import { instantiate } from '../src/backends/wasm/instance.ts'
import { WasmBackend } from '../src/backends/wasm/wasm_backend.ts'
import { watchBackend } from '../src/backends/watched.ts'
import type { Backend, Buffer } from '../src/backends/backend.ts'
import { randomIds } from '../src/bench/job.ts'
import { planOf } from '../src/bench/methods.ts'
import { randomPredictor } from '../src/bench/predictors.ts'
import { profileDecode } from '../src/bench/profile.ts'
import { RandomSource } from '../src/bench/random_weights.ts'
import { checkpointSubject, loadSubject, shapeSubject, type BenchSubject } from '../src/bench/subject.ts'
import { LanguageModel } from '../src/engine/language_model.ts'
import type { Storage } from '../src/engine/storages/index.ts'
import { parameterShapes } from '../src/engine/program.ts'
import { embeddedFolder } from '../src/io/embedded.ts'
import { openModelFolder } from '../src/io/load.ts'
import { predictorBeside } from '../src/io/named_predictor.ts'
import { Decoding, type Plan } from '../src/evaluation/decode.ts'
import { now, write } from '../src/platform/platform.ts'
import { openPredictor, type Predictor } from '../src/predictor/predictor_file.ts'
import { denseMethod, makeMethod } from '../src/results/method.ts'
import { interleave } from '../src/results/interleaved_rounds.ts'
import { Random } from '../src/tensor/random.ts'
import { compileKernels } from '../spec/backends/wasm/compile.ts'
import { STREAM_BYTES, STREAM_START } from './streams.ts'
import { figure, ratio, table, type Rates, type WaitingJob } from './timing.ts'

const STORAGES: readonly Storage[] = ['f32', 'int8']
const PRODUCT_ROUNDS = 9
const PROMPT = 32
const SEED = 1

/** Activations of a normal distribution above this many deviations are 5 %. */
const DEVIATIONS = 1.645
/** The deviation of random weights. */
const WEIGHT_DEVIATION = 0.02

/** [neurons, width] of the embedded model, OPT-125m and OPT-1.3b. */
const PRODUCTS = [
  [1024, 256],
  [3072, 768],
  [8192, 2048],
] as const

/** How weights may be stored: the end of an op's name, and the bytes of a number. */
const STORED = [
  ['', 4],
  ['_bf16', 2],
  ['_f16', 2],
  ['_i8', 1],
] as const

const SHARES = [0.02, 0.05, 0.1, 0.25, 0.5, 0.75]

/** Tokens that differ in which inputs are zero. */
const PATTERNS = 4

/** What is measured. */
interface Case {
  readonly subject: BenchSubject
  readonly prompt: Int32Array
  /** Generated in a turn. */
  readonly tokens: number
  readonly rounds: number
  readonly predictor: (model: LanguageModel) => Promise<Predictor>
}

/** Random weights, of which so large a bias is taken off before ReLU. */
class BiasedSource extends RandomSource {
  readonly #bias: number

  constructor({ config }: BenchSubject) {
    super(parameterShapes(config), SEED)
    this.#bias = -DEVIATIONS * WEIGHT_DEVIATION * Math.sqrt(config.width)
  }

  override async readRows(name: string, first: number, count: number): Promise<Float32Array> {
    if (name.endsWith('fc1.bias')) return new Float32Array(count).fill(this.#bias)
    return super.readRows(name, first, count)
  }
}

function shapeCase(shape: string, layers?: number): Case {
  const subject = shapeSubject(shape, { seed: SEED, layers })
  return {
    subject: { ...subject, open: async () => new BiasedSource(subject) },
    prompt: randomIds(PROMPT, subject.config.vocabulary, SEED),
    tokens: 4,
    rounds: 15,
    predictor: async ({ config, backend, weights }) =>
      randomPredictor('shadow', config, backend, weights.storage, SEED),
  }
}

async function embeddedCase(): Promise<Case> {
  const folder = await embeddedFolder()
  const { tokenizer, source, files } = await openModelFolder(folder)
  await source.close()
  if (!tokenizer) throw new Error('zeros: expected a tokenizer of the embedded model, got none')
  return {
    subject: await checkpointSubject('tiny-opt (embedded)', folder),
    prompt: Int32Array.from(tokenizer.encode('The captain looked at the sea, and then he said that')),
    tokens: 64,
    rounds: 31,
    predictor: ({ backend, weights }) =>
      openPredictor(predictorBeside(files.weights), backend, weights.storage),
  }
}

/** The share of activations that are not zero while tokens are generated. */
async function shareOfNonzero(model: LanguageModel, { prompt, tokens }: Case): Promise<number> {
  const { neurons } = model.config
  let [nonzero, all] = [0, 0]
  const count = (backend: Backend): Backend =>
    watchBackend(backend, (name, [y]) => {
      const values = name === 'relu' ? backend.read(y as Buffer) : []
      if (values.length !== neurons) return // a prompt
      all += neurons
      for (const value of values) if (value !== 0) nonzero++
    })
  const counted = new LanguageModel(model.config, model.backend, {
    ...model.weights,
    layers: model.weights.layers.map(count),
    dispose: () => {},
  })
  const decoding = new Decoding(counted, prompt, tokens, {})
  await decoding.decode()
  decoding.dispose()
  counted.dispose()
  return nonzero / all
}

/** @throws Error if two models differ in a bit of their logits */
function expectSameBits([a, b]: readonly LanguageModel[], { prompt }: Case): void {
  const sequences = [a, b].map((model) => model.begin({ capacity: prompt.length }))
  for (const tokens of [
    prompt.subarray(0, 9),
    ...Array.from(prompt.subarray(9), (id) => Int32Array.of(id)),
  ]) {
    const [expected, actual] = sequences.map((sequence) => sequence.feed(tokens, 'last'))
    if (expected.some((value, i) => !Object.is(value, actual[i])))
      throw new Error('zeros: expected the same bits with and without zeros, got others')
  }
  for (const sequence of sequences) sequence.dispose()
}

const names = [
  'dense, every row read',
  'exact zeros',
  'shadow 50 %, every row read',
  'shadow 50 % + exact zeros',
]

/** Processor time of this thread in milliseconds: what other processes take of a busy machine does not count. */
function processorTime(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

/** Work per millisecond of each job, in interleaved rounds after an untimed one. */
async function inTurns(jobs: readonly WaitingJob[], rounds: number, clock: () => number): Promise<Rates[]> {
  const rates = jobs.map(({ name }) => ({ name, samples: [] as number[] }))
  for (const { run } of jobs) await run()
  await interleave(rounds, jobs.length, async (turn) => {
    const start = clock()
    await jobs[turn].run()
    rates[turn].samples.push(jobs[turn].work / (clock() - start))
  })
  return rates
}

/** Tokens per millisecond of each of `names`, in their order. */
async function rates(models: readonly LanguageModel[], plans: readonly Plan[], of: Case): Promise<Rates[]> {
  const jobs = plans.map((plan, i): WaitingJob & Disposable => {
    const decoding = new Decoding(models[i % 2], of.prompt, of.tokens, plan)
    return {
      name: names[i],
      work: of.tokens,
      prepare: async () => {},
      run: async () => void (await decoding.decode()),
      [Symbol.dispose]: () => decoding.dispose(),
    }
  })
  try {
    return await inTurns(jobs, of.rounds, processorTime)
  } finally {
    for (const job of jobs) job[Symbol.dispose]()
  }
}

async function measure(of: Case, storage: Storage, everyRow: WebAssembly.Module): Promise<string[][]> {
  const backends = [new WasmBackend(everyRow), await createBackend('wasm')]
  const [models, predictors]: [LanguageModel[], Predictor[]] = [[], []]
  try {
    for (const backend of backends) models.push(await loadSubject(of.subject, storage, backend))
    for (const model of models) predictors.push(await of.predictor(model))
    expectSameBits(models, of)
    const plans = [denseMethod, makeMethod({ planner: 'shadow', sparsity: 0.5 })].flatMap((method) =>
      models.map((model, i) =>
        planOf(method, model, { predictors: [predictors[i]], mask: null, mode: 'auto', seed: SEED }),
      ),
    )
    const found = await rates(models, plans, of)
    const share = await shareOfNonzero(models[1], of)
    const percent = (part: number): string => `${(100 * part).toFixed(1)} %`
    const cells = found.map((one) => [
      one.name,
      figure(one, 1000),
      ratio(one, found[0]).toFixed(2),
      one === found[3] ? ratio(one, found[2]).toFixed(2) : '',
    ])
    for (const [i, plan] of plans.entries()) {
      const sizes = { tokens: of.tokens, rounds: 3 }
      const { lines } = await profileDecode(models[i % 2], of.prompt, () => plan, sizes)
      cells[i].push(percent(lines.find(({ what }) => what === 'fc2')?.share ?? NaN))
    }
    return cells.map((line, i) => [
      ...(i === 0 ? [of.subject.model, storage, percent(share)] : ['', '', '']),
      ...line,
    ])
  } finally {
    for (const one of [...predictors, ...models, ...backends]) one.dispose()
  }
}

/** Kernels whose choice between a list and every row is replaced by this one. */
async function compileChoice(choice: boolean): Promise<WebAssembly.Module> {
  const from = 'count <= LONGEST && (isListed ||'
  const plant = { file: 'nonzero.ts', from, to: `count <= LONGEST && ${choice} && (true ||` }
  return new WebAssembly.Module(await compileKernels(plant))
}

/** One fc2 of a token, by lists and by every row, from memory or from a cache. */
async function products(modules: readonly WebAssembly.Module[]): Promise<string[][]> {
  const memory = new WebAssembly.Memory({ initial: (STREAM_START + STREAM_BYTES) / 65536, maximum: 65536 })
  new Float32Array(memory.buffer).fill(0.5)
  const [everyRow, listed] = modules.map((module) => instantiate(module, memory, 0))
  const rows = [['fc2', 'storage', 'weights in', ...SHARES.map((share) => `${100 * share} %`)]]
  for (const [I, O] of PRODUCTS)
    for (const [storage, width] of STORED)
      for (const place of ['memory', 'cache']) {
        const size = width * I * O
        const copies = place === 'memory' ? Math.floor(STREAM_BYTES / size) : 1
        const calls = Math.max(copies, Math.ceil(2 ** 25 / (I * O)))
        const x = everyRow.scratchSize
        const [y, scales] = [x + 4 * PATTERNS * I, x + 4 * (PATTERNS * I + O)]
        new Float32Array(memory.buffer, scales, I).fill(1)
        const cells: string[] = []
        for (const share of SHARES) {
          const random = new Random(SEED)
          const inputs = Float32Array.from({ length: PATTERNS * I }, () => +(random.uniform() < share))
          new Float32Array(memory.buffer, x, PATTERNS * I).set(inputs)
          const jobs = [everyRow, listed].map(({ kernels }, i): WaitingJob => {
            const kernel = kernels[`linear_input_major${storage}`]
            const end = [0, 0, 1, O, I, 0]
            return {
              name: String(i),
              work: calls,
              prepare: async () => {},
              run: async () => {
                for (let call = 0; call < calls; call++) {
                  const weight = STREAM_START + (call % copies) * size
                  const from = [y, x + 4 * I * (call % PATTERNS), weight]
                  kernel(...from, ...(storage === '_i8' ? [scales] : []), ...end)
                }
              },
            }
          })
          // Some systems count processor time in milliseconds, which is longer than the shortest of these runs.
          const [of, by] = await inTurns(jobs, PRODUCT_ROUNDS, now)
          cells.push(ratio(by, of).toFixed(2))
        }
        rows.push([`${I} x ${O}`, storage.slice(1) || 'f32', place, ...cells])
      }
  return rows
}

export async function run(shape: string, layers?: number): Promise<void> {
  const [everyRow, listed] = [await compileChoice(false), await compileChoice(true)]
  await write(
    'stdout',
    `One token: rows listed x every row read, by the share of inputs that are not zero,\n`,
  )
  await write('stdout', `median of ${PRODUCT_ROUNDS} rounds\n${table(await products([everyRow, listed]))}\n`)
  const rows = [
    [
      'model',
      'storage',
      'not zero',
      'method',
      'tokens/s',
      'x every row',
      'x without zeros',
      'fc2 of the token',
    ],
  ]
  for (const each of [await embeddedCase(), shapeCase(shape, layers)])
    for (const storage of STORAGES) rows.push(...(await measure(each, storage, everyRow)))
  await write('stdout', 'Decoding on one thread: median (best) of rounds, by processor time\n')
  await write('stdout', table(rows))
}

/**
 * What a long past costs: the time of a token at contexts of 100 to 2,000 tokens and of the prompts that make them, with
 * the share of attention in each; keys and values as float32 and as int8.
 *
 * Every context is a text of its own that is read once, and gone on from in turns; ratios are taken within rounds. Calls
 * are watched to know their shares, which makes a token longer by a hundredth at most.
 */
import { createBackend } from '../src/backends/select.ts'
import { randomIds } from '../src/bench/job.ts'
import { WatchedModel } from '../src/bench/op_times.ts'
import { loadSubject, shapeSubject, type BenchSubject } from '../src/bench/subject.ts'
import { Decoding } from '../src/evaluation/decode.ts'
import { median, medianRatio, turnOrder } from '../src/results/interleaved_rounds.ts'
import { cacheStorages, type CacheStorage } from '../src/engine/layer_cache.ts'
import type { Storage } from '../src/engine/storages/index.ts'
import { now, write } from '../src/platform/platform.ts'
import { table } from './timing.ts'

const CONTEXTS = [100, 500, 1000, 2000]
/** Tokens of a turn, and turns. */
const TOKENS = 8
const ROUNDS = 15

/** Weights in the two storages that there is a goal for. */
const WEIGHTS: readonly Storage[] = ['f32', 'int8']

/** What a token took, and the share of it in attention and in writing to the cache. */
interface Sample {
  readonly milliseconds: number
  readonly share: number
}

/** Does some work on some tokens, and tells what one took. */
async function sample(watched: WatchedModel, tokens: number, work: () => unknown): Promise<Sample> {
  const inAttention = (): number =>
    watched.times.reduce((sum, { what, milliseconds }) => sum + (what === 'attention' ? milliseconds : 0), 0)
  const before = inAttention()
  watched.recording = true
  const start = now()
  await work()
  const all = now() - start
  watched.recording = false
  return { milliseconds: all / tokens, share: (inAttention() - before) / all }
}

/** One context over one cache. */
class Context {
  readonly cache: CacheStorage
  readonly length: number
  readonly samples: Sample[] = []
  prompt: Sample | null = null
  #decoding: Decoding | null = null

  constructor(cache: CacheStorage, length: number) {
    this.cache = cache
    this.length = length
  }

  /** Reads the text, and generates a little from it to no purpose. */
  async open(watched: WatchedModel): Promise<void> {
    const { model } = watched
    const prompt = randomIds(this.length, model.config.vocabulary, this.length)
    this.prompt = await sample(watched, this.length, () => {
      this.#decoding = new Decoding(model, prompt, TOKENS, { cache: this.cache })
    })
    await this.#decoding?.decode()
  }

  /** One turn. */
  async run(watched: WatchedModel): Promise<void> {
    this.samples.push(await sample(watched, TOKENS, () => this.#decoding?.decode()))
  }

  /** Of each turn. */
  get milliseconds(): number[] {
    return this.samples.map(({ milliseconds }) => milliseconds)
  }

  dispose(): void {
    this.#decoding?.dispose()
  }
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`

/** A line of the table. @param shortest the shortest context over the same cache */
function cells(storage: Storage, one: Context, shortest: Context): string[] {
  const { milliseconds, samples, prompt } = one
  return [
    `${storage}, ${one.cache}`,
    String(one.length),
    `${median(milliseconds).toFixed(2)} (${Math.min(...milliseconds).toFixed(2)})`,
    medianRatio(milliseconds, shortest.milliseconds).toFixed(2),
    percent(median(samples.map(({ share }) => share))),
    prompt?.milliseconds.toFixed(2) ?? '',
    percent(prompt?.share ?? 0),
  ]
}

/** Every context over every cache, weights in one storage. */
async function measure(subject: BenchSubject, storage: Storage): Promise<string[][]> {
  const backend = await createBackend('wasm')
  const model = await loadSubject(subject, storage, backend)
  const watched = new WatchedModel(model)
  const contexts = cacheStorages.flatMap((cache) => CONTEXTS.map((length) => new Context(cache, length)))
  try {
    for (const context of contexts) await context.open(watched)
    for (let round = 0; round < ROUNDS; round++)
      for (const i of turnOrder(round, contexts.length)) await contexts[i].run(watched)
  } finally {
    for (const context of contexts) context.dispose()
    watched.dispose()
    model.dispose()
    backend.dispose()
  }
  return contexts.map((one) =>
    cells(storage, one, contexts.find(({ cache }) => cache === one.cache) as Context),
  )
}

/** @param shape one of `shadowllm bench` @param layers how many of it; default all @throws UsageError SHAPE, LAYERS */
export async function run(shape: string, layers?: number): Promise<void> {
  const subject = shapeSubject(shape, { seed: 1, layers })
  const rows = [
    ['weights, cache', 'context', 'ms/token: median (best)', 'x 100', 'attention', 'prompt', 'attention'],
  ]
  for (const storage of WEIGHTS) rows.push(...(await measure(subject, storage)))
  await write('stdout', `${subject.model}, ${ROUNDS} rounds of ${TOKENS} tokens; ms/token of prompts once\n`)
  await write('stdout', table(rows))
}

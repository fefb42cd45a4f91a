/**
 * The arms of llama.cpp, native, through node-llama-cpp: the GGUF files of a model, each in a context on the processor.
 *
 * What counts is llama.cpp's own clock (llama_perf_context): the time inside llama_decode. Sampling, which the interface
 * always does, and JavaScript come on top; they are the difference to the time seen from outside, and are reported beside it.
 *
 * It is not installed with the project, so the few types needed stand here and not in an import.
 */
import { readFile } from 'node:fs/promises'
import { F16_TOLERANCE, INT8_TOLERANCE, type Arm, type Decoder } from './decoder.ts'
import { architectureFor } from './gguf_model.ts'
import type { Format } from '../../src/io/gguf_formats.ts'
import { peerFolder } from './installed.ts'
import { CAPACITY } from './measure.ts'
import type { Subject } from './models.ts'

interface Llama {
  readonly systemInfo: string
  loadModel(options: { readonly modelPath: string }): Promise<Model>
}

interface Model {
  createContext(options: {
    readonly contextSize: number
    readonly threads: { readonly ideal: number; readonly min: number }
    readonly performanceTracking: boolean
    readonly flashAttention: boolean
  }): Promise<Context>
  dispose(): Promise<void>
}

interface Context {
  getSequence(): Sequence
  printTimings(): Promise<void>
}

type Input =
  | number
  | readonly [token: number, { readonly generateNext: { probabilities?: true; token?: true } }]

interface Sequence {
  clearHistory(): Promise<void>
  controlledEvaluate(
    input: readonly Input[],
  ): Promise<
    readonly ({ readonly next: { readonly probabilities?: ReadonlyMap<number, number> } } | undefined)[]
  >
}

interface Package {
  getLlama(options: {
    readonly gpu: false
    readonly build: 'never'
    readonly maxThreads: number
    readonly logLevel: 'info'
    readonly logger: (level: string, message: string) => void
  }): Promise<Llama>
}

/** What llama.cpp said since its timings were printed last. */
let said: string[] = []
let started: Promise<Llama> | undefined

/** One instance serves all arms. @throws MissingError PEERS_MISSING if it is not installed here */
async function startLlama(): Promise<Llama> {
  const name = 'node-llama-cpp'
  await peerFolder(name)
  const { getLlama } = (await import(name)) as Package
  return getLlama({
    gpu: false,
    build: 'never',
    maxThreads: 0,
    logLevel: 'info',
    logger: (_, message) => void said.push(message),
  })
}

/**
 * What computes: the library of kernels that was chosen for this processor, where the system tells, and their instructions.
 * @throws MissingError PEERS_MISSING
 */
export async function describeLlama(): Promise<string> {
  const { systemInfo } = await (started ??= startLlama())
  // The files that Linux has mapped into this process.
  const maps = await readFile('/proc/self/maps', 'utf8').catch(() => '')
  const [library] = /libggml-cpu-\w+/.exec(maps) ?? ['kernels of unknown name']
  const features = systemInfo
    .split('|')
    .map((feature) => feature.replace('CPU :', '').trim())
    .filter((feature) => feature.endsWith('= 1'))
    .map((feature) => feature.slice(0, -4))
  return `${library} (${features.join(' ')})`
}

/** A loaded model with one sequence. */
export class LlamaDecoder implements Decoder {
  readonly #model: Model
  readonly #context: Context
  readonly #sequence: Sequence
  readonly #vocabulary: number

  constructor(model: Model, context: Context, vocabulary: number) {
    this.#model = model
    this.#context = context
    this.#sequence = context.getSequence()
    this.#vocabulary = vocabulary
  }

  async begin(prompt: Int32Array, read: boolean): Promise<Float32Array> {
    await this.#sequence.clearHistory()
    return this.#feed(prompt, read)
  }

  next(token: number, read: boolean): Promise<Float32Array> {
    return this.#feed(Int32Array.of(token), read)
  }

  async clock(): Promise<number> {
    said = []
    await this.#context.printTimings()
    let milliseconds = 0
    for (const message of said)
      for (const [, time] of message.matchAll(/eval time = +([\d.]+) ms/g)) milliseconds += Number(time)
    return milliseconds
  }

  dispose(): Promise<void> {
    return this.#model.dispose()
  }

  /**
   * Logits but for a constant after every so many tokens of a text, which begins the sequence anew: [V] each. Those after the
   * last one are among them.
   */
  async every(step: number, tokens: Int32Array): Promise<Float32Array[]> {
    await this.#sequence.clearHistory()
    return this.#evaluate(tokens, (i) => (i + 1) % step === 0)
  }

  async #feed(ids: Int32Array, read: boolean): Promise<Float32Array> {
    const [logits] = await this.#evaluate(ids, (i) => read && i === ids.length - 1)
    return logits ?? new Float32Array(0)
  }

  /** Logits but for a constant where they are read: logarithms of probabilities. A last token is sampled, greedily, anyway. */
  async #evaluate(ids: Int32Array, isRead: (i: number) => boolean): Promise<Float32Array[]> {
    const last = ids.length - 1
    const input = Array.from(ids, (id, i): Input => {
      if (isRead(i)) return [id, { generateNext: { probabilities: true } }]
      return i === last ? [id, { generateNext: { token: true } }] : id
    })
    const outputs = await this.#sequence.controlledEvaluate(input)
    return outputs
      .filter((_, i) => isRead(i))
      .map((output) => {
        const logits = new Float32Array(this.#vocabulary).fill(NaN)
        for (const [id, probability] of output?.next.probabilities ?? []) logits[id] = Math.log(probability)
        return logits
      })
  }
}

/** What llama.cpp rounds activations to, by the weights they meet: 16 bits with F16, 8 bits with quantised ones. */
const tolerances: Readonly<Record<Format, number>> = {
  F32: F16_TOLERANCE, // keys and values are of half precision
  F16: F16_TOLERANCE,
  Q8_0: INT8_TOLERANCE,
  Q4_0: INT8_TOLERANCE,
  Q4_1: INT8_TOLERANCE,
}

/** A GGUF file in llama.cpp. @param positions how many a sequence may have @throws MissingError PEERS_MISSING */
export async function loadLlama(
  modelPath: string,
  vocabulary: number,
  threads: number,
  positions: number,
  flashAttention = false,
): Promise<LlamaDecoder> {
  const llama = await (started ??= startLlama())
  const model = await llama.loadModel({ modelPath })
  const context = await model.createContext({
    contextSize: positions,
    threads: { ideal: threads, min: threads },
    performanceTracking: true,
    flashAttention,
  })
  return new LlamaDecoder(model, context, vocabulary)
}

/**
 * The arms of llama.cpp on so many threads; none for a model whose matrices it does not have. Where texts are long, each stands
 * here with flash attention too.
 */
export function llamaArms(
  { config, formats }: Subject,
  threads: number,
  capacity = CAPACITY,
): Arm<Subject>[] {
  const architecture = architectureFor(config)
  if (architecture === null) return []
  const attentions = capacity > CAPACITY ? [false, true] : [false]
  return formats.flatMap((format) =>
    attentions.map((flash): Arm<Subject> => ({
      name: `llama.cpp ${format}${flash ? ', flash attention' : ''}`,
      engine: 'llama.cpp',
      weights: format,
      format,
      sparsity: 0,
      threads,
      tolerance: architecture === 'gpt2' ? null : tolerances[format],
      shifted: true,
      make: async (subject) =>
        loadLlama(await subject.file(format), config.vocabulary, threads, capacity, flash),
    })),
  )
}

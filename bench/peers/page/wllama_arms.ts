/**
 * The arms of llama.cpp in WebAssembly, through wllama: the GGUF files of a model, each in an instance with a worker.
 *
 * It is fetched from beside the page, so the few types needed stand here and not in an import.
 */
import { F16_TOLERANCE, INT8_TOLERANCE, type Arm, type Decoder } from '../decoder.ts'
import { CAPACITY } from '../measure.ts'
import type { PageOrder } from './order.ts'

interface Wllama {
  loadModel(
    files: readonly Blob[],
    options: { readonly n_threads: number; readonly n_ctx: number; readonly n_batch: number },
  ): Promise<void>
  kvClear(): Promise<void>
  decode(tokens: readonly number[], options: object): Promise<unknown>
  /** Probabilities of all tokens for -1. */
  getLogits(most: -1): Promise<readonly { readonly token: number; readonly p: number }[]>
  exit(): Promise<void>
}

interface Package {
  readonly Wllama: new (paths: Readonly<Record<string, string>>, options: object) => Wllama
}

class WllamaDecoder implements Decoder {
  readonly #wllama: Wllama

  constructor(wllama: Wllama) {
    this.#wllama = wllama
  }

  async begin(prompt: Int32Array, read: boolean): Promise<Float32Array> {
    await this.#wllama.kvClear()
    return this.#feed([...prompt], read)
  }

  next(token: number, read: boolean): Promise<Float32Array> {
    return this.#feed([token], read)
  }

  dispose(): Promise<void> {
    return this.#wllama.exit()
  }

  /** Logits but for a constant, if they are read: logarithms of probabilities. Nothing is sampled. */
  async #feed(tokens: readonly number[], read: boolean): Promise<Float32Array> {
    await this.#wllama.decode(tokens, {})
    if (!read) return new Float32Array(0)
    const probabilities = await this.#wllama.getLogits(-1)
    const logits = new Float32Array(probabilities.length)
    for (const { token, p } of probabilities) logits[token] = Math.log(p)
    return logits
  }
}

/** The arms of wllama. @param at the address of its folder `esm` */
export function wllamaArms({ formats, files, threads }: PageOrder, at: string): Arm<null>[] {
  return formats.map((format) => ({
    name: `wllama ${format}`,
    engine: 'wllama',
    weights: format,
    format,
    sparsity: 0,
    threads,
    tolerance: format === 'F32' || format === 'F16' ? F16_TOLERANCE : INT8_TOLERANCE,
    shifted: true,
    async make() {
      const { Wllama } = (await import(/* @vite-ignore */ `${at}index.js`)) as Package
      const builds = ['single-thread', 'multi-thread'].map((build) => `${build}/wllama.wasm`)
      const paths = Object.fromEntries(builds.map((build) => [build, `${at}${build}`]))
      const wllama = new Wllama(paths, { suppressNativeLog: true })
      const file = await (await fetch(`${files}${format}.gguf`)).blob()
      await wllama.loadModel([file], { n_threads: threads, n_ctx: CAPACITY, n_batch: CAPACITY })
      return new WllamaDecoder(wllama)
    },
  }))
}

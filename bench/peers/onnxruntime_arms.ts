/**
 * The arms of onnxruntime: the decoder of decoder_graph.ts in sessions of onnxruntime.
 *
 * Each step hands in the keys and values of the past and takes them back with the new ones behind, as decoding through
 * the public interface does; the copies are part of what is timed.
 */
import type { ModelConfig } from '../../src/engine/config.ts'
import { POSITION_OFFSET } from './outer_names.ts'
import { F32_TOLERANCE, type Arm, type Decoder } from './decoder.ts'
import { cacheNames } from './decoder_graph.ts'
import {
  loadPackage,
  openSession,
  type Onnxruntime,
  type Package,
  type Session,
  type SessionOptions,
  type Tensor,
} from './onnxruntime.ts'
import type { Subject } from './models.ts'

class OnnxDecoder implements Decoder {
  readonly #runtime: Onnxruntime
  readonly #session: Session
  readonly #config: ModelConfig
  #past: Record<string, Tensor> = {}
  #length = 0

  constructor(runtime: Onnxruntime, session: Session, config: ModelConfig) {
    this.#runtime = runtime
    this.#session = session
    this.#config = config
  }

  begin(prompt: Int32Array): Promise<Float32Array> {
    const { layers, heads: H, headSize: K } = this.#config
    const empty = new this.#runtime.Tensor('float32', new Float32Array(0), [1, H, 0, K])
    this.#past = {}
    this.#length = 0
    for (let layer = 0; layer < layers; layer++)
      for (const [past] of cacheNames(layer)) this.#past[past] = empty
    return this.#feed(prompt)
  }

  next(token: number): Promise<Float32Array> {
    return this.#feed(Int32Array.of(token))
  }

  async dispose(): Promise<void> {
    this.#past = {}
    await this.#session.release()
  }

  async #feed(ids: Int32Array): Promise<Float32Array> {
    const start = this.#length + POSITION_OFFSET
    const outputs = await this.#session.run({
      tokens: this.#integers(BigInt64Array.from(ids, BigInt)),
      positions: this.#integers(BigInt64Array.from(ids, (_, i) => BigInt(start + i))),
      ...this.#past,
    })
    for (let layer = 0; layer < this.#config.layers; layer++)
      for (const [past, present] of cacheNames(layer)) this.#past[past] = outputs[present]
    this.#length += ids.length
    return outputs.logits.data as Float32Array
  }

  #integers(values: BigInt64Array): Tensor {
    return new this.#runtime.Tensor('int64', values, [1, values.length])
  }
}

function arm(from: Package, options: SessionOptions, more = ''): Arm<Subject> {
  const { threads } = options
  return {
    name: `${from}${more}`,
    engine: from,
    weights: 'f32',
    format: 'F32',
    sparsity: 0,
    threads,
    tolerance: F32_TOLERANCE,
    async make({ config, folder }) {
      const runtime = await loadPackage(from)
      return new OnnxDecoder(runtime, await openSession(runtime, from, folder, options), config)
    },
  }
}

/**
 * The arms of onnxruntime on so many threads. onnxruntime-node stands here twice: repacked matrices make its prompts faster,
 * matrices as they are its decoding. onnxruntime-web has one thread in Node.
 */
export function onnxruntimeArms({ config }: Subject, threads: number): Arm<Subject>[] {
  if (config.family !== 'opt') return []
  const repacked = arm('onnxruntime-node', { threads, repacked: true })
  if (threads > 1) return [repacked]
  return [
    arm('onnxruntime-web', { threads, repacked: true }),
    repacked,
    arm('onnxruntime-node', { threads, repacked: false }, ', not repacked'),
  ]
}

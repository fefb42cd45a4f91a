/**
 * The scratch of one sequence: the buffers a pass works in, the same for every layer and every token. They grow to the
 * longest pass so far and are then reused, so that decoding allocates nothing here.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import type { OptConfig } from './config.ts'
import type { BlockBuffers, EmbeddingBuffers, EndBuffers } from './forward.ts'

/** Logits computed at a time, in numbers: bounds the buffer when every position of a long prompt is wanted. */
const LOGITS_AT_ONCE = 2 ** 20

/** Where a pass of up to `rows` tokens works. */
export interface Scratch {
  readonly embedding: EmbeddingBuffers
  readonly block: BlockBuffers
  readonly end: EndBuffers
}

/** Scratch buffers that grow on demand. */
export class RunState {
  readonly #scope: BufferScope
  readonly #config: OptConfig
  #rows = 0
  #scratch: Scratch | null = null
  #logits: Buffer | null = null

  constructor(backend: Backend, config: OptConfig) {
    this.#scope = new BufferScope(backend)
    this.#config = config
  }

  /** Scratch for a pass of T tokens. */
  reserve(T: number): Scratch {
    if (this.#scratch && T <= this.#rows) return this.#scratch
    this.#scope.dispose()
    this.#scratch = null
    this.#logits = null
    this.#scratch = this.#allocate(T)
    this.#rows = T
    return this.#scratch
  }

  /** How many rows of logits are computed at a time. */
  get logitsRows(): number {
    return Math.max(1, Math.min(this.#rows, Math.floor(LOGITS_AT_ONCE / this.#config.vocabulary)))
  }

  /** A buffer for `rows` rows of logits, at most `logitsRows`. */
  logits(rows: number): Buffer {
    const length = rows * this.#config.vocabulary
    if (this.#logits && this.#logits.length >= length) return this.#logits
    if (this.#logits) this.#scope.free(this.#logits)
    this.#logits = this.#scope.allocate(length)
    return this.#logits
  }

  dispose(): void {
    this.#scope.dispose()
    this.#scratch = null
    this.#logits = null
  }

  #allocate(T: number): Scratch {
    const { width: D, neurons: F, embeddingWidth: E, preNorm } = this.#config
    const stream = this.#scope.allocate(T * D)
    const other = this.#scope.allocate(T * D)
    const context = this.#scope.allocate(T * D)
    const hidden = this.#scope.allocate(T * F)
    const embedded = E === D ? null : this.#scope.allocate(T * E)
    const block: BlockBuffers = {
      input: stream,
      attentionInput: preNorm ? other : stream,
      query: this.#scope.allocate(T * D),
      key: this.#scope.allocate(T * D),
      value: this.#scope.allocate(T * D),
      context,
      maskedContext: context,
      branch: this.#scope.allocate(T * D),
      attentionSum: preNorm ? stream : other,
      middle: stream,
      ffnInput: preNorm ? other : stream,
      preActivation: hidden,
      activation: hidden,
      maskedActivation: hidden,
      ffnSum: preNorm ? stream : other,
      output: stream,
    }
    return {
      embedding: { embedded, position: other, output: stream },
      block,
      end: { normed: other, projected: embedded },
    }
  }
}

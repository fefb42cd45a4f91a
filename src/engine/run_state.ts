/**
 * The scratch of one sequence: the buffers a pass works in, the same for every layer and every token. They grow to the
 * longest pass so far and are then reused, so that decoding allocates nothing here. What a pass is given are views of as many
 * rows as it has tokens, and as wide as its block is; they are kept while these stay as they are.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { contextWidth, type ModelConfig } from './config.ts'
import type { BlockBuffers, EmbeddingBuffers, EndBuffers } from './forward.ts'

/** Logits computed at a time, in numbers: bounds the buffer when every position of a long prompt is wanted. */
const LOGITS_AT_ONCE = 2 ** 20

/** The buffers, of as many rows as the longest pass. */
interface Room {
  readonly stream: Buffer
  readonly other: Buffer
  readonly context: Buffer
  readonly hidden: Buffer
  readonly up: Buffer | null
  readonly embedded: Buffer | null
  readonly query: Buffer
  readonly key: Buffer
  readonly value: Buffer
  readonly branch: Buffer
}

/** Where the ends of a pass work. */
interface Ends {
  readonly T: number
  readonly stream: Buffer // [T, D]
  readonly embedding: EmbeddingBuffers
  readonly end: EndBuffers
}

/** What a block holds. */
type Held = Readonly<Record<'heads' | 'keyHeads' | 'neurons', number>>

/** Where a block works that holds so much. */
interface Block extends Held {
  readonly T: number
  readonly buffers: BlockBuffers
}

/** Scratch buffers that grow on demand. */
export class RunState {
  readonly #backend: Backend
  readonly #scope: BufferScope
  readonly #config: ModelConfig
  #rows = 0
  #room: Room | null = null
  #ends: Ends | null = null
  /** By layer. */
  #blocks: Block[] = []
  #logits: Buffer | null = null
  /** By how many there are. */
  readonly #factors = new Map<number, Buffer>()

  constructor(backend: Backend, config: ModelConfig) {
    this.#backend = backend
    this.#scope = new BufferScope(backend)
    this.#config = config
  }

  /** Where the ends of a pass of T tokens work. */
  ends(T: number): Ends {
    const { stream, other, embedded } = this.#reserve(T)
    if (this.#ends?.T === T) return this.#ends
    const { width: D, embeddingWidth: E } = this.#config
    const rows = (buffer: Buffer, width: number): Buffer => this.#backend.view(buffer, [T, width])
    const [own, spare, narrow] = [rows(stream, D), rows(other, D), embedded && rows(embedded, E)]
    this.#ends = {
      T,
      stream: own,
      embedding: { embedded: narrow, position: spare, output: own },
      end: { normed: spare, projected: narrow },
    }
    return this.#ends
  }

  /** Where a layer works in a pass of T tokens. */
  block(layer: number, T: number, { heads, keyHeads, neurons }: Held): BlockBuffers {
    const room = this.#reserve(T)
    const last = this.#blocks[layer]
    if (last?.T === T && last.heads === heads && last.keyHeads === keyHeads && last.neurons === neurons)
      return last.buffers
    const { width: D, headSize: K, preNorm } = this.#config
    const rows = (buffer: Buffer, width: number): Buffer => this.#backend.view(buffer, [T, width])
    const [stream, other, branch] = [room.stream, room.other, room.branch].map((buffer) => rows(buffer, D))
    const [query, context] = [room.query, room.context].map((buffer) => rows(buffer, heads * K))
    const [key, value] = [room.key, room.value].map((buffer) => rows(buffer, keyHeads * K))
    const hidden = rows(room.hidden, neurons)
    const buffers: BlockBuffers = {
      input: stream,
      attentionInput: preNorm ? other : stream,
      query,
      key,
      value,
      context,
      maskedContext: context,
      branch,
      attentionSum: preNorm ? stream : other,
      middle: stream,
      ffnInput: preNorm ? other : stream,
      preActivation: hidden,
      up: room.up && rows(room.up, neurons),
      activation: hidden,
      maskedActivation: hidden,
      ffnSum: preNorm ? stream : other,
      output: stream,
    }
    this.#blocks[layer] = { T, heads, keyHeads, neurons, buffers }
    return buffers
  }

  /** How many rows of logits are computed at a time. */
  get logitsRows(): number {
    return Math.max(1, Math.min(this.#rows, Math.floor(LOGITS_AT_ONCE / this.#config.vocabulary)))
  }

  /** Room for `rows` rows of logits, at most `logitsRows`: [rows, V]. */
  logits(rows: number): Buffer {
    const shape = [rows, this.#config.vocabulary]
    if (!this.#logits || this.#logits.shape[0] < rows) {
      if (this.#logits) this.#scope.free(this.#logits)
      this.#logits = this.#scope.allocate('f32', shape)
    }
    return this.#logits.shape[0] === rows ? this.#logits : this.#backend.view(this.#logits, shape)
  }

  /** Room for a factor of each of C channels, which the next call for as many overwrites: [C]. */
  factors(C: number): Buffer {
    const known = this.#factors.get(C) ?? this.#scope.allocate('f32', [C], 'anything')
    this.#factors.set(C, known)
    return known
  }

  dispose(): void {
    this.#scope.dispose()
    this.#room = null
    this.#ends = null
    this.#blocks = []
    this.#logits = null
    this.#factors.clear()
  }

  #reserve(T: number): Room {
    if (this.#room && T <= this.#rows) return this.#room
    this.dispose()
    this.#room = this.#allocate(T)
    this.#rows = T
    return this.#room
  }

  #allocate(T: number): Room {
    const { width: D, neurons: F, embeddingWidth: E, keyHeads: G, headSize: K, gated } = this.#config
    const rows = (width: number): Buffer => this.#scope.allocate('f32', [T, width])
    const context = contextWidth(this.#config)
    return {
      stream: rows(D),
      other: rows(D),
      context: rows(context),
      hidden: rows(F),
      up: gated ? rows(F) : null,
      embedded: E === D ? null : rows(E),
      query: rows(context),
      key: rows(G * K),
      value: rows(G * K),
      branch: rows(D),
    }
  }
}

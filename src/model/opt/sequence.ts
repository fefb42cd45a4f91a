/**
 * One sequence being read or written: its cache, its mask, its position.
 *
 * A feed runs new tokens after those already fed. Feeding a text at once, token by token or in any parts gives the same
 * bits. The first feed is the prompt: a planner is asked during it, and the mask it gives holds from that point on, for
 * the rest of the sequence or until the planner is asked again (`every`, see masks/planner.ts). In the latter case the
 * keys and values of all heads are kept, so that a head chosen later finds no holes in its past: it reads what it would
 * have written had only its own output been skipped, that is, keys and values of the masked stream of their time.
 *
 * Sequences are unpadded and start at position 0 (batch.ts takes padding away).
 */
import type { Buffer } from '../../backends/backend.ts'
import { denseMask, makeMask, type UnitMask } from '../../masks/mask.ts'
import type { MaskPlanner } from '../../masks/planner.ts'
import { UsageError } from '../../tensor/errors.ts'
import {
  attend,
  embed,
  feedForward,
  finish,
  logitsOf,
  project,
  type BlockBuffers,
  type Pass,
} from './forward.ts'
import { KeyValueCache } from './kv_cache.ts'
import type { LoadedModel } from './loaded_model.ts'
import { Plan, type Piece } from './plan.ts'
import { RunState } from './run_state.ts'
import {
  checkMask,
  allUnits,
  compileUnits,
  freeUnits,
  layerMask,
  type LayerUnits,
  type MaskMode,
} from './unit_lists.ts'

/** How a sequence begins. */
export interface SequenceOptions {
  /** Positions to make room for at once; the cache grows by itself. Default: twice the prompt, at least 64. */
  readonly capacity?: number
  /** A mask known beforehand. Not together with a planner. */
  readonly mask?: UnitMask | null
  /** Who decides the mask during the first feed. */
  readonly planner?: MaskPlanner | null
  /** `skip` leaves the work out (default); `simulate` computes everything and multiplies by the mask. */
  readonly mode?: MaskMode
}

/** Which positions' logits a feed hands back. */
export type LogitsWanted = 'all' | 'last' | 'none'

/** A sequence in the making. Made by `OptModel.begin`; give it back with `dispose`. */
export class Sequence {
  readonly model: LoadedModel
  readonly mode: MaskMode
  readonly #plan: Plan | null
  readonly #capacity: number | undefined
  readonly #cache: KeyValueCache
  readonly #state: RunState
  readonly #dense: LayerUnits
  /** Compiled units of each layer; null where the layer is dense. */
  readonly #units: (LayerUnits | null)[]
  #mask: UnitMask | null = null
  #length = 0
  #disposed = false

  /** @throws UsageError MASK_SHAPE, MASK_VALUE, PLACEMENT, EVERY, or PLANNER if both a mask and a planner are given */
  constructor(model: LoadedModel, options: SequenceOptions = {}) {
    const { mask = null, planner = null, mode = 'skip' } = options
    if (mask && planner) throw new UsageError('PLANNER', 'sequence: expected a mask or a planner, got both')
    this.model = model
    this.mode = mode
    this.#plan = planner && new Plan(planner, model.config)
    this.#capacity = options.capacity
    this.#cache = new KeyValueCache(model.backend, model.config)
    this.#state = new RunState(model.backend, model.config)
    const { heads, headSize, neurons, layers } = model.config
    this.#dense = allUnits(heads, headSize, neurons)
    this.#units = new Array<LayerUnits | null>(layers).fill(null)
    if (mask) this.#adopt(mask)
  }

  /** Tokens fed so far. */
  get length(): number {
    return this.#length
  }

  /** The mask in force: given, or what the planner decided last; null is dense. */
  get mask(): UnitMask | null {
    return this.#mask
  }

  /**
   * Runs tokens after those already fed.
   * @param tokens [T], at least one
   * @returns logits [T, V], or of the last position [V], or nothing
   * @throws UsageError TOKENS for none or an id outside the vocabulary, CONTEXT_LENGTH past the last position;
   *   PLANNER_MASK, MASK_SHAPE or MASK_VALUE for a planner's mask. Pieces that ran before the planner failed stay fed.
   */
  feed(tokens: Int32Array, logits: LogitsWanted = 'last'): Float32Array {
    const { vocabulary: V } = this.model.config
    const T = tokens.length
    const wanted = logits === 'all' ? T : logits === 'last' ? 1 : 0
    const rows = new Float32Array(wanted * V)
    this.#run(tokens, (stream, start, count) => {
      if (logits === 'all')
        this.#eachChunk(count, (at, some) => rows.set(this.#logits(stream, at, some), (start + at) * V))
      else if (logits === 'last' && start + count === T) rows.set(this.#logits(stream, count - 1, 1))
    })
    return rows
  }

  /**
   * Runs tokens and scores what follows each of them, without handing logits to the host.
   * @param tokens [T]
   * @param targets [T], the id that follows each token, or -100 for "not scored"
   * @returns negative log-likelihoods in nats [T], 0 where not scored
   * @throws UsageError as `feed`; LABELS if the lists differ in length
   */
  score(tokens: Int32Array, targets: Int32Array): Float32Array {
    if (targets.length !== tokens.length)
      throw new UsageError('LABELS', `targets: expected ${tokens.length}, got ${targets.length}`)
    const { backend, config } = this.model
    const scores = new Float32Array(tokens.length)
    const scoreChunk = (stream: Buffer, from: number, rows: number, start: number): void => {
      const logits = this.#headOf(stream, from, rows)
      const labels = backend.upload(targets.slice(start, start + rows))
      const nll = backend.allocate('f32', rows)
      try {
        backend.ops.cross_entropy(nll, logits, labels, rows, config.vocabulary)
        scores.set(backend.readF32(nll), start)
      } finally {
        backend.free(labels)
        backend.free(nll)
      }
    }
    this.#run(tokens, (stream, start, count) =>
      this.#eachChunk(count, (from, rows) => scoreChunk(stream, from, rows, start + from)),
    )
    return scores
  }

  /** Frees the cache, the scratch and the mask. Safe to call twice. */
  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    this.#cache.dispose()
    this.#state.dispose()
    for (let layer = 0; layer < this.#units.length; layer++) this.#replace(layer, null)
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  /** Runs new tokens piece by piece; `each` is given a piece's stream [count, D], which stays in scratch, and its place. */
  #run(tokens: Int32Array, each: (stream: Buffer, start: number, count: number) => void): void {
    const T = tokens.length
    const past = this.#length
    if (this.#disposed) throw new UsageError('DISPOSED', 'sequence: expected a live one, got one disposed of')
    this.model.checkTokens(tokens, past)
    this.#cache.reserve(past + T, past, this.#capacity ?? Math.max(64, 2 * T))
    for (const piece of this.#plan?.pieces(past, T) ?? [{ past, T, asks: false }]) {
      const start = piece.past - past
      each(this.#runPiece(piece, tokens.subarray(start, start + piece.T)), start, piece.T)
    }
  }

  /** The blocks over a piece; returns the stream leaving the last one. */
  #runPiece(piece: Piece, tokens: Int32Array): Buffer {
    const { model } = this
    const { backend, config, weights } = model
    const { past, T } = piece
    const { embedding, block } = this.#state.reserve(T)
    const pass: Pass = { backend, config, T, past, capacity: this.#cache.capacity }
    const ids = backend.upload(tokens)
    try {
      embed(pass, weights, ids, model.positionRows(past, T), embedding)
    } finally {
      backend.free(ids)
    }
    const everyKey = this.#plan?.keepsEveryKey ?? false
    for (let layer = 0; layer < config.layers; layer++) {
      this.#askBefore(piece, layer, block)
      attend(pass, weights.blocks[layer], this.#unitsOf(layer), this.#cache.layer(layer), block, everyKey)
      if (layer === this.#plan?.placement) this.#askAfter(piece, tokens, block)
      project(pass, weights.blocks[layer], this.#unitsOf(layer), block)
      feedForward(pass, weights.blocks[layer], this.#unitsOf(layer), block)
    }
    this.#length = past + T
    return block.output
  }

  #unitsOf(layer: number): LayerUnits {
    return this.#units[layer] ?? this.#dense
  }

  #replace(layer: number, units: LayerUnits | null): void {
    const old = this.#units[layer]
    if (old) freeUnits(this.model.backend, old)
    this.#units[layer] = units
  }

  #adopt(mask: UnitMask): void {
    checkMask(mask, this.model.shape)
    const { backend, config } = this.model
    const compiled: LayerUnits[] = []
    try {
      for (let layer = 0; layer < config.layers; layer++)
        compiled.push(compileUnits(backend, layerMask(mask, layer), config.headSize, this.mode))
    } catch (error) {
      for (const units of compiled) freeUnits(backend, units)
      throw error
    }
    compiled.forEach((units, layer) => this.#replace(layer, units))
    this.#mask = mask
  }

  /** The whole-model decision, from the heads' outputs of the layer it is made after. */
  #askAfter(piece: Piece, tokens: Int32Array, block: BlockBuffers): void {
    const mask = this.#plan?.afterAttention(piece, tokens, () => this.#host(block.context, piece.T))
    if (mask) this.#adopt(mask)
  }

  /** One layer's decision, from the stream entering it. */
  #askBefore(piece: Piece, layer: number, block: BlockBuffers): void {
    const decided = this.#plan?.beforeLayer(piece, layer, (rows) => this.#host(block.input, rows))
    if (decided === undefined) return
    const { backend, config, shape } = this.model
    if (layer === 0 || !this.#mask) this.#mask = copyMask(this.#mask ?? denseMask(shape))
    const kept = layerMask(this.#mask, layer)
    kept.heads.set(decided?.heads ?? new Float32Array(shape.heads).fill(1))
    kept.neurons.set(decided?.neurons ?? new Float32Array(shape.neurons).fill(1))
    this.#replace(layer, decided && compileUnits(backend, kept, config.headSize, this.mode))
  }

  /** A copy of T rows of the model's width. */
  #host(buffer: Buffer, T: number): Float32Array {
    return this.model.backend.readF32(this.model.backend.slice(buffer, 0, T * this.model.config.width))
  }

  #eachChunk(T: number, work: (start: number, rows: number) => void): void {
    const most = this.#state.logitsRows
    for (let start = 0; start < T; start += most) work(start, Math.min(most, T - start))
  }

  #logits(stream: Buffer, start: number, rows: number): Float32Array {
    const { backend, config } = this.model
    const logits = this.#headOf(stream, start, rows)
    return backend.readF32(backend.slice(logits, 0, rows * config.vocabulary))
  }

  /** The logits of some rows of the stream, in scratch. */
  #headOf(stream: Buffer, start: number, rows: number): Buffer {
    const { backend, config, weights } = this.model
    const { width: D } = config
    const pass: Pass = { backend, config, T: rows, past: 0, capacity: 0 }
    const chosen = backend.slice(stream, start * D, rows * D)
    const logits = this.#state.logits(rows)
    logitsOf(pass, weights, logits, finish(pass, weights, chosen, this.#state.reserve(rows).end))
    return logits
  }
}

function copyMask({ shape, heads, neurons }: UnitMask): UnitMask {
  return makeMask(shape, heads.slice(), neurons.slice())
}

/**
 * The keys and values of one sequence, layer by layer.
 *
 * A layer's part is made when it is first asked for, for the key heads that it holds then: a packed layer has no room for
 * those that are skipped. Key heads that are skipped in place are never written, and nobody reads them. The cache doubles
 * when it is full: then every buffer is laid out anew through the host, which happens log2(positions / start) times in
 * a sequence at most.
 *
 * Where a window slides, a part holds the positions that are still seen, however long the sequence: what is full is moved to
 * its front, once in a window or in `MOST_SPARE` positions. Positions move by whole blocks of values (ops/attention_i8.ts), so
 * that blocks begin where they would in a cache of all positions, and some more than are seen stay, so that a sequence can be
 * taken back a little.
 */
import type { Backend, StoredBuffer } from '../backends/backend.ts'
import { VALUE_BLOCK } from '../ops/attention_i8.ts'
import type { ModelConfig } from './config.ts'
import {
  allocateRows,
  freeRows,
  moveRows,
  rowBytes,
  readRows,
  writeRows,
  type CacheStorage,
  type HeldRows,
  type HostRows,
  type LayerCache,
  type Room,
} from './layer_cache.ts'

/** How far a sequence can be taken back past what a window sees, in positions. */
export const MOST_BACK: number = VALUE_BLOCK
/** Positions that enter before what is seen is moved, at most. */
const MOST_SPARE = 512

/** The rows of a layer over which a window slides, however long the sequence. */
export function windowRows(window: number): number {
  const seen = Math.ceil(window / VALUE_BLOCK) * VALUE_BLOCK
  return seen + MOST_BACK + VALUE_BLOCK + Math.min(seen, MOST_SPARE)
}

/** Whether a layer may hold the last R of S positions: all that are seen, and from the start of a block on. */
export function mayHold(R: number, S: number, window: number | null): boolean {
  if (window === null) return R === S
  const first = S - R
  return (
    first >= 0 && first % VALUE_BLOCK === 0 && first <= Math.max(0, S - window + 1) && R <= windowRows(window)
  )
}

/** A layer's part, and whose it is. */
class HeldCache implements LayerCache {
  readonly backend: Backend
  readonly keyHeads: number // G
  readonly window: number | null
  readonly key: StoredBuffer // [G, C, K]
  readonly value: StoredBuffer // [G, C, K]
  readonly #capacity: number // C
  /** The position of the first row: a multiple of a block of values. */
  #first: number

  /** @throws MissingError BACKEND_MEMORY; nothing stays allocated */
  constructor(
    backend: Backend,
    storage: CacheStorage,
    shape: readonly [G: number, C: number, K: number],
    window: number | null,
    first = 0,
  ) {
    this.backend = backend
    this.keyHeads = shape[0]
    this.window = window
    this.#capacity = shape[1]
    this.#first = first
    const key = allocateRows(backend, storage, shape)
    try {
      this.value = allocateRows(backend, storage, shape)
    } catch (error) {
      freeRows(backend, key)
      throw error
    }
    this.key = key
  }

  get first(): number {
    return this.#first
  }

  bytes(storage: CacheStorage, K: number): number {
    return 2 * this.keyHeads * this.#capacity * rowBytes(storage, K)
  }

  /** The first position that must stay for what comes after `position` of them. */
  #needed(position: number): number {
    const first = Math.max(0, position - (this.window ?? position) + 1 - MOST_BACK)
    return first - (first % VALUE_BLOCK)
  }

  room(position: number, T: number): Room {
    if (position - this.#first + T > this.#capacity) {
      const first = this.#needed(position)
      const count = position - first
      if (first > this.#first)
        for (const rows of [this.key, this.value])
          moveRows(this.backend, rows, rows, count, first - this.#first)
      this.#first = Math.max(first, this.#first)
    }
    const row = position - this.#first
    return { row, count: Math.min(T, this.#capacity - row) }
  }

  /** Whether all is there that a token at a position sees. */
  holds(position: number): boolean {
    return this.window === null || this.#first <= Math.max(0, position - this.window + 1)
  }

  dispose(): void {
    freeRows(this.backend, this.key)
    freeRows(this.backend, this.value)
  }
}

/** The cache of all layers. */
export class KeyValueCache {
  readonly #config: ModelConfig
  readonly storage: CacheStorage
  /** Whether positions stay that no window sees any more. */
  readonly keepsAll: boolean
  readonly #layers: (HeldCache | null)[]
  #capacity = 0

  constructor(config: ModelConfig, storage: CacheStorage, keepsAll = false) {
    this.#config = config
    this.storage = storage
    this.keepsAll = keepsAll
    this.#layers = new Array<HeldCache | null>(config.layers).fill(null)
  }

  /** C, the positions there is room for in a layer without a window. */
  get capacity(): number {
    return this.#capacity
  }

  /** Bytes of what is allocated. */
  get bytes(): number {
    const { storage } = this
    const { headSize } = this.#config
    return this.#layers.reduce((total, held) => total + (held?.bytes(storage, headSize) ?? 0), 0)
  }

  /** Whether a layer has a part already. */
  has(layer: number): boolean {
    return this.#layers[layer] !== null
  }

  /** Whether every layer holds what a token at a position sees. */
  holds(position: number): boolean {
    return this.#layers.every((held) => held?.holds(position) ?? true)
  }

  /** A layer's part, made for so many key heads and a window if there is none yet. */
  layer(layer: number, backend: Backend, keyHeads: number, window: number | null = null): LayerCache {
    return (this.#layers[layer] ??= this.#allocate({
      backend,
      keyHeads,
      window: this.keepsAll ? null : window,
      capacity: this.#capacity,
    }))
  }

  /**
   * What a layer holds of the first S positions: the last R of them, all without a window.
   * @param heads the key heads that a layer holds which does not hold all
   */
  held(layer: number, S: number, heads: Int32Array): HeldRows {
    const { backend, keyHeads, key, value, first } = this.#layers[layer] as HeldCache
    const { keyHeads: G } = this.#config
    const which = keyHeads === G ? null : heads
    const read = (rows: StoredBuffer): HostRows => readRows(backend, rows, S - first, G, which)
    return { key: read(key), value: read(value) }
  }

  /**
   * Fills a layer, which is empty, with what `held` gave; there is room for S positions. It then holds all key heads.
   * @param rows R positions of each head, as `mayHold` has it
   */
  fill(layer: number, backend: Backend, S: number, { key, value }: HeldRows): void {
    const { keyHeads, headSize, layerWindow } = this.#config
    const R = key.values.length / (keyHeads * headSize)
    const window = this.keepsAll ? null : (layerWindow?.[layer] ?? null)
    const made = this.#allocate({ backend, keyHeads, window, first: S - R, capacity: this.#capacity })
    this.#layers[layer] = made
    writeRows(backend, made.key, key, R)
    writeRows(backend, made.value, value, R)
  }

  /** Makes room for `needed` positions, `filled` of which are kept. `atLeast` is a hint for the first time. */
  reserve(needed: number, filled: number, atLeast: number): void {
    // A first feed that failed may have left parts of heads that another mask skips.
    if (filled === 0) this.#drop()
    if (needed <= this.#capacity) return
    const wanted = this.#capacity === 0 ? Math.max(needed, atLeast) : Math.max(needed, 2 * this.#capacity)
    const capacity = Math.max(needed, Math.min(wanted, this.#config.positions))
    const fresh = new Map<number, HeldCache>()
    try {
      for (const [layer, old] of this.#layers.entries())
        if (old && rowsFor(old.window, capacity) > rowsFor(old.window, this.#capacity))
          fresh.set(layer, this.#allocate({ ...heldIn(old), capacity }))
    } catch (error) {
      for (const held of fresh.values()) held.dispose()
      throw error
    }
    for (const [layer, next] of fresh) {
      const old = this.#layers[layer] as HeldCache
      moveRows(old.backend, old.key, next.key, filled - old.first)
      moveRows(old.backend, old.value, next.value, filled - old.first)
      old.dispose()
      this.#layers[layer] = next
    }
    this.#capacity = capacity
  }

  dispose(): void {
    this.#drop()
    this.#capacity = 0
  }

  #drop(): void {
    for (const held of this.#layers) held?.dispose()
    this.#layers.fill(null)
  }

  #allocate({ backend, keyHeads, window, first, capacity }: Part & { capacity: number }): HeldCache {
    const shape = [keyHeads, rowsFor(window, capacity), this.#config.headSize] as const
    return new HeldCache(backend, this.storage, shape, window, first)
  }
}

/** What a part is made for. */
interface Part {
  readonly backend: Backend
  readonly keyHeads: number
  readonly window: number | null
  readonly first?: number
}

function heldIn({ backend, keyHeads, window, first }: HeldCache): Part {
  return { backend, keyHeads, window, first }
}

/** Bytes that the keys and values of a sequence of so many tokens take, where all heads are kept. */
export function cacheBytes(config: ModelConfig, storage: CacheStorage, positions: number): number {
  const { layers, keyHeads, headSize, layerWindow } = config
  let rows = 0
  for (let l = 0; l < layers; l++) rows += rowsFor(layerWindow?.[l] ?? null, positions)
  return 2 * rows * keyHeads * rowBytes(storage, headSize)
}

/** The rows of a layer that has room for so many positions. */
export function rowsFor(window: number | null, capacity: number): number {
  return window === null ? capacity : Math.min(capacity, windowRows(window))
}

/**
 * The keys and values of one sequence, layer by layer.
 *
 * A layer's part is made when it is first asked for, for the key heads that it holds then: a packed layer has no room for
 * those that are skipped. Key heads that are skipped in place are never written, and nobody reads them. The cache doubles
 * when it is full: then every buffer is laid out anew through the host, which happens log2(positions / start) times in
 * a sequence at most.
 */
import type { Backend, StoredBuffer } from '../backends/backend.ts'
import type { ModelConfig } from './config.ts'
import {
  allocateRows,
  freeRows,
  moveRows,
  readRows,
  writeRows,
  type CacheStorage,
  type HeldRows,
  type LayerCache,
} from './layer_cache.ts'

/** A layer's part, and whose it is. */
interface HeldCache extends LayerCache {
  readonly backend: Backend
  readonly keyHeads: number // G
}

/** The cache of all layers. */
export class KeyValueCache {
  readonly #config: ModelConfig
  readonly storage: CacheStorage
  readonly #layers: (HeldCache | null)[]
  #capacity = 0

  constructor(config: ModelConfig, storage: CacheStorage) {
    this.#config = config
    this.storage = storage
    this.#layers = new Array<HeldCache | null>(config.layers).fill(null)
  }

  /** C, the positions there is room for. */
  get capacity(): number {
    return this.#capacity
  }

  /** Whether a layer has a part already. */
  has(layer: number): boolean {
    return this.#layers[layer] !== null
  }

  /** A layer's part, made for so many key heads if it has none yet. */
  layer(layer: number, backend: Backend, keyHeads: number): LayerCache {
    return (this.#layers[layer] ??= this.#allocate(backend, keyHeads, this.#capacity))
  }

  /**
   * What a layer holds of the first S positions.
   * @param heads the key heads that a layer holds which does not hold all
   */
  held(layer: number, S: number, heads: Int32Array): HeldRows {
    const { backend, keyHeads, key, value } = this.#layers[layer] as HeldCache
    const { keyHeads: G } = this.#config
    const which = keyHeads === G ? null : heads
    return { key: readRows(backend, key, S, G, which), value: readRows(backend, value, S, G, which) }
  }

  /** Fills a layer, which is empty, with what `held` gave; there is room for S positions. It then holds all key heads. */
  fill(layer: number, backend: Backend, S: number, { key, value }: HeldRows): void {
    const made = this.layer(layer, backend, this.#config.keyHeads)
    writeRows(backend, made.key, key, S)
    writeRows(backend, made.value, value, S)
  }

  /** Makes room for `needed` positions, `filled` of which are kept. `atLeast` is a hint for the first time. */
  reserve(needed: number, filled: number, atLeast: number): void {
    // A first feed that failed may have left parts of heads that another mask skips.
    if (filled === 0) this.#drop()
    if (needed <= this.#capacity) return
    const wanted = this.#capacity === 0 ? Math.max(needed, atLeast) : Math.max(needed, 2 * this.#capacity)
    const capacity = Math.max(needed, Math.min(wanted, this.#config.positions))
    const fresh: HeldCache[] = []
    try {
      for (const old of this.#layers) if (old) fresh.push(this.#allocate(old.backend, old.keyHeads, capacity))
    } catch (error) {
      for (const held of fresh) free(held)
      throw error
    }
    this.#layers.forEach((old, layer) => {
      if (!old) return
      const next = fresh.shift() as HeldCache
      moveRows(old.backend, old.key, next.key, filled)
      moveRows(old.backend, old.value, next.value, filled)
      free(old)
      this.#layers[layer] = next
    })
    this.#capacity = capacity
  }

  dispose(): void {
    this.#drop()
    this.#capacity = 0
  }

  #drop(): void {
    for (const held of this.#layers) if (held) free(held)
    this.#layers.fill(null)
  }

  #allocate(backend: Backend, keyHeads: number, capacity: number): HeldCache {
    const allocate = (): StoredBuffer =>
      allocateRows(backend, this.storage, [keyHeads, capacity, this.#config.headSize])
    const key = allocate()
    try {
      return { backend, keyHeads, key, value: allocate() }
    } catch (error) {
      freeRows(backend, key)
      throw error
    }
  }
}

function free({ backend, key, value }: HeldCache): void {
  freeRows(backend, key)
  freeRows(backend, value)
}

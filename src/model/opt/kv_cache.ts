/**
 * The keys and values of one sequence, head-major per layer: [H, C, K], so that a head's past is one stream.
 *
 * Heads that are skipped are never written; nobody reads them. The cache doubles when it is full: then every buffer is
 * laid out anew through the host, which happens log2(positions / start) times in a sequence at most.
 */
import type { Backend, Buffer } from '../../backends/backend.ts'
import type { OptConfig } from './config.ts'

/** What attention needs of one layer. */
export interface LayerCache {
  readonly key: Buffer // [H, C, K]
  readonly value: Buffer // [H, C, K]
}

/** The cache of all layers. */
export class KeyValueCache {
  readonly #backend: Backend
  readonly #config: OptConfig
  #layers: LayerCache[] = []
  #capacity = 0

  constructor(backend: Backend, config: OptConfig) {
    this.#backend = backend
    this.#config = config
  }

  /** C, the positions there is room for. */
  get capacity(): number {
    return this.#capacity
  }

  layer(layer: number): LayerCache {
    return this.#layers[layer]
  }

  /** Makes room for `needed` positions, `filled` of which are kept. `atLeast` is a hint for the first time. */
  reserve(needed: number, filled: number, atLeast: number): void {
    if (needed <= this.#capacity) return
    const wanted = this.#capacity === 0 ? Math.max(needed, atLeast) : Math.max(needed, 2 * this.#capacity)
    const capacity = Math.max(needed, Math.min(wanted, this.#config.positions))
    const old = this.#layers
    const oldCapacity = this.#capacity
    const fresh: LayerCache[] = []
    try {
      for (let layer = 0; layer < this.#config.layers; layer++) fresh.push(this.#allocate(capacity))
      for (let layer = 0; layer < old.length; layer++) {
        this.#move(old[layer].key, oldCapacity, fresh[layer].key, capacity, filled)
        this.#move(old[layer].value, oldCapacity, fresh[layer].value, capacity, filled)
      }
    } catch (error) {
      this.#free(fresh)
      throw error
    }
    this.#free(old)
    this.#layers = fresh
    this.#capacity = capacity
  }

  dispose(): void {
    this.#free(this.#layers)
    this.#layers = []
    this.#capacity = 0
  }

  #allocate(capacity: number): LayerCache {
    const length = this.#config.width * capacity
    const key = this.#backend.allocate('f32', length)
    try {
      return { key, value: this.#backend.allocate('f32', length) }
    } catch (error) {
      this.#backend.free(key)
      throw error
    }
  }

  #move(from: Buffer, oldCapacity: number, to: Buffer, capacity: number, filled: number): void {
    const { heads, headSize } = this.#config
    const values = this.#backend.readF32(from)
    for (let head = 0; head < heads; head++) {
      const start = head * oldCapacity * headSize
      this.#backend.write(to, values.subarray(start, start + filled * headSize), head * capacity * headSize)
    }
  }

  #free(layers: readonly LayerCache[]): void {
    for (const { key, value } of layers) {
      this.#backend.free(key)
      this.#backend.free(value)
    }
  }
}

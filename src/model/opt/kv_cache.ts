/**
 * The keys and values of one sequence, head-major per layer: [H, C, K], so that a head's past is one stream.
 *
 * A layer's part is made when it is first asked for, for the heads its block holds then: a packed block has no room for
 * heads that are skipped. Heads that are skipped in place are never written, and nobody reads them. The cache doubles
 * when it is full: then every buffer is laid out anew through the host, which happens log2(positions / start) times in
 * a sequence at most.
 */
import type { Backend, Buffer } from '../../backends/backend.ts'
import type { OptConfig } from './config.ts'

/** What attention needs of one layer. */
export interface LayerCache {
  readonly key: Buffer // [H, C, K]
  readonly value: Buffer // [H, C, K]
}

/** A layer's part, and whose it is. */
interface HeldCache extends LayerCache {
  readonly backend: Backend
  readonly heads: number // H
}

/** The cache of all layers. */
export class KeyValueCache {
  readonly #config: OptConfig
  readonly #layers: (HeldCache | null)[]
  #capacity = 0

  constructor(config: OptConfig) {
    this.#config = config
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

  /** A layer's part, made for `heads` heads if it has none yet. */
  layer(layer: number, backend: Backend, heads: number): LayerCache {
    return (this.#layers[layer] ??= this.#allocate(backend, heads, this.#capacity))
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
      for (const old of this.#layers) if (old) fresh.push(this.#allocate(old.backend, old.heads, capacity))
    } catch (error) {
      for (const held of fresh) free(held)
      throw error
    }
    this.#layers.forEach((old, layer) => {
      if (!old) return
      const next = fresh.shift() as HeldCache
      this.#move(old, old.key, next.key, capacity, filled)
      this.#move(old, old.value, next.value, capacity, filled)
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

  #allocate(backend: Backend, heads: number, capacity: number): HeldCache {
    const length = heads * this.#config.headSize * capacity
    const key = backend.allocate('f32', length)
    try {
      return { backend, heads, key, value: backend.allocate('f32', length) }
    } catch (error) {
      backend.free(key)
      throw error
    }
  }

  #move({ backend, heads }: HeldCache, from: Buffer, to: Buffer, capacity: number, filled: number): void {
    const { headSize } = this.#config
    const values = backend.readF32(from)
    for (let head = 0; head < heads; head++) {
      const start = head * this.#capacity * headSize
      backend.write(to, values.subarray(start, start + filled * headSize), head * capacity * headSize)
    }
  }
}

function free({ backend, key, value }: HeldCache): void {
  backend.free(key)
  backend.free(value)
}

/**
 * Hands out pieces of a growing address range: first fit, every piece 64-byte aligned, neighbours merged when freed.
 *
 * It knows addresses only, no memory. Invariants: free pieces are kept in address order, never touch each other and
 * never overlap a live one; when everything is freed nothing is left but one free piece.
 */

const ALIGNMENT = 64

interface Piece {
  start: number
  size: number
}

/** Makes room: called with the end the range must reach; false if it cannot. */
export type Grow = (end: number) => boolean

/** Hands out pieces of one linear memory and takes them back. */
export class Allocator {
  readonly #grow: Grow
  /** Address order. */
  readonly #free: Piece[] = []
  readonly #live = new Map<number, number>()
  /** First address never handed out. */
  #end: number

  constructor(base: number, grow: Grow) {
    this.#grow = grow
    this.#end = roundUp(base)
  }

  /** How many pieces are live. */
  get live(): number {
    return this.#live.size
  }

  /** How many bytes the live pieces hold, padding included. */
  get liveBytes(): number {
    let total = 0
    for (const size of this.#live.values()) total += size
    return total
  }

  /** The address of a new piece of at least `bytes` bytes, or null if there is no room. */
  allocate(bytes: number): number | null {
    const size = roundUp(Math.max(bytes, 1))
    const fit = this.#free.findIndex((piece) => piece.size >= size)
    const start = fit >= 0 ? this.#take(fit, size) : this.#extend(size)
    if (start !== null) this.#live.set(start, size)
    return start
  }

  /** Gives a piece back. The address must be one that `allocate` gave and that is still live. */
  free(start: number): void {
    const size = this.#live.get(start)
    if (size === undefined) throw new RangeError(`address: expected a live piece, got ${start}`)
    this.#live.delete(start)
    const found = this.#free.findIndex((piece) => piece.start > start)
    const at = found < 0 ? this.#free.length : found
    const before = this.#free[at - 1]
    const after = this.#free[at]
    const joinsBefore = before !== undefined && before.start + before.size === start
    const joinsAfter = after !== undefined && start + size === after.start
    if (joinsBefore) {
      before.size += size + (joinsAfter ? after.size : 0)
      if (joinsAfter) this.#free.splice(at, 1)
    } else if (joinsAfter) {
      after.start = start
      after.size += size
    } else this.#free.splice(at, 0, { start, size })
  }

  /** Gives every piece back. */
  freeAll(): void {
    for (const start of this.#live.keys()) this.free(start)
  }

  #take(fit: number, size: number): number {
    const piece = this.#free[fit]
    const { start } = piece
    piece.start += size
    piece.size -= size
    if (piece.size === 0) this.#free.splice(fit, 1)
    return start
  }

  /** Takes the free piece that ends the range, if any, and what is missing from beyond. */
  #extend(size: number): number | null {
    const last = this.#free.at(-1)
    const joins = last !== undefined && last.start + last.size === this.#end
    const start = joins ? last.start : this.#end
    if (!this.#grow(start + size)) return null
    if (joins) this.#free.pop()
    this.#end = start + size
    return start
  }
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
}

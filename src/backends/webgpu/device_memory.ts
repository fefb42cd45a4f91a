/**
 * Device memory as addresses: a window of memory times 2^32, and a place in it.
 *
 * Small pieces share windows; a large one has its own, so that memory is held for what is there and no more. What is larger than a
 * window stands in several with numbers that follow each other, each but the last one full.
 */
import { Allocator } from '../allocator.ts'
import type { Part, WindowOrder } from './gpu_protocol.ts'

/** Bytes of a window that is shared: a share of what is held, between these. */
const LEAST_SHARED = 2 ** 20
const MOST_SHARED = 2 ** 24
const SHARE = 1 / 64
/** Pieces of this size have a window of their own. */
const LARGE = 2 ** 17
/** A window begins at a multiple of this. */
const SPACE = 2 ** 32
/** An array of nothing at the end of a piece is inside it. */
const MARGIN = 64

interface SharedWindow {
  readonly id: number
  readonly bytes: number
  readonly allocator: Allocator
  /** Where what was never handed out begins: it is zeros. */
  fresh: number
}

/** Makes windows; false if the device has no room for them. */
export type MakeWindows = (windows: readonly WindowOrder[]) => boolean

/** The memory of a device. */
export class DeviceMemory {
  readonly #windowBytes: number
  readonly #make: MakeWindows
  readonly #shared: SharedWindow[] = []
  /** Windows of large pieces, by their first one. */
  readonly #large = new Map<number, readonly WindowOrder[]>()
  #next = 0
  #held = 0

  /** @param windowBytes the most bytes of a window, a multiple of 256 */
  constructor(windowBytes: number, make: MakeWindows) {
    this.#windowBytes = windowBytes
    this.#make = make
  }

  /** Bytes of all windows. */
  get held(): number {
    return this.#held
  }

  /** A new piece, and whether it holds zeros; null if there is no room. */
  allocate(bytes: number): { readonly address: number; readonly isZero: boolean } | null {
    const size = bytes + MARGIN
    if (size > Math.min(LARGE, this.#windowBytes / 2)) return this.#allocateLarge(size)
    for (const window of this.#shared) {
      const found = place(window, size)
      if (found !== null) return found
    }
    const share = Math.min(MOST_SHARED, Math.max(LEAST_SHARED, SHARE * this.#held))
    const order = this.#orders(Math.min(Math.ceil(share / 256) * 256, this.#windowBytes))
    if (order === null) return null
    const [{ id, bytes: whole }] = order
    const window = { id, bytes: whole, allocator: new Allocator(0, (end) => end <= whole), fresh: 0 }
    this.#shared.push(window)
    return place(window, size)
  }

  /** Gives a piece back. @returns windows that can be destroyed */
  free(address: number): readonly number[] {
    const id = Math.floor(address / SPACE)
    const large = this.#large.get(id)
    if (large === undefined) {
      this.#shared.find((window) => window.id === id)?.allocator.free(address % SPACE)
      return []
    }
    this.#large.delete(id)
    for (const { bytes } of large) this.#held -= bytes
    return large.map((window) => window.id)
  }

  /** The address that many bytes further on. */
  further(address: number, bytes: number): number {
    const offset = (address % SPACE) + bytes
    const windows = Math.floor(offset / this.#windowBytes)
    return (Math.floor(address / SPACE) + windows) * SPACE + (offset % this.#windowBytes)
  }

  /** The windows that so many bytes stand in, the first and the last. */
  windowsOf(address: number, bytes: number): readonly [first: number, last: number] {
    return [windowOf(address), windowOf(this.further(address, Math.max(0, bytes - 1)))]
  }

  /** The parts of windows that so many bytes are, made wider to whole words. */
  parts(address: number, bytes: number): Part[] {
    const parts: Part[] = []
    for (let done = 0; done < bytes;) {
      const at = this.further(address, done)
      const offset = offsetOf(at)
      const length = Math.min(bytes - done, this.#windowBytes - offset)
      const start = Math.floor(offset / 4) * 4
      parts.push({ window: windowOf(at), offset: start, bytes: Math.ceil((offset + length) / 4) * 4 - start })
      done += length
    }
    return parts
  }

  #allocateLarge(size: number): { readonly address: number; readonly isZero: boolean } | null {
    const windows = this.#orders(size)
    if (windows === null) return null
    this.#large.set(windows[0].id, windows)
    return { address: windows[0].id * SPACE, isZero: true }
  }

  #orders(size: number): readonly WindowOrder[] | null {
    const windows = Array.from({ length: Math.ceil(size / this.#windowBytes) }, (_, i) => {
      const bytes = Math.min(this.#windowBytes, Math.ceil((size - i * this.#windowBytes) / 256) * 256)
      return { id: this.#next + i, bytes }
    })
    if (!this.#make(windows)) return null
    this.#next += windows.length
    for (const { bytes } of windows) this.#held += bytes
    return windows
  }
}

function place(
  window: SharedWindow,
  size: number,
): { readonly address: number; readonly isZero: boolean } | null {
  const start = window.allocator.allocate(size)
  if (start === null) return null
  const isZero = start >= window.fresh
  window.fresh = Math.max(window.fresh, start + size)
  return { address: window.id * SPACE + start, isZero }
}

/** The window of an address. */
function windowOf(address: number): number {
  return Math.floor(address / SPACE)
}

/** The place of an address in its window. */
export function offsetOf(address: number): number {
  return address % SPACE
}

/**
 * The keys and values of one layer, whatever their numbers are stored as.
 *
 * They are head-major, [G, C, K], so that a key head's past is one stream; int8 numbers have a scale per key head and
 * position, [G, C]. Ops take them as they are.
 */
import type { Backend, Buffer, StoredBuffer } from '../backends/backend.ts'
import { storageNamed, type Storage } from './storages/index.ts'
import { partsOf } from './storages/storage.ts'
import { arrayTypes, type Numbers } from '../ops/op.ts'
import { nameOption, type NameOption } from '../tensor/option.ts'

/** What keys and values may be stored as. */
export const cacheStorages = [
  /** Float32, as they are computed. */
  'f32',
  /** Whole numbers of 8 bits with a scale per head and position: about a quarter of the memory. */
  'int8',
] as const
/** What keys and values are stored as. */
export type CacheStorage = (typeof cacheStorages)[number]
export const cacheOption: NameOption<CacheStorage> = nameOption('CACHE', cacheStorages)

/**
 * What keys and values are stored as unless one says so: int8 beside weights that round activations too, whose rounding is of
 * the same size or larger, and float32 beside weights that are exact or nearly so.
 */
export function defaultCache(weights: Storage): CacheStorage {
  return storageNamed(weights).roundsActivations ? 'int8' : 'f32'
}

/** The keys and values of one layer: G key heads, C rows of positions that follow each other, K numbers in a row. */
export interface LayerCache {
  readonly key: StoredBuffer // [G, C, K]
  readonly value: StoredBuffer // [G, C, K]
  /** Makes room for tokens from a position on: the row of the first, and how many of the T there is room for at once. */
  room(position: number, T: number): Room
}

/** Where new tokens enter a cache. */
export interface Room {
  readonly row: number
  readonly count: number
}

/** Bytes of a row of K numbers. */
export function rowBytes(storage: CacheStorage, K: number): number {
  return storage === 'f32' ? 4 * K : K + 4
}

/** Room for keys or values. @throws MissingError BACKEND_MEMORY if there is none; nothing stays allocated */
export function allocateRows(
  backend: Backend,
  storage: CacheStorage,
  [G, C, K]: readonly [number, number, number],
): StoredBuffer {
  if (storage === 'f32') return backend.allocate('f32', [G, C, K])
  const values = backend.allocate('i8', [G, C, K])
  try {
    return { values, scales: backend.allocate('f32', [G, C]) }
  } catch (error) {
    backend.free(values)
    throw error
  }
}

/** Positions of keys or values that follow each other, on the host: float32, or int8 with a scale for each row. */
export interface HostRows {
  readonly values: Float32Array | Int8Array // [G, R, K]
  readonly scales: Float32Array | null // [G, R]
}

/** What a layer's cache holds of the positions so far. */
export interface HeldRows {
  readonly key: HostRows
  readonly value: HostRows
}

/**
 * Copies the first R rows of each head to the host.
 * @param rows of some key heads: [H, C, K]
 * @param heads which of the G key heads these are; null for all of them. The others are zeros.
 */
export function readRows(
  backend: Backend,
  rows: StoredBuffer,
  R: number,
  G: number,
  heads: Int32Array | null,
): HostRows {
  const copy = (part: Buffer): Numbers => {
    const [H, C, size = 1] = part.shape
    const held = backend.read(part)
    const all = new arrayTypes[part.dtype](G * R * size)
    for (let h = 0; h < H; h++) {
      const start = h * C * size
      all.set(held.subarray(start, start + R * size), (heads?.[h] ?? h) * R * size)
    }
    return all
  }
  const [values, scales = null] = partsOf(rows).map(copy)
  return { values, scales } as HostRows
}

/** Writes the first R rows of all key heads from the host. */
export function writeRows(backend: Backend, rows: StoredBuffer, host: HostRows, R: number): void {
  partsOf(rows).forEach((part, i) => {
    const [G, C, size = 1] = part.shape
    const numbers = (i === 0 ? host.values : host.scales) as Float32Array
    for (let g = 0; g < G; g++)
      backend.write(part, numbers.subarray(g * R * size, (g + 1) * R * size), g * C * size)
  })
}

/** Gives the room back. */
export function freeRows(backend: Backend, rows: StoredBuffer): void {
  for (const part of partsOf(rows)) backend.free(part)
}

/** Copies `count` rows of each head, from `first` on, to the first rows of others or of the same, through the host. */
export function moveRows(
  backend: Backend,
  from: StoredBuffer,
  to: StoredBuffer,
  count: number,
  first = 0,
): void {
  const move = (old: Buffer, next: Buffer): void => {
    const [H, C, size = 1] = old.shape
    const capacity = next.shape[1]
    const values = backend.read(old)
    for (let h = 0; h < H; h++) {
      const start = (h * C + first) * size
      backend.write(next, values.subarray(start, start + count * size), h * capacity * size)
    }
  }
  const parts = partsOf(to)
  partsOf(from).forEach((part, i) => move(part, parts[i]))
}

/**
 * The keys and values of one layer, whatever their numbers are stored as, and what a pass does with them.
 *
 * They are head-major, [H, C, K], so that a head's past is one stream. Each use is the op of the storage: one definition
 * per storage and use in src/ops, chosen here and nowhere else.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import type { Storage } from './matrix.ts'
import type { UnitList } from './unit_lists.ts'

/** What keys and values may be stored as: float32, or int8 with a scale per head and position. */
export const cacheStorages = ['f32', 'int8'] as const
/** One of them. */
export type CacheStorage = (typeof cacheStorages)[number]

/**
 * What keys and values are stored as unless one says so: int8 beside int8 weights, whose rounding is of the same size, and
 * float32 beside weights that are exact or nearly so.
 */
export function usualCache(weights: Storage): CacheStorage {
  return weights === 'int8' ? 'int8' : 'f32'
}

/** Keys or values of one layer. */
export interface CachedRows {
  readonly numbers: Buffer // [H, C, K]
  /** Of int8 rows; null where the numbers are float32. */
  readonly scales: Buffer | null // [H, C]
}

/** What attention needs of one layer. */
export interface LayerCache {
  readonly key: CachedRows
  readonly value: CachedRows
}

/** The sizes of a layer's cache: H heads, C positions, K numbers in a row. */
export interface CacheShape {
  readonly H: number
  readonly C: number
  readonly K: number
}

/** Room for the rows of `C` positions. @throws MissingError BACKEND_MEMORY if there is none; nothing stays allocated */
export function allocateRows(backend: Backend, storage: CacheStorage, { H, C, K }: CacheShape): CachedRows {
  if (storage === 'f32') return { numbers: backend.allocate('f32', H * C * K), scales: null }
  const numbers = backend.allocate('i8', H * C * K)
  try {
    return { numbers, scales: backend.allocate('f32', H * C) }
  } catch (error) {
    backend.free(numbers)
    throw error
  }
}

/** Gives the room back. */
export function freeRows(backend: Backend, { numbers, scales }: CachedRows): void {
  backend.free(numbers)
  if (scales) backend.free(scales)
}

/** Copies the first `filled` positions of each head to rows of another capacity, through the host. */
export function moveRows(
  backend: Backend,
  from: CachedRows,
  to: CachedRows,
  { H, C, K }: CacheShape,
  capacity: number,
  filled: number,
): void {
  const move = (old: Buffer, next: Buffer, size: number): void => {
    const values = backend.read(old)
    for (let h = 0; h < H; h++) {
      const start = h * C * size
      backend.write(next, values.subarray(start, start + filled * size), h * capacity * size)
    }
  }
  move(from.numbers, to.numbers, K)
  if (from.scales && to.scales) move(from.scales, to.scales, 1)
}

/** The rows of T new tokens enter at positions P.., for chosen heads. */
export function appendRows(
  backend: Backend,
  { numbers, scales }: CachedRows,
  x: Buffer, // [T, H, K]
  heads: UnitList,
  P: number,
  T: number,
  { H, C, K }: CacheShape,
): void {
  if (scales) backend.ops.cache_append_i8(numbers, scales, x, heads.list, P, T, C, H, K, heads.count)
  else backend.ops.cache_append(numbers, x, heads.list, P, T, C, H, K, heads.count)
}

/** y = softmax(query keyᵀ scale) value over S positions, the last T of which are the queries' own, for chosen heads. */
export function attendOver(
  backend: Backend,
  y: Buffer, // [T, H, K]
  query: Buffer, // [T, H, K]
  { key, value }: LayerCache,
  heads: UnitList,
  scale: number,
  T: number,
  S: number,
  { H, C, K }: CacheShape,
): void {
  const { attention, attention_i8 } = backend.ops
  const [k, v] = [key.numbers, value.numbers]
  if (key.scales && value.scales)
    attention_i8(y, query, k, key.scales, v, value.scales, heads.list, scale, T, S, C, H, K, heads.count)
  else attention(y, query, k, v, heads.list, scale, T, S, C, H, K, heads.count)
}

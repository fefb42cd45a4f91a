/**
 * A buffer inside its backend, and the checks of its owner, lifetime, kind and range.
 */
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import { arrayTypes, type Dtype, type Numbers } from '../ops/op.ts'
import { UsageError } from '../tensor/errors.ts'
import type { Buffer } from './backend.ts'

/** The range and order of the values of an int32 buffer. */
export interface ListBounds {
  /** Smallest value, -100 ("not scored") left out; Infinity for an empty list. */
  least: number
  most: number
  /** Whether -100 occurs. */
  hasNotScored: boolean
  ascending: boolean
}

/** A buffer inside its backend: `Address` is a typed array, a pointer, a device address. */
export class OwnedBuffer<Address> implements Buffer {
  readonly owner: object
  readonly dtype: Dtype
  readonly shape: readonly number[]
  readonly length: number
  readonly address: Address
  /** The buffer this one is a view of, or null. */
  readonly parent: OwnedBuffer<Address> | null
  /** Where it starts in the buffer it is a view of, in numbers. */
  readonly start: number
  /** Of an int32 buffer, once it was written; a view's are those of the buffer behind it. */
  bounds: ListBounds | null = null
  freed = false
  /** Whether recorded calls read or write it; a view's are those of the buffer behind it. */
  isRecorded = false

  constructor(
    owner: object,
    dtype: Dtype,
    shape: readonly number[],
    address: Address,
    parent: OwnedBuffer<Address> | null,
    start = 0,
  ) {
    this.owner = owner
    this.dtype = dtype
    // Sizes are read off it, so it stays as it was checked.
    this.shape = shape.slice()
    this.length = lengthOf(shape)
    this.address = address
    this.parent = parent
    this.start = start
  }

  /** Part of this buffer, which stands at `address`; a view of a view is a view of the buffer behind both. */
  view(shape: readonly number[], start: number, address: Address): OwnedBuffer<Address> {
    return new OwnedBuffer(this.owner, this.dtype, shape, address, this.parent ?? this, this.start + start)
  }
}

/** How many numbers there are in a shape. */
export function lengthOf(shape: readonly number[]): number {
  let length = 1
  for (const size of shape) length *= size
  return length
}

/** Reads a list once and remembers its range. */
export function boundsOf(values: Int32Array): ListBounds {
  const bounds: ListBounds = { least: Infinity, most: -Infinity, hasNotScored: false, ascending: true }
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (i > 0 && value <= values[i - 1]) bounds.ascending = false
    if (value === NOT_SCORED) bounds.hasNotScored = true
    else {
      bounds.least = Math.min(bounds.least, value)
      bounds.most = Math.max(bounds.most, value)
    }
  }
  return bounds
}

/**
 * The buffer behind an opaque handle.
 * @throws UsageError BUFFER_FOREIGN for another backend's, BUFFER_FREED for one given back.
 */
export function ownedBuffer<Address>(owner: object, buffer: Buffer, name: string): OwnedBuffer<Address> {
  if (!(buffer instanceof OwnedBuffer) || buffer.owner !== owner)
    throw new UsageError('BUFFER_FOREIGN', `${name}: expected a buffer of this backend, got another one`)
  if ((buffer.parent ?? buffer).freed)
    throw new UsageError('BUFFER_FREED', `${name}: expected a live buffer, got one that was freed`)
  return buffer as OwnedBuffer<Address>
}

/**
 * Checks that numbers start..start+length lie inside a buffer of `whole` numbers.
 * @throws UsageError SIZE
 */
export function checkRange(name: string, start: number, length: number, whole: number): void {
  if (
    !Number.isInteger(start) ||
    !Number.isInteger(length) ||
    start < 0 ||
    length < 0 ||
    start + length > whole
  )
    throw new UsageError(
      'SIZE',
      `${name}: expected a range inside 0..${whole}, got ${start}..${start + length}`,
    )
}

/**
 * Checks the shape of a buffer to be made.
 * @throws UsageError SIZE
 */
export function checkShape(name: string, shape: readonly number[]): void {
  for (const size of shape)
    if (!Number.isInteger(size) || size < 0)
      throw new UsageError('SIZE', `${name}: expected whole numbers of at least 0, got [${shape.join(', ')}]`)
}

/**
 * The kind of numbers in an array. @param named the kind that the caller states
 * @throws UsageError BUFFER_KIND if the array cannot hold that, or can hold several kinds and none is named.
 */
export function kindOf(values: Numbers, named?: Dtype): Dtype {
  const kinds = (Object.keys(arrayTypes) as Dtype[]).filter((dtype) => values instanceof arrayTypes[dtype])
  if (named === undefined && kinds.length === 1) return kinds[0]
  if (named !== undefined && kinds.includes(named)) return named
  throw new UsageError('BUFFER_KIND', `upload: expected ${kinds.join(' or ')}, got ${String(named)}`)
}

/**
 * Checks that a buffer can be given back: it is not a view.
 * @throws UsageError BUFFER_VIEW
 */
export function checkFreeable({ parent }: OwnedBuffer<unknown>): void {
  if (parent) throw new UsageError('BUFFER_VIEW', 'free: expected a buffer, got a view of one')
}

/**
 * What stands between a caller and a kernel: one check, driven by the catalogue, the same for every backend.
 *
 * For each op it makes a function that verifies sizes against the row's ranges, each buffer's owner, kind and length
 * against the row's shape, and each index list's range, then launches the kernel. A list's contents are looked at
 * once, when it is uploaded; the door only compares its bounds, so a check costs the same for any number of units.
 * For that to be safe a list is always written whole: an op that makes one takes a buffer of exactly its length.
 */
import { opNames, opRow, type OpName } from '../ops/catalog.ts'
import { elementCount, type ArrayParam, type Dtype, type Op, type SizeParam } from '../ops/op.ts'
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import { UsageError } from '../tensor/errors.ts'
import type { Buffer, Ops } from './backend.ts'

/** What is known of an int32 buffer's contents. */
export interface ListBounds {
  /** Smallest value, -100 ("not scored") left out; Infinity for an empty list. */
  least: number
  most: number
  /** Whether -100 occurs. */
  hasNotScored: boolean
  ascending: boolean
}

/** A buffer as its backend sees it: `Place` is a typed array, a pointer, a device address. */
export class PlacedBuffer<Place> implements Buffer {
  readonly owner: object
  readonly dtype: Dtype
  readonly length: number
  readonly place: Place
  /** The buffer this one is a view of, or null. */
  readonly parent: PlacedBuffer<Place> | null
  /** Of an int32 buffer, once it was written; a view's are those of the buffer behind it. */
  bounds: ListBounds | null = null
  freed = false

  constructor(owner: object, dtype: Dtype, length: number, place: Place, parent: PlacedBuffer<Place> | null) {
    this.owner = owner
    this.dtype = dtype
    this.length = length
    this.place = place
    this.parent = parent
  }
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
export function placed<Place>(owner: object, buffer: Buffer, name: string): PlacedBuffer<Place> {
  if (!(buffer instanceof PlacedBuffer) || buffer.owner !== owner)
    throw new UsageError('BUFFER_FOREIGN', `${name}: expected a buffer of this backend, got another one`)
  if ((buffer.parent ?? buffer).freed)
    throw new UsageError('BUFFER_FREED', `${name}: expected a live buffer, got one that was freed`)
  return buffer as PlacedBuffer<Place>
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
 * Checks the length of a buffer to be made.
 * @throws UsageError SIZE
 */
export function checkLength(length: number): void {
  if (!Number.isInteger(length) || length < 0)
    throw new UsageError('SIZE', `allocate: expected a whole number of at least 0, got ${length}`)
}

/** An argument as a kernel receives it. */
export type Launched<Place> = Place | number | null

/**
 * Makes the checked ops of a backend.
 * @throws UsageError from each op: SIZE, BUFFER_KIND, BUFFER_LENGTH, BUFFER_VIEW, BUFFER_FOREIGN, BUFFER_FREED,
 *   INDEX_RANGE.
 */
export function openDoor<Place>(owner: object, launch: (name: OpName, args: Launched<Place>[]) => void): Ops {
  const entries = opNames.map((name) => [
    name,
    checkedOp<Place>(owner, opRow(name), (args) => launch(name, args)),
  ])
  return Object.fromEntries(entries) as Ops
}

type Argument = Buffer | number | null

function checkedOp<Place>(
  owner: object,
  row: Op,
  launch: (args: Launched<Place>[]) => void,
): (...args: Argument[]) => void {
  return (...args) => {
    if (args.length !== row.params.length)
      throw new UsageError('SIZE', `${row.name}: expected ${row.params.length} arguments, got ${args.length}`)
    const sizes = readSizes(row, args)
    const launched: Launched<Place>[] = new Array(args.length)
    for (let i = 0; i < args.length; i++) {
      const param = row.params[i]
      const argument = args[i]
      if (param.kind === 'array') launched[i] = checkArray<Place>(owner, row, param, argument, sizes)
      else if (typeof argument === 'number') launched[i] = argument
      else
        throw new UsageError('SIZE', `${row.name}.${param.name}: expected a number, got ${typeof argument}`)
    }
    launch(launched)
    for (let i = 0; i < args.length; i++) {
      const param = row.params[i]
      if (param.kind === 'array' && isListOutput(param))
        (args[i] as PlacedBuffer<Place>).bounds = knownBounds(param, sizes)
    }
  }
}

function isListOutput(param: ArrayParam): boolean {
  return param.dtype === 'i32' && param.role === 'out'
}

function knownBounds(param: ArrayParam, sizes: Record<string, number>): ListBounds {
  return { least: 0, most: sizes[param.below as string] - 1, hasNotScored: false, ascending: true }
}

function readSizes(row: Op, args: readonly Argument[]): Record<string, number> {
  const sizes: Record<string, number> = {}
  for (let i = 0; i < args.length; i++)
    if (row.params[i].kind === 'size') sizes[row.params[i].name] = args[i] as number
  for (const param of row.params) if (param.kind === 'size') checkSize(row, param, sizes)
  return sizes
}

function checkSize(row: Op, param: SizeParam, sizes: Record<string, number>): void {
  const value = sizes[param.name]
  const least = typeof param.least === 'number' ? param.least : sumOf(param.least, sizes)
  if (!Number.isInteger(value) || value < least || value > param.most)
    throw new UsageError(
      'SIZE',
      `${row.name}.${param.name}: expected a whole number from ${least} to ${param.most}, got ${value}`,
    )
}

/** The value of a letter or of a sum such as "P + T". */
export function sumOf(expression: string, sizes: Record<string, number>): number {
  if (expression.length === 1) return sizes[expression]
  return expression.split(' + ').reduce((total, letter) => total + sizes[letter], 0)
}

function checkArray<Place>(
  owner: object,
  row: Op,
  param: ArrayParam,
  argument: Argument,
  sizes: Record<string, number>,
): Place | null {
  const name = `${row.name}.${param.name}`
  if (argument === null) {
    if (param.optional) return null
    throw new UsageError('BUFFER_KIND', `${name}: expected a buffer, got null`)
  }
  const buffer = placed<Place>(owner, argument as Buffer, name)
  if (buffer.dtype !== param.dtype)
    throw new UsageError('BUFFER_KIND', `${name}: expected ${param.dtype}, got ${buffer.dtype}`)
  const needed = elementCount(param, sizes)
  if (buffer.length < needed)
    throw new UsageError(
      'BUFFER_LENGTH',
      `${name}: expected at least ${needed} numbers [${param.shape.join(', ')}], got ${buffer.length}`,
    )
  if (isListOutput(param)) checkListOutput(name, buffer, needed)
  else if (param.below !== null) checkList(name, param, (buffer.parent ?? buffer).bounds, sizes)
  return buffer.place
}

function checkListOutput(name: string, buffer: PlacedBuffer<unknown>, needed: number): void {
  if (buffer.parent !== null)
    throw new UsageError('BUFFER_VIEW', `${name}: expected a whole buffer, got a view of one`)
  if (buffer.length > needed)
    throw new UsageError('BUFFER_LENGTH', `${name}: expected exactly ${needed} numbers, got ${buffer.length}`)
}

function checkList(
  name: string,
  param: ArrayParam,
  bounds: ListBounds | null,
  sizes: Record<string, number>,
): void {
  const limit = sizes[param.below as string]
  if (bounds === null)
    throw new UsageError('INDEX_RANGE', `${name}: expected an uploaded list, got one never written`)
  const least = bounds.hasNotScored && param.holds !== 'labels' ? NOT_SCORED : bounds.least
  if (least < 0 || bounds.most >= limit)
    throw new UsageError(
      'INDEX_RANGE',
      `${name}: expected values from 0 to ${limit - 1}, got ${least} to ${bounds.most}`,
    )
  if (param.holds === 'ascending' && !bounds.ascending)
    throw new UsageError(
      'INDEX_RANGE',
      `${name}: expected distinct values in ascending order, got another order`,
    )
}

/**
 * What stands between a caller and a kernel: one check, driven by the catalogue, the same for every backend.
 *
 * For each op it makes a function that verifies sizes against the row's ranges, each buffer's owner, kind and length
 * against the row's shape, each index list's range, and that no output overlaps another array unless the row says it
 * may be the same one; then it launches the kernel. A list's contents are looked at
 * once, when it is uploaded; the door only compares its bounds, so a check costs the same for any number of units.
 * For that to be safe a list is always written whole: an op that makes one takes a buffer of exactly its length.
 */
import { opNames, opRow, type OpName } from '../ops/catalog.ts'
import { arrayTypes, type ArrayParam, type Dtype, type Numbers, type Op, type SizeParam } from '../ops/op.ts'
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import { UsageError } from '../tensor/errors.ts'
import type { BackendName, BackendOptions, Buffer, Ops } from './backend.ts'

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
  /** Where it starts in the buffer it is a view of, in numbers. */
  readonly start: number
  /** Of an int32 buffer, once it was written; a view's are those of the buffer behind it. */
  bounds: ListBounds | null = null
  freed = false

  constructor(
    owner: object,
    dtype: Dtype,
    length: number,
    place: Place,
    parent: PlacedBuffer<Place> | null,
    start = 0,
  ) {
    this.owner = owner
    this.dtype = dtype
    this.length = length
    this.place = place
    this.parent = parent
    this.start = start
  }

  /** Part of this buffer, which stands at `place`; a view of a view is a view of the buffer behind both. */
  view(start: number, length: number, place: Place): PlacedBuffer<Place> {
    return new PlacedBuffer(this.owner, this.dtype, length, place, this.parent ?? this, this.start + start)
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

/**
 * What kind of numbers an array holds, of which `named` is what its giver says.
 * @throws UsageError BUFFER_KIND if the array cannot hold that, or can hold several kinds and none is named.
 */
export function kindOf(values: Numbers, named?: Dtype): Dtype {
  const kinds = (Object.keys(arrayTypes) as Dtype[]).filter((dtype) => values instanceof arrayTypes[dtype])
  if (named === undefined && kinds.length === 1) return kinds[0]
  if (named !== undefined && kinds.includes(named)) return named
  throw new UsageError('BUFFER_KIND', `upload: expected ${kinds.join(' or ')}, got ${String(named)}`)
}

/**
 * Checks that a buffer of `dtype` may be overwritten, with these values if any are given.
 * @throws UsageError BUFFER_KIND
 */
export function checkWritable(name: string, dtype: Dtype, values?: Numbers): void {
  if (dtype === 'i32')
    throw new UsageError('BUFFER_KIND', `${name}: expected a buffer that may change, got one of i32`)
  if (values && !(values instanceof arrayTypes[dtype]))
    throw new UsageError('BUFFER_KIND', `${name}: expected ${dtype}, got another kind of array`)
}

/**
 * Checks that a buffer is of `dtype`.
 * @throws UsageError BUFFER_KIND
 */
export function checkKind(name: string, buffer: Buffer, dtype: Dtype): void {
  if (buffer.dtype !== dtype)
    throw new UsageError('BUFFER_KIND', `${name}: expected ${dtype}, got ${buffer.dtype}`)
}

/**
 * Checks that a buffer can be given back: it is not a view.
 * @throws UsageError BUFFER_VIEW
 */
export function checkFreeable({ parent }: PlacedBuffer<unknown>): void {
  if (parent) throw new UsageError('BUFFER_VIEW', 'free: expected a buffer, got a view of one')
}

/**
 * Checks the number of threads of a backend that has one.
 * @throws UsageError THREADS
 */
export function checkOneThread(name: BackendName, { threads = 1 }: BackendOptions): void {
  if (threads !== 1 && threads !== 'auto')
    throw new UsageError('THREADS', `threads: expected 1 with the ${name} backend, got ${threads}`)
}

/** What is said of a backend that was disposed of. */
export function disposedError(name: BackendName): UsageError {
  return new UsageError('BACKEND_DISPOSED', `backend ${name}: expected a live backend, got a disposed one`)
}

/** An argument as a kernel receives it. */
export type Launched<Place> = Place | number | null

/** An op behind the door: it trusts what it is given. */
export type Kernel<Place> = (...args: Launched<Place>[]) => void

/**
 * Makes the checked ops of a backend from the function that gives each op's kernel.
 * @throws UsageError from each op: SIZE, BUFFER_KIND, BUFFER_LENGTH, BUFFER_VIEW, BUFFER_FOREIGN, BUFFER_FREED,
 *   BUFFER_ALIAS, INDEX_RANGE.
 */
export function openDoor<Place>(owner: object, kernelOf: (name: OpName) => Kernel<Place>): Ops {
  const entries = opNames.map((name) => [name, checkedOp<Place>(owner, opRow(name), kernelOf(name))])
  return Object.fromEntries(entries) as Ops
}

type Argument = Buffer | number | null

/** A parameter of an op with every letter replaced by its place in the argument list: a call reads no table. */
interface SizeCheck {
  readonly at: number
  readonly name: string
  readonly param: SizeParam
  /** The least value is this plus the sizes at these places. */
  readonly least: number
  readonly leastAt: readonly number[]
}

interface ArrayCheck {
  readonly at: number
  readonly name: string
  readonly param: ArrayParam
  /** Where the sizes stand whose product is the element count. */
  readonly shapeAt: readonly number[]
  /** Where the limit of its values stands; -1 if they have none. */
  readonly belowAt: number
  readonly isListOutput: boolean
}

function sizeChecks(row: Op): SizeCheck[] {
  return row.params.flatMap((param, at) => {
    if (param.kind !== 'size') return []
    const name = `${row.name}.${param.name}`
    if (typeof param.least === 'number') return [{ at, name, param, least: param.least, leastAt: [] }]
    return [
      { at, name, param, least: 0, leastAt: param.least.split(' + ').map((letter) => placeOf(row, letter)) },
    ]
  })
}

function arrayChecks(row: Op): ArrayCheck[] {
  return row.params.flatMap((param, at) => {
    if (param.kind !== 'array') return []
    const shapeAt = param.shape.filter((letter) => letter !== '1').map((letter) => placeOf(row, letter))
    const belowAt = param.below === null ? -1 : placeOf(row, param.below)
    const isListOutput = param.dtype === 'i32' && param.role === 'out'
    return [{ at, name: `${row.name}.${param.name}`, param, shapeAt, belowAt, isListOutput }]
  })
}

/** Two arrays of an op, the first of which it writes. */
interface PairCheck {
  readonly written: ArrayCheck
  readonly other: ArrayCheck
  /** Whether they may be the same numbers. */
  readonly mayShare: boolean
}

function pairChecks(arrays: readonly ArrayCheck[]): PairCheck[] {
  return arrays.flatMap((written, i) => {
    if (written.param.role === 'in') return []
    const others = arrays.filter(
      (other, j) => other.param.dtype === written.param.dtype && (other.param.role === 'in' || j > i),
    )
    return others.map((other) => ({ written, other, mayShare: written.param.mayAlias === other.param.name }))
  })
}

function placeOf(row: Op, name: string): number {
  return row.params.findIndex((param) => param.name === name)
}

function checkedOp<Place>(owner: object, row: Op, kernel: Kernel<Place>): (...args: Argument[]) => void {
  const sizes = sizeChecks(row)
  const arrays = arrayChecks(row)
  const scalars = row.params.flatMap((param, at) => (param.kind === 'scalar' ? [at] : []))
  const pairs = pairChecks(arrays)
  const listOutputs = arrays.filter((check) => check.isListOutput)
  return (...args) => {
    if (args.length !== row.params.length)
      throw new UsageError('SIZE', `${row.name}: expected ${row.params.length} arguments, got ${args.length}`)
    for (const check of sizes) checkSize(check, args)
    for (const at of scalars) checkScalar(row, at, args[at])
    const launched = args.slice() as Launched<Place>[]
    for (const check of arrays) launched[check.at] = checkArray<Place>(owner, check, args)
    for (const pair of pairs) checkApart(pair, args)
    kernel(...launched)
    for (const { at, belowAt } of listOutputs) {
      const most = (args[belowAt] as number) - 1
      ;(args[at] as PlacedBuffer<Place>).bounds = { least: 0, most, hasNotScored: false, ascending: true }
    }
  }
}

function checkSize({ at, name, param, least, leastAt }: SizeCheck, args: readonly Argument[]): void {
  const value = args[at] as number
  for (const place of leastAt) least += args[place] as number
  if (!Number.isInteger(value) || value < least || value > param.most)
    throw new UsageError(
      'SIZE',
      `${name}: expected a whole number from ${least} to ${param.most}, got ${String(value)}`,
    )
}

function checkScalar(row: Op, at: number, value: Argument): void {
  if (typeof value !== 'number')
    throw new UsageError('SIZE', `${row.name}.${row.params[at].name}: expected a number, got ${typeof value}`)
}

function checkArray<Place>(owner: object, check: ArrayCheck, args: readonly Argument[]): Place | null {
  const { name, param } = check
  const argument = args[check.at]
  if (argument === null) {
    if (param.optional) return null
    throw new UsageError('BUFFER_KIND', `${name}: expected a buffer, got null`)
  }
  const buffer = placed<Place>(owner, argument as Buffer, name)
  if (buffer.dtype !== param.dtype)
    throw new UsageError('BUFFER_KIND', `${name}: expected ${param.dtype}, got ${buffer.dtype}`)
  const needed = elementsOf(check, args)
  if (buffer.length < needed)
    throw new UsageError(
      'BUFFER_LENGTH',
      `${name}: expected at least ${needed} numbers [${param.shape.join(', ')}], got ${buffer.length}`,
    )
  if (check.isListOutput) checkListOutput(name, buffer, needed)
  else if (check.belowAt >= 0)
    checkList(name, param, (buffer.parent ?? buffer).bounds, args[check.belowAt] as number)
  return buffer.place
}

function elementsOf(check: ArrayCheck, args: readonly Argument[]): number {
  let count = 1
  for (const place of check.shapeAt) count *= args[place] as number
  return count
}

function checkApart({ written, other, mayShare }: PairCheck, args: readonly Argument[]): void {
  const a = args[written.at] as PlacedBuffer<unknown> | null
  const b = args[other.at] as PlacedBuffer<unknown> | null
  if (a === null || b === null || (a.parent ?? a) !== (b.parent ?? b)) return
  if (mayShare && a.start === b.start) return
  if (a.start < b.start + elementsOf(other, args) && b.start < a.start + elementsOf(written, args))
    throw new UsageError(
      'BUFFER_ALIAS',
      `${written.name}: expected numbers apart from those of ${other.param.name}, got some of the same`,
    )
}

function checkListOutput(name: string, buffer: PlacedBuffer<unknown>, needed: number): void {
  if (buffer.parent !== null)
    throw new UsageError('BUFFER_VIEW', `${name}: expected a whole buffer, got a view of one`)
  if (buffer.length > needed)
    throw new UsageError('BUFFER_LENGTH', `${name}: expected exactly ${needed} numbers, got ${buffer.length}`)
}

function checkList(name: string, param: ArrayParam, bounds: ListBounds | null, limit: number): void {
  if (bounds === null)
    throw new UsageError('INDEX_RANGE', `${name}: expected an uploaded list, got one never written`)
  const least = bounds.hasNotScored && param.holds !== 'labels' ? NOT_SCORED : bounds.least
  if (least < 0 || bounds.most >= limit)
    throw new UsageError(
      'INDEX_RANGE',
      `${name}: expected values from 0 to ${limit - 1}, got ${least} to ${bounds.most}`,
    )
  if (param.holds === 'ascending' && !param.anyOrder && !bounds.ascending)
    throw new UsageError(
      'INDEX_RANGE',
      `${name}: expected distinct values in ascending order, got another order`,
    )
}

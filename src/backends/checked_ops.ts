/**
 * What stands between a caller and a kernel: one check, driven by the catalogue, the same for every backend.
 *
 * For each op it makes a function that chooses the kernel by the storage of its arrays, reads the sizes off their shapes
 * (calls.ts), and checks sizes against their ranges, each buffer's owner, kind and shape against the definition, each index
 * list's range, and that no output overlaps another array unless the definition allows it to be the same one. Then it runs
 * the kernel. Nothing is allocated for that.
 *
 * A list's contents are looked at once, when it is uploaded; a call only compares its bounds, so a check costs the same for
 * any number of units. For that to be safe a list is always written whole: an op that makes one takes no view.
 */
import { opNames, type KernelName, type OpName } from '../ops/catalog.ts'
import { arrayTypes, type ArrayParam, type Dtype, type Numbers, type SizeParam } from '../ops/op.ts'
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import { UsageError } from '../tensor/errors.ts'
import type { BackendName, BackendOptions, Buffer, Ops, ScaledBuffer, StoredBuffer } from './backend.ts'
import {
  formsOf,
  sizeFrom,
  storedArgument,
  valuesOf,
  type Argument,
  type ArrayForm,
  type CallForm,
} from './calls.ts'

/** What is known of an int32 buffer's contents. */
export interface ListBounds {
  /** Smallest value, -100 ("not scored") left out; Infinity for an empty list. */
  least: number
  most: number
  /** Whether -100 occurs. */
  hasNotScored: boolean
  ascending: boolean
}

/** A buffer as its backend sees it: `Address` is a typed array, a pointer, a device address. */
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
    this.shape = shape
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
export function checkFreeable({ parent }: OwnedBuffer<unknown>): void {
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
export type KernelArgument<Address> = Address | number | null

/** A kernel: it trusts what it is given. */
export type KernelFunction<Address> = (...args: KernelArgument<Address>[]) => void

/**
 * Makes the checked ops of a backend from the function that gives each kernel.
 * @throws UsageError from each op: SIZE, BUFFER_KIND, BUFFER_LENGTH, BUFFER_VIEW, BUFFER_FOREIGN, BUFFER_FREED,
 *   BUFFER_ALIAS, INDEX_RANGE.
 */
export function makeCheckedOps<Address>(
  owner: object,
  kernelOf: (name: KernelName) => KernelFunction<Address>,
): Ops {
  return Object.fromEntries(opNames.map((op) => [op, checkedOp(owner, op, kernelOf)])) as Ops
}

function checkedOp<Address>(
  owner: object,
  op: OpName,
  kernelOf: (name: KernelName) => KernelFunction<Address>,
): (...args: Argument[]) => void {
  const checks = formsOf(op).map(
    (form) => new CheckedKernel<Address>(owner, form, kernelOf(form.kernel.name as KernelName)),
  )
  const [first] = checks
  const { count } = first.form
  const at = storedArgument(op)
  return (...args) => {
    if (args.length !== count)
      throw new UsageError('SIZE', `${op}: expected ${count} arguments, got ${args.length}`)
    if (at < 0) return first.run(args)
    const dtype = storageIn(args[at])
    for (const check of checks) if (check.form.kernel.storage === dtype) return check.run(args)
    refuseStorage(owner, op, at, args[at])
  }
}

function storageIn(argument: Argument): Dtype | undefined {
  return typeof argument === 'object' && argument !== null ? valuesOf(argument)?.dtype : undefined
}

/** @throws UsageError BUFFER_KIND for an array in a storage that the op has no kernel for, or what else is wrong with it */
function refuseStorage(owner: object, op: OpName, at: number, argument: Argument): never {
  const forms = formsOf(op)
  const { param } = forms[0].arrays.find(({ from }) => from === at) as ArrayForm
  const name = `${op}.${param.name}`
  const values = argument === null ? null : (valuesOf(Object(argument) as StoredBuffer) as Buffer | null)
  const got = values === null ? 'null' : ownedBuffer(owner, values, name).dtype
  const storages = forms.map(({ kernel }) => kernel.storage).join(', ')
  throw new UsageError('BUFFER_KIND', `${name}: expected one of ${storages}, got ${got}`)
}

/** A size of a kernel and its range: its least value is `least` plus the sizes at these places. */
interface SizeCheck {
  readonly at: number
  readonly param: SizeParam
  readonly least: number
  readonly leastAt: readonly number[]
}

/** Two arrays of a kernel, the first of which it writes, and whether they may be the same numbers. */
interface PairCheck {
  readonly written: number
  readonly other: number
  readonly mayShare: boolean
}

/** A kernel behind its checks. */
class CheckedKernel<Address> {
  readonly form: CallForm
  readonly #owner: object
  readonly #kernel: KernelFunction<Address>
  readonly #sizes: readonly SizeCheck[]
  readonly #pairs: readonly PairCheck[]
  /** Those that make a list. */
  readonly #lists: readonly number[]
  /** What a call is made of, the same arrays for each: a kernel calls no op. */
  readonly #buffers: (OwnedBuffer<Address> | null)[]
  readonly #flat: KernelArgument<Address>[]

  constructor(owner: object, form: CallForm, kernel: KernelFunction<Address>) {
    this.#owner = owner
    this.form = form
    this.#kernel = kernel
    const { params } = form.kernel
    this.#sizes = params.flatMap((param, at) => (param.kind === 'size' ? [sizeCheck(form, param, at)] : []))
    this.#pairs = pairChecks(form.arrays)
    this.#lists = form.arrays.flatMap(({ param }, i) => (isListOutput(param) ? [i] : []))
    this.#buffers = form.arrays.map(() => null)
    this.#flat = params.map(() => null)
  }

  run(args: readonly Argument[]): void {
    const { arrays, numbers, sizes } = this.form
    const [buffers, flat] = [this.#buffers, this.#flat]
    for (let i = 0; i < numbers.length; i++) flat[numbers[i].to] = this.#number(i, args)
    for (let i = 0; i < arrays.length; i++) buffers[i] = this.#buffer(arrays[i], args)
    for (const size of sizes) flat[size.to] = sizeFrom(size, buffers[size.array], flat)
    for (const size of this.#sizes) this.#checkSize(size)
    for (let i = 0; i < arrays.length; i++) {
      const buffer = buffers[i]
      if (buffer !== null) this.#checkArray(arrays[i], buffer)
      flat[arrays[i].to] = buffer === null ? null : buffer.address
    }
    for (const pair of this.#pairs) this.#checkApart(pair)
    this.#kernel(...flat)
    for (const i of this.#lists) {
      const most = (flat[arrays[i].below] as number) - 1
      ;(buffers[i] as OwnedBuffer<Address>).bounds = { least: 0, most, hasNotScored: false, ascending: true }
    }
    // What was given is not kept alive.
    for (let i = 0; i < arrays.length; i++) buffers[i] = flat[arrays[i].to] = null
  }

  #nameOf(place: number): string {
    const { name, params } = this.form.kernel
    return `${name}.${params[place].name}`
  }

  #number(i: number, args: readonly Argument[]): number {
    const { from, to, isSize } = this.form.numbers[i]
    const value = args[from]
    if (typeof value === 'number') return value
    const expected = isSize ? 'a whole number' : 'a number'
    throw new UsageError('SIZE', `${this.#nameOf(to)}: expected ${expected}, got ${typeof value}`)
  }

  #buffer(
    { param, from, to, part, dims }: ArrayForm,
    args: readonly Argument[],
  ): OwnedBuffer<Address> | null {
    let argument = args[from] as Buffer | null
    if (part !== null && argument instanceof OwnedBuffer) argument = part === 'values' ? argument : null
    else if (part !== null && typeof argument === 'object' && argument !== null)
      argument = (argument as unknown as ScaledBuffer)[part]
    if (argument === null) {
      if (param.optional) return null
      throw new UsageError('BUFFER_KIND', `${this.#nameOf(to)}: expected a buffer, got null`)
    }
    const buffer =
      argument instanceof OwnedBuffer &&
      argument.owner === this.#owner &&
      !(argument.parent ?? argument).freed
        ? (argument as OwnedBuffer<Address>)
        : ownedBuffer<Address>(this.#owner, argument as Buffer, this.#nameOf(to))
    if (buffer.dtype !== param.dtype)
      throw new UsageError('BUFFER_KIND', `${this.#nameOf(to)}: expected ${param.dtype}, got ${buffer.dtype}`)
    if (dims.length > 1 && buffer.shape.length !== dims.length)
      throw new UsageError(
        'BUFFER_LENGTH',
        `${this.#nameOf(to)}: expected ${dims.length} dimensions, got [${buffer.shape.join(', ')}]`,
      )
    return buffer
  }

  #checkSize({ at, param, least, leastAt }: SizeCheck): void {
    const value = this.#flat[at] as number
    for (const place of leastAt) least += this.#flat[place] as number
    if (!Number.isInteger(value) || value < least || value > param.most)
      throw new UsageError(
        'SIZE',
        `${this.#nameOf(at)}: expected a whole number from ${least} to ${param.most}, got ${value}`,
      )
  }

  #checkArray(form: ArrayForm, buffer: OwnedBuffer<Address>): void {
    const { dims, param, below, to } = form
    const { shape } = buffer
    if (dims.length === 1) {
      if (buffer.length !== this.#product(dims[0])) this.#refuseShape(form, buffer)
    } else {
      for (let i = 0; i < dims.length; i++)
        if (shape[i] !== this.#product(dims[i])) this.#refuseShape(form, buffer)
    }
    if (isListOutput(param)) {
      if (buffer.parent !== null)
        throw new UsageError('BUFFER_VIEW', `${this.#nameOf(to)}: expected a whole buffer, got a view of one`)
    } else if (below >= 0)
      checkList(this.#nameOf(to), param, (buffer.parent ?? buffer).bounds, this.#flat[below] as number)
  }

  #product(places: readonly number[]): number {
    let product = 1
    for (let i = 0; i < places.length; i++) product *= this.#flat[places[i]] as number
    return product
  }

  #refuseShape({ dims, to }: ArrayForm, { shape }: Buffer): never {
    const expected = dims.map((places) => this.#product(places))
    throw new UsageError(
      'BUFFER_LENGTH',
      `${this.#nameOf(to)}: expected [${expected.join(', ')}], got [${shape.join(', ')}]`,
    )
  }

  #checkApart({ written, other, mayShare }: PairCheck): void {
    const [a, b] = [this.#buffers[written], this.#buffers[other]]
    if (a === null || b === null || (a.parent ?? a) !== (b.parent ?? b)) return
    if (mayShare && a.start === b.start) return
    if (a.start < b.start + b.length && b.start < a.start + a.length) {
      const { arrays } = this.form
      throw new UsageError(
        'BUFFER_ALIAS',
        `${this.#nameOf(arrays[written].to)}: expected numbers apart from those of ${arrays[other].param.name}, got some of the same`,
      )
    }
  }
}

function sizeCheck({ kernel }: CallForm, param: SizeParam, at: number): SizeCheck {
  if (typeof param.least === 'number') return { at, param, least: param.least, leastAt: [] }
  const letters = param.least.split(' + ')
  const leastAt = letters.map((letter) => kernel.params.findIndex(({ name }) => name === letter))
  return { at, param, least: 0, leastAt }
}

function pairChecks(arrays: readonly ArrayForm[]): PairCheck[] {
  return arrays.flatMap(({ param }, written) => {
    if (param.role === 'in') return []
    return arrays.flatMap(({ param: other }, i) =>
      other.dtype === param.dtype && (other.role === 'in' || i > written)
        ? [{ written, other: i, mayShare: param.mayAlias === other.name }]
        : [],
    )
  })
}

function isListOutput({ dtype, role }: ArrayParam): boolean {
  return dtype === 'i32' && role === 'out'
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

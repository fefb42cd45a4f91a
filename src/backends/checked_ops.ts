/**
 * Validated ops: one check between a caller and a kernel, driven by the catalogue, the same for every backend.
 *
 * For each op it makes a function that chooses the kernel by the storage of its arrays, reads the sizes off their shapes
 * (calls.ts), and checks sizes against their ranges, each buffer's owner, kind and shape against the definition, each index
 * list's range, and that no output overlaps another array unless the definition allows it to be the same one. Then it runs
 * the kernel. Nothing is allocated for that.
 *
 * The values of a list are read once, when it is uploaded. A call only compares their bounds, so a check costs the same for
 * any number of units. This is safe because a list is always written whole: an op that makes one takes no view.
 */
import { opNames, type KernelName, type OpName } from '../ops/catalog.ts'
import { ANY_SIZE, type ArrayParam, type Dtype, type SizeParam } from '../ops/op.ts'
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import { UsageError } from '../tensor/errors.ts'
import type { Buffer, BufferPart, Ops, ScaledBuffer, StoredBuffer } from './backend.ts'
import {
  fillQuotients,
  formsOf,
  partOf,
  sizeFrom,
  storedArgument,
  valuesOf,
  type Argument,
  type ArrayForm,
  type CallForm,
  type KernelArgument,
  type KernelFunction,
} from './calls.ts'
import { OwnedBuffer, ownedBuffer, type ListBounds } from './owned_buffer.ts'
import { Recorder } from './recorder.ts'

/**
 * Makes the checked ops of a backend from the function that gives each kernel.
 * @throws UsageError from each op: SIZE, BUFFER_KIND, BUFFER_LENGTH, BUFFER_VIEW, BUFFER_FOREIGN, BUFFER_FREED,
 *   BUFFER_ALIAS, INDEX_RANGE.
 */
export function makeCheckedOps<Address>(
  owner: object,
  kernelOf: (name: KernelName) => KernelFunction<Address>,
  recorder = new Recorder<Address>(),
): Ops {
  const ops = Object.fromEntries(opNames.map((op) => [op, checkedOp(owner, op, kernelOf, recorder)])) as Ops
  recorder.attach(ops)
  return ops
}

function checkedOp<Address>(
  owner: object,
  op: OpName,
  kernelOf: (name: KernelName) => KernelFunction<Address>,
  recorder: Recorder<Address>,
): (...args: Argument[]) => void {
  const checks = formsOf(op).map(
    (form) => new CheckedKernel<Address>(owner, form, kernelOf(form.kernel.name as KernelName), recorder),
  )
  const [first] = checks
  const { count } = first.form
  const at = storedArgument(op)
  return (...args) => {
    if (args.length !== count)
      throw new UsageError('SIZE', `${op}: expected ${count} arguments, got ${args.length}`)
    if (at < 0) return first.run(args)
    const given = args[at]
    const dtype = given instanceof OwnedBuffer ? given.dtype : storageIn(given)
    for (const check of checks) if (check.storage === dtype) return check.run(args)
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

/** A size with a range of its own: its least value is `least` plus the sizes at these places. */
interface RangeCheck {
  readonly at: number
  readonly least: number
  readonly leastAt: readonly number[]
  readonly most: number
  /** The place of a size without which this one may be 0; -1 if there is none. */
  readonly neededBy: number
}

/** An array as it is looked up among the arguments. */
interface ArrayCheck {
  readonly from: number
  readonly to: number
  readonly part: ArrayForm['part']
  readonly dtype: Dtype
  readonly optional: boolean
  /** Dimensions; 0 for any shape of as many numbers. */
  readonly rank: number
}

/** A dimension that must be a size, or the product of two, times a number; -1 for none of them, which is 1. */
interface DimCheck {
  readonly array: number
  /** -1 for the length of the buffer. */
  readonly dim: number
  readonly size: number
  readonly other: number
  readonly times: number
}

/** A list: one that is read, whose values have a limit, or one that the kernel makes. */
interface ListCheck {
  readonly array: number
  readonly below: number
  readonly param: ArrayParam
  readonly isMade: boolean
}

/** Two arrays of a kernel, the first of which it writes, and whether they may be the same numbers. */
interface PairCheck {
  readonly written: number
  readonly other: number
  readonly mayShare: boolean
}

/** A kernel behind its checks, all of which are lists of numbers that a call goes through. */
class CheckedKernel<Address> {
  readonly form: CallForm
  readonly storage: Dtype
  readonly #owner: object
  readonly #kernel: KernelFunction<Address>
  readonly #recorder: Recorder<Address>
  readonly #arrays: readonly ArrayCheck[]
  readonly #ranges: readonly RangeCheck[]
  readonly #dims: readonly DimCheck[]
  readonly #lists: readonly ListCheck[]
  readonly #pairs: readonly PairCheck[]
  /** What a call is made of, the same arrays for each: a kernel calls no op. */
  readonly #buffers: (OwnedBuffer<Address> | null)[]
  readonly #flat: KernelArgument<Address>[]

  constructor(owner: object, form: CallForm, kernel: KernelFunction<Address>, recorder: Recorder<Address>) {
    this.#owner = owner
    this.form = form
    this.storage = form.kernel.storage
    this.#kernel = kernel
    this.#recorder = recorder
    const { arrays } = form
    const { params } = form.kernel
    this.#arrays = arrays.map(({ from, to, part, param: { dtype, optional }, dims }) => {
      return { from, to, part, dtype, optional, rank: dims.length === 1 ? 0 : dims.length }
    })
    this.#ranges = params.flatMap((param, at) => (param.kind === 'size' ? rangeChecks(form, param, at) : []))
    this.#dims = dimChecks(form)
    this.#lists = arrays.flatMap(({ param, below }, array) => {
      const isMade = param.dtype === 'i32' && param.role === 'out'
      return below < 0 ? [] : [{ array, below, param, isMade }]
    })
    this.#pairs = pairChecks(arrays)
    this.#buffers = arrays.map(() => null)
    this.#flat = params.map(() => null)
  }

  run(args: readonly Argument[]): void {
    const buffers = this.#buffers
    const flat = this.#flat
    const arrays = this.#arrays
    for (const { from, to } of this.form.numbers) {
      const value = args[from]
      if (typeof value !== 'number') this.#refuseNumber(to, value)
      flat[to] = value
    }
    for (let i = 0; i < arrays.length; i++) {
      const buffer = this.#bufferOf(arrays[i], args)
      buffers[i] = buffer
      flat[arrays[i].to] = buffer === null ? null : buffer.address
    }
    for (const size of this.form.sizes) flat[size.to] = sizeFrom(size, buffers[size.array], flat)
    fillQuotients(this.form.quotients, flat)
    for (const range of this.#ranges) this.#checkRange(range)
    for (const { array, dim, size, other, times } of this.#dims) {
      const buffer = buffers[array]
      if (buffer === null) continue
      let expected = size < 0 ? times : times * (flat[size] as number)
      if (other >= 0) expected *= flat[other] as number
      if ((dim < 0 ? buffer.length : buffer.shape[dim]) !== expected) this.#refuseShape(array, buffer)
    }
    for (const list of this.#lists) this.#checkList(list)
    for (const pair of this.#pairs) this.#checkApart(pair)
    this.#recorder.note(this.#kernel, flat, buffers)
    this.#kernel(...flat)
    for (const { array, below, isMade } of this.#lists)
      if (isMade) {
        const most = (flat[below] as number) - 1
        const made = buffers[array] as OwnedBuffer<Address>
        this.#recorder.end(made)
        made.bounds = { least: 0, most, hasNotScored: false, ascending: true }
      }
    // What was given is not kept alive.
    for (let i = 0; i < arrays.length; i++) buffers[i] = flat[arrays[i].to] = null
  }

  #nameOf(place: number): string {
    const { name, params } = this.form.kernel
    return `${name}.${params[place].name}`
  }

  #refuseNumber(place: number, value: Argument): never {
    throw new UsageError('SIZE', `${this.#nameOf(place)}: expected a number, got ${typeof value}`)
  }

  #bufferOf(check: ArrayCheck, args: readonly Argument[]): OwnedBuffer<Address> | null {
    const given = args[check.from]
    const argument = check.part === null ? given : partIn(given, check.part)
    if (argument === null && check.optional) return null
    if (
      !isOwned<Address>(argument, this.#owner) ||
      argument.dtype !== check.dtype ||
      (check.rank > 0 && argument.shape.length !== check.rank)
    )
      this.#refuseBuffer(check, argument)
    return argument
  }

  /** Says what is wrong with a buffer. */
  #refuseBuffer({ to, dtype, rank }: ArrayCheck, argument: Argument): never {
    const name = this.#nameOf(to)
    if (argument === null) throw new UsageError('BUFFER_KIND', `${name}: expected a buffer, got null`)
    const buffer = ownedBuffer(this.#owner, argument as Buffer, name)
    if (buffer.dtype !== dtype)
      throw new UsageError('BUFFER_KIND', `${name}: expected ${dtype}, got ${buffer.dtype}`)
    throw new UsageError(
      'BUFFER_LENGTH',
      `${name}: expected ${rank} dimensions, got [${buffer.shape.join(', ')}]`,
    )
  }

  #checkRange({ at, least, leastAt, most, neededBy }: RangeCheck): void {
    const value = this.#flat[at] as number
    for (const place of leastAt) least += this.#flat[place] as number
    if (value === 0 && neededBy >= 0 && this.#flat[neededBy] === 0) return
    if (!Number.isInteger(value) || value < least || value > most) this.#refuseSize(at, value, least, most)
  }

  #refuseSize(at: number, value: number, least: number, most: number): never {
    throw new UsageError(
      'SIZE',
      `${this.#nameOf(at)}: expected a whole number from ${least} to ${most}, got ${value}`,
    )
  }

  #refuseShape(array: number, { shape }: Buffer): never {
    const { dims, to } = this.form.arrays[array]
    const expected = dims.map(({ places, times }) =>
      places.reduce((product, place) => product * (this.#flat[place] as number), times),
    )
    throw new UsageError(
      'BUFFER_LENGTH',
      `${this.#nameOf(to)}: expected [${expected.join(', ')}], got [${shape.join(', ')}]`,
    )
  }

  #checkList({ array, below, param, isMade }: ListCheck): void {
    const buffer = this.#buffers[array]
    if (buffer === null) return
    if (!isMade) {
      const bounds = buffer.parent === null ? buffer.bounds : buffer.parent.bounds
      const limit = this.#flat[below] as number
      if (!isWithin(bounds, param, limit)) refuseList(this.#nameOf(this.#arrays[array].to), bounds, limit)
    } else if (buffer.parent !== null) {
      const name = this.#nameOf(this.#arrays[array].to)
      throw new UsageError('BUFFER_VIEW', `${name}: expected a whole buffer, got a view of one`)
    }
  }

  #checkApart({ written, other, mayShare }: PairCheck): void {
    const a = this.#buffers[written]
    const b = this.#buffers[other]
    if (a === null || b === null || (a.parent ?? a) !== (b.parent ?? b)) return
    if (mayShare && a.start === b.start) return
    if (a.start < b.start + b.length && b.start < a.start + a.length) this.#refuseAlias(written, other)
  }

  #refuseAlias(written: number, other: number): never {
    const { arrays } = this.form
    throw new UsageError(
      'BUFFER_ALIAS',
      `${this.#nameOf(arrays[written].to)}: expected numbers apart from those of ${arrays[other].param.name}, got some of the same`,
    )
  }
}

/** Whether an argument is a live buffer of this backend. */
function isOwned<Address>(argument: Argument, owner: object): argument is OwnedBuffer<Address> {
  if (!(argument instanceof OwnedBuffer) || argument.owner !== owner) return false
  return argument.parent === null ? !argument.freed : !argument.parent.freed
}

/** The numbers of a stored array, or what they are scaled by. */
function partIn(argument: Argument, part: BufferPart): Argument {
  if (argument instanceof OwnedBuffer) return part === 'values' ? argument : null
  return typeof argument === 'object' && argument !== null
    ? (partOf(argument as ScaledBuffer, part) ?? null)
    : argument
}

/** A size that follows from a shape is a whole number: what is checked is what the kernel asks for besides. */
function rangeChecks({ kernel, numbers, sizes }: CallForm, param: SizeParam, at: number): RangeCheck[] {
  const isPassed = numbers.some(({ to }) => to === at)
  const isQuotient = sizes.some(({ to, divisors }) => to === at && divisors.length > 0)
  const { least, most } = param
  const placeOf = (letter: string | null): number => kernel.params.findIndex(({ name }) => name === letter)
  const neededBy = placeOf(param.neededBy)
  if (neededBy >= 0) return [{ at, least: 1, leastAt: [], most, neededBy }]
  if (!isPassed && !isQuotient && least === 0 && most === ANY_SIZE) return []
  if (typeof least === 'number') return [{ at, least, leastAt: [], most, neededBy }]
  return [{ at, least: 0, leastAt: least.split(' + ').map(placeOf), most, neededBy }]
}

/** Every dimension but those that a size was read off. */
function dimChecks({ arrays, sizes }: CallForm): DimCheck[] {
  return arrays.flatMap(({ dims }, array) =>
    dims.flatMap(({ places, times }, i) => {
      const dim = dims.length === 1 ? -1 : i
      const isSource = places.length === 1 && sizes.some((size) => size.array === array && size.dim === dim)
      const [size = -1, other = -1] = places
      return isSource ? [] : [{ array, dim, size, other, times }]
    }),
  )
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

/** Whether a list holds what a kernel may be given. */
function isWithin(bounds: ListBounds | null, param: ArrayParam, limit: number): boolean {
  if (bounds === null || bounds.most >= limit || bounds.least < 0) return false
  if (bounds.hasNotScored && param.holds !== 'labels') return false
  return bounds.ascending || param.holds !== 'ascending' || param.anyOrder
}

/** @throws UsageError INDEX_RANGE for a list of indices that was not uploaded or is out of range or out of order */
function refuseList(name: string, bounds: ListBounds | null, limit: number): never {
  const refuse = (expected: string, got: string): UsageError =>
    new UsageError('INDEX_RANGE', `${name}: expected ${expected}, got ${got}`)
  if (bounds === null) throw refuse('an uploaded list', 'one never written')
  const least = bounds.hasNotScored ? NOT_SCORED : bounds.least
  if (least < 0 || bounds.most >= limit)
    throw refuse(`values from 0 to ${limit - 1}`, `${least} to ${bounds.most}`)
  throw refuse('distinct values in ascending order', 'another order')
}

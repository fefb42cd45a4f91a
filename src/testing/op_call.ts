/**
 * One call of one kernel on one backend, with the checks of every call of laws and parity.
 *
 * Arguments are given by the names of its parameters, and read back by name. Around each array stand guard words
 * that must survive; behind and before an input they are NaN, so a kernel that reads past an end shows it. Outputs
 * start as NaN, so an element that is not written shows too. Inputs must come out unchanged, and every buffer is freed.
 *
 * Lists are the exception: a list is uploaded, and made, as a whole buffer (checked_ops.ts says why), so what stands around
 * it are separate buffers. What NaN is to float32, `poison` is to the other kinds.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { runKernel } from '../backends/calls.ts'
import { kernels, type KernelName } from '../ops/catalog.ts'
import {
  arrayTypes,
  bufferShape,
  elementCount,
  type ArrayParam,
  type Dtype,
  type Numbers,
  type Kernel,
  type Sizes,
} from '../ops/op.ts'

/** An argument of an op by its reference function: numbers, a size or scalar, or an optional array that is absent. */
export type Value = Numbers | number | null
/** Arguments by the names of a kernel's parameters. */
export type Values = Readonly<Record<string, Value>>

/** Where the arrays of a call stand. */
export interface Placing {
  /** How many words past an aligned place the first array starts. */
  readonly offset?: number
  /** How many words further each of the next arrays starts; default 1. */
  readonly spread?: number
  /** Whether an output that may be the same buffer as an input is. */
  readonly aliased?: boolean
}

const guardWords = 4

/** Every array at a multiple of 16 bytes, whatever kind of numbers it holds: where kernels may read several at once. */
export const aligned: Placing = { offset: 16 - guardWords, spread: 0 }

const guards: Readonly<Record<Dtype, number>> = {
  f32: -1.2345e20,
  i32: -7,
  bf16: 0xe0d6,
  f16: 0xfb87,
  i8: -77,
  i4: 0xa5,
}

/** What no array of a kind holds by contract, so that it shows where it was read: NaN, or beyond the range. */
export const poison: Readonly<Record<Exclude<Dtype, 'i32'>, number>> = {
  f32: NaN,
  bf16: 0x7fc0,
  f16: 0x7e00,
  i8: -128,
  i4: 0xff,
}

/** A buffer whose numbers outside `from..to` an op must leave alone. */
interface Watched {
  readonly buffer: Buffer
  readonly before: Numbers
  readonly from: number
  readonly to: number
}

/** An array argument in its surroundings. */
interface Seat {
  readonly param: ArrayParam
  /** The arguments of the op. */
  readonly buffer: Buffer
  readonly watched: readonly Watched[]
}

type Seats = Map<string, Seat | null>

/** A call: a kernel, its arguments, and where its arrays stand. */
export interface RawCall {
  readonly name: KernelName
  readonly given: Values
  readonly placing?: Placing
}

/**
 * Runs an op and gives back its outputs and accumulators.
 * @throws Error if the call touched what it must not, and whatever the backend throws.
 */
export function callRaw(
  backend: Backend,
  name: KernelName,
  given: Values,
  placing: Placing = {},
): Record<string, Numbers> {
  const [result] = callAll(backend, [{ name, given, placing }])
  if (result instanceof Error) throw result
  return result
}

/**
 * The same for several calls, whose arrays are there together and are read at once: a device may take long to answer a read.
 * @returns for each call its outputs and accumulators, or the Error that `callRaw` would throw
 */
export function callAll(backend: Backend, calls: readonly RawCall[]): (Record<string, Numbers> | Error)[] {
  return BufferScope.within(backend, (scope) => {
    const made = calls.map((call) => orError(() => makeCall(scope, call)))
    const buffers = made.map((one) => (one instanceof Error ? [] : buffersOf(one.seats)))
    const contents = orError(() => backend.readAll(buffers.flat()))
    let place = 0
    return made.map((one, i) => {
      const from = place
      place += buffers[i].length
      if (one instanceof Error) return one
      return contents instanceof Error ? contents : orError(() => readBack(one, contents.slice(from, place)))
    })
  })
}

function orError<T>(work: () => T): T | Error {
  try {
    return work()
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

/** A call that was made: its op, and what must be looked at. */
interface MadeCall {
  readonly row: Kernel
  readonly seats: Seats
}

function makeCall(scope: BufferScope, { name, given, placing = {} }: RawCall): MadeCall {
  const row = kernels[name]
  const values = completeValues(row, given)
  const sizes = sizesOf(row, values)
  const seats: Seats = new Map()
  const { spread = 1 } = placing
  let offset = placing.offset ?? 0
  for (const param of row.params)
    if (param.kind === 'array') {
      seats.set(param.name, seat(scope, param, values[param.name], sizes, offset))
      offset += spread
    }
  if (placing.aliased) aliasOutputs(row, seats)
  runKernel(
    scope.backend.ops,
    name,
    row.params.map(({ kind, name }) =>
      kind === 'array' ? (seats.get(name)?.buffer ?? null) : (values[name] as number),
    ),
  )
  return { row, seats }
}

/** `callRaw` for ops whose outputs are float32. */
export function call(
  backend: Backend,
  name: KernelName,
  given: Values,
  placing: Placing = {},
): Record<string, Float32Array> {
  return callRaw(backend, name, given, placing) as Record<string, Float32Array>
}

/**
 * What a caller may leave out: optional arrays are null, the count of a list is its length (0 if it is null), and a size
 * that follows from another does so.
 */
function completeValues(row: Kernel, given: Values): Values {
  const values: Record<string, Value> = { ...given }
  for (const param of row.params)
    if (param.kind === 'size' && param.quotient)
      values[param.name] ??= Math.ceil((values[param.quotient.of] as number) / param.quotient.by)
  for (const param of row.params)
    if (param.kind === 'array' && param.role !== 'out') {
      if (param.optional) values[param.name] ??= null
      const list = values[param.name] as Int32Array | null
      if (param.holds === 'ascending') values[param.shape[0]] ??= list?.length ?? 0
    }
  return values
}

/** The sizes among the values. @throws Error if a scalar or a size has no value. */
export function sizesOf(row: Kernel, values: Values): Sizes {
  const sizes: Record<string, number> = {}
  for (const param of row.params) {
    if (param.kind === 'array') continue
    if (typeof values[param.name] !== 'number') throw new Error(`${row.name}: no value for ${param.name}`)
    if (param.kind === 'size') sizes[param.name] = values[param.name] as number
  }
  return sizes
}

function seat(
  scope: BufferScope,
  param: ArrayParam,
  value: Value | undefined,
  sizes: Sizes,
  offset: number,
): Seat | null {
  if (value === null) return null
  const length = elementCount(param, sizes)
  const { dtype } = param
  if (dtype === 'i32') return seatList(scope, param, value as Int32Array | undefined, length)
  if (value === undefined && param.role === 'in') throw new Error(`no value for ${param.name}`)
  const from = offset + guardWords
  const before = new arrayTypes[dtype](from + length + guardWords)
  before.fill(param.role === 'in' ? poison[dtype] : guards[dtype])
  if (value === undefined) before.fill(param.role === 'add' ? 0 : poison[dtype], from, from + length)
  else before.set((value as Numbers).subarray(0, length), from)
  const whole = scope.upload(before, [before.length], dtype)
  const to = param.role === 'in' ? from : from + length
  const watched = [{ buffer: whole, before, from, to }]
  return { param, buffer: scope.backend.view(whole, bufferShape(param, sizes), from), watched }
}

function seatList(
  scope: BufferScope,
  param: ArrayParam,
  value: Int32Array | undefined,
  length: number,
): Seat {
  const watch = (before: Int32Array, to: number): Watched => ({
    buffer: scope.upload(before),
    before,
    from: 0,
    to,
  })
  const garbage = (count: number): Int32Array => new Int32Array(count).fill(guards.i32)
  const left = watch(garbage(guardWords), 0)
  const list = value === undefined ? watch(garbage(length), length) : watch(value, 0)
  const right = watch(garbage(guardWords), 0)
  return { param, buffer: list.buffer, watched: [list, left, right] }
}

function aliasOutputs(row: Kernel, seats: Seats): void {
  for (const param of row.params) {
    if (param.kind !== 'array' || param.mayAlias === null) continue
    const input = seats.get(param.mayAlias)
    if (!input) continue
    const [{ buffer, before, from }] = input.watched
    const watched = [{ buffer, before, from, to: from + input.buffer.length }]
    seats.set(param.name, { param, buffer: input.buffer, watched })
    seats.set(param.mayAlias, { ...input, watched: [] })
  }
}

/**
 * Whether two arrays of a kind and a length are equal bit for bit, but for the numbers from `from` up to `to`; default: all must be.
 * Most calls spend their time here.
 */
export function haveSameBits(
  a: Numbers,
  b: Numbers,
  from: number = a.length,
  to: number = a.length,
): boolean {
  const size = a.BYTES_PER_ELEMENT
  if (size === 4) {
    const [x, y] = [wordsOf(a), wordsOf(b)]
    return haveSameWords(x, y, 0, from) && haveSameWords(x, y, to, x.length)
  }
  const [x, y] = [bytesOf(a), bytesOf(b)]
  return haveSameBytes(x, y, 0, from * size) && haveSameBytes(x, y, to * size, x.length)
}

const wordsOf = ({ buffer, byteOffset, length }: Numbers): Int32Array =>
  new Int32Array(buffer, byteOffset, length)
const bytesOf = ({ buffer, byteOffset, byteLength }: Numbers): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength)

function haveSameWords(a: Int32Array, b: Int32Array, begin: number, end: number): boolean {
  for (let i = begin; i < end; i++) if (a[i] !== b[i]) return false
  return true
}

/** The same loop: one for arrays of both kinds would be slower. */
function haveSameBytes(a: Uint8Array, b: Uint8Array, begin: number, end: number): boolean {
  for (let i = begin; i < end; i++) if (a[i] !== b[i]) return false
  return true
}

function buffersOf(seats: Seats): Buffer[] {
  return [...seats.values()].flatMap((seated) => seated?.watched.map(({ buffer }) => buffer) ?? [])
}

/** The results of a call. @param contents what the buffers of its seats hold, in their order */
function readBack({ row, seats }: MadeCall, contents: readonly Numbers[]): Record<string, Numbers> {
  const results: Record<string, Numbers> = {}
  let place = 0
  for (const [name, seated] of seats) {
    if (seated === null) continue
    for (const { before, from, to } of seated.watched) {
      const after = contents[place++]
      if (!haveSameBits(before, after, from, to)) {
        const at = before.findIndex((value, i) => (i < from || i >= to) && !Object.is(after[i], value))
        if (at >= 0)
          throw new Error(
            `${row.name}.${name}: expected number ${at - from} of 0..${seated.buffer.length} untouched, got ${after[at]}`,
          )
      }
      if (seated.param.role !== 'in') results[name] ??= after.slice(from, to)
    }
  }
  return results
}

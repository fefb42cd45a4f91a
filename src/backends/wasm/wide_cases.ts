/**
 * Calls on which the wide build is tried (wide_trial.ts): arguments of a kernel, made from its parameters and written into a
 * memory.
 */
import {
  arrayTypes,
  elementCount,
  type ArrayParam,
  type Dtype,
  type Kernel,
  type Numbers,
  type Sizes,
} from '../../ops/op.ts'
import { BLOCK, BLOCK_BYTES, blocksOf } from '../../tensor/int4.ts'
import { Random } from '../../tensor/random.ts'

/** What a call is like. */
export interface Case {
  readonly tokens: number
  /** The sizes that loops run over: inputs, outputs, positions. */
  readonly long: number
  /** Numbers of a head: kernels of attention have functions of their own for multiples of 16. */
  readonly head: number
  /** Whether numbers are the least and the greatest. */
  readonly isExtreme?: boolean
  /** Whether optional arrays are given: biases and chosen units. */
  readonly isWhole?: boolean
}

/** A call whose arrays stand in a memory. */
export interface PlacedCall {
  readonly args: readonly (number | null)[]
  /** Bytes from..to of each array that it writes, and around it. */
  readonly written: readonly (readonly [from: number, to: number])[]
  /** Behind the last array. */
  readonly end: number
}

/** Bytes around an array that a call may not write. */
const GUARD = 64

/** Writes the arrays of a call into a memory, from `start` on. */
export function placeCall(kernel: Kernel, one: Case, memory: WebAssembly.Memory, start: number): PlacedCall {
  const sizes = sizesOf(kernel, one)
  const written: [number, number][] = []
  let end = start
  const args = kernel.params.map((param, i) => {
    if (param.kind === 'size') return sizes[param.name]
    if (param.kind === 'scalar') return (param.from + param.to) / 3
    if (param.optional && !one.isWhole) return null
    const at = end + GUARD
    const values = new arrayTypes[param.dtype](memory.buffer as ArrayBuffer, at, elementCount(param, sizes))
    if (param.dtype === 'i32') writeList(values, param, sizes)
    else repeat(values, poolOf(param.dtype, one.isExtreme ?? false).subarray(i))
    if (param.sideBySide > 0) writeScales(values, param.sideBySide)
    if (param.least !== null) values.forEach((value, n) => (values[n] = Math.abs(value)))
    const from = end
    end = (at + values.byteLength + GUARD + 15) & ~15
    if (param.role !== 'in') written.push([from, end])
    return at
  })
  return { args, written, end }
}

/** Sizes of six heads, three of which share keys, or two where two thirds of all units are chosen. */
function sizesOf({ params }: Kernel, { isWhole, ...one }: Case): Sizes {
  const sizes: Record<string, number> = {}
  for (const param of params)
    if (param.kind === 'size')
      sizes[param.name] = param.quotient
        ? Math.ceil(sizes[param.quotient.of] / param.quotient.by)
        : sizeOf(param.name, one)
  for (const param of params)
    if (param.kind === 'array' && param.holds === 'ascending')
      sizes[param.shape[0]] = isWhole ? Math.ceil((2 / 3) * sizes[param.below as string]) : 0
  return sizes
}

function sizeOf(letter: string, { tokens, long, head }: Case): number {
  if (letter === 'T') return tokens
  if (letter === 'K') return head
  if (letter === 'H') return 6
  if (letter === 'G') return 2
  return letter === 'B' ? blocksOf(long) : long
}

/** The least and the greatest, and such as vanish beside them. */
const extremes: Readonly<Record<Exclude<Dtype, 'i32'>, readonly number[]>> = {
  f32: [0, -0, 1e-40, -1e-40, 1, -1, 1e30, -1e30],
  bf16: [0, 0x8000, 1, 0x8001, 0x3f80, 0xbf80, 0x7000, 0xf000],
  f16: [0, 0x8000, 1, 0x8001, 0x3c00, 0xbc00, 0x7bff, 0xfbff],
  i8: [127, -127, 0],
  i4: [0, 255, 15, 240],
}

/** How many numbers are drawn of a kind: a prime, so that no two rows of a matrix are the same. */
const DRAWN = 509
const pools = new Map<string, Numbers>()

/** Numbers of a kind, the same ones each time. */
function poolOf(dtype: Exclude<Dtype, 'i32'>, isExtreme: boolean): Numbers {
  const key = `${dtype} ${isExtreme}`
  let pool = pools.get(key)
  if (pool !== undefined) return pool
  pools.set(key, (pool = new arrayTypes[dtype](DRAWN)))
  const random = new Random(1)
  for (let i = 0; i < DRAWN; i++)
    pool[i] = isExtreme
      ? extremes[dtype][random.below(extremes[dtype].length)]
      : plain(dtype, random.uint32())
  return pool
}

/** A number of moderate size. @param bits 32 of them */
function plain(dtype: Exclude<Dtype, 'i32'>, bits: number): number {
  if (dtype === 'f32') return (bits / 2 ** 31 - 1) * 2 ** (bits & 3)
  if (dtype === 'i8') return (bits % 255) - 127
  return dtype === 'i4' ? bits & 255 : (bits & 0x83ff) | 0x3800
}

/** Fills an array with numbers, again and again. */
function repeat(values: Numbers, pool: Numbers): void {
  values.set(pool.subarray(0, values.length))
  for (let n = pool.length; n < values.length; n *= 2) values.copyWithin(n, 0, n)
}

/** A list: neighbours first, and then such between which others are left out; of ids the blocks that the places are in. */
function writeList(list: Numbers, { holds, below }: ArrayParam, sizes: Sizes): void {
  const limit = sizes[below as string]
  const [count, next] = [list.length, Math.ceil(limit / 3)]
  for (let i = 0; i < count; i++)
    if (holds === 'ascending') list[i] = i < next ? i : limit - 1 - 2 * (count - 1 - i)
    else list[i] = Math.min(Math.floor(i / BLOCK), limit - 1)
}

/** Moderate scales and minima, in half precision: of rows side by side they come first in each block. */
function writeScales(blocks: Numbers, rows: number): void {
  const size = BLOCK_BYTES * rows
  for (let block = 0; block < blocks.length; block += size)
    for (let i = block + 1; i < block + 4 * rows; i += 2) blocks[i] = 0x38 | (blocks[i] & 0x83)
}

/**
 * Calls of every op, with what its definition makes of them.
 *
 * Small ones are those of `parity run`, on its data with ties, subnormals and NaN, as many as there is room for. Large ones
 * have the sizes of OPT-125m: what they are given follows from a seed, what they must give is a hash.
 */
import { createHash } from 'node:crypto'
import { allowancesOf, boundOf, evaluate } from '../../../src/testing/op_agreement.ts'
import { kernelIn } from '../../../src/backends/cuda/launch.ts'
import { withOneNaN } from '../../../src/parity/op_files.ts'
import { sizesOf, type Value, type Values } from '../../../src/testing/op_call.ts'
import { casesOf, defaultCallsOf, type OpCall, type OpCase } from '../../../src/parity/op_suite.ts'
import { kernels, type KernelName } from '../../../src/ops/catalog.ts'
import {
  arrayTypes,
  elementCount,
  type ArrayParam,
  type Numbers,
  type Kernel,
  type Sizes,
} from '../../../src/ops/op.ts'
import { generate, type GeneratedFill } from './generated.ts'
import type { Argument, Fill, ProgramWriter } from './program.ts'
import type { KernelSet } from './sets.ts'

/** Bytes that the small cases of an op may take of a bundle, unless there would be fewer than so many cases. */
const MOST_BYTES = 4800
const FEWEST_CASES = 8
/** A step through the small cases that meets every size and letter early, and all cases: their count is no multiple of it. */
const STRIDE = 19

/** The cases of an op by one set of kernels. The last, the largest, is the one whose time is taken. */
export function addCases(program: ProgramWriter, set: KernelSet, op: KernelName): void {
  const isBound = boundOf(op, set.owed) !== null
  program.line('op', op, isBound ? 'bound' : 'bits')
  for (const one of smallCases(op)) addCase(program, set, one, isBound)
  // Where a bound is owed it must be known number by number, which a hash is not.
  if (!isBound) for (const call of defaultCallsOf(op)) addLarge(program, set, op, call)
}

/** Some of the small cases, in their order. */
function smallCases(op: KernelName): OpCase[] {
  const all = [...casesOf(op, { seed: 0, small: true })]
  const chosen: OpCase[] = []
  let left = MOST_BYTES
  for (let turn = 0; turn < all.length; turn++) {
    const one = all[(turn * STRIDE) % all.length]
    const bytes = bytesOf(one)
    if (chosen.includes(one) || bytes > left) continue
    left -= bytes
    chosen.push(one)
  }
  const smallest = all.filter((one) => !chosen.includes(one)).toSorted((a, b) => bytesOf(a) - bytesOf(b))
  chosen.push(...smallest.slice(0, Math.max(0, FEWEST_CASES - chosen.length)))
  return chosen.toSorted((a, b) => a.index - b.index)
}

/** What a case takes of a bundle: what is read, and what must come of it. */
function bytesOf({ op, sizes, values }: OpCase): number {
  let bytes = 0
  for (const param of kernels[op].params)
    if (param.kind === 'array' && values[param.name] !== null)
      bytes += elementCount(param, sizes) * arrayTypes[param.dtype].BYTES_PER_ELEMENT
  return bytes
}

function addCase(program: ProgramWriter, set: KernelSet, one: OpCase, isBound: boolean): void {
  const { op, index, sizes, values, aliased } = one
  const row = kernels[op]
  program.line('case', index, sizesText(row, sizes))
  addBuffers(program, row, one, (param) => {
    const value = values[param.name]
    return value === undefined ? { kind: 'noise' } : { kind: 'data', numbers: value as Numbers }
  })
  addLaunch(program, set, one)
  const expected = evaluate(op, values)
  const allowed = isBound ? allowancesOf(op, values, expected, set.owed) : {}
  for (const [name, numbers] of Object.entries(expected)) {
    const place = { buffer: aliased ? sharedWith(row, values, name) : name, start: 0 }
    const { dtype } = arrayOf(row, name)
    // The sign of a NaN depends on what an engine has compiled.
    const expected = withOneNaN(numbers)
    if (isBound) program.near(place, expected as Float32Array, roundedUp(allowed[name]))
    else program.equal(place, dtype, expected)
  }
  program.line('end')
}

/** As float32 that allows no less. */
function roundedUp(allowed: ArrayLike<number>): Float32Array {
  return withOneNaN(Float32Array.from(allowed, (value) => value * (1 + 2 ** -23))) as Float32Array
}

function addLarge(program: ProgramWriter, set: KernelSet, op: KernelName, call: OpCall): void {
  const { index, sizes, variant } = call
  const row = kernels[op]
  const fills = new Map<string, GeneratedFill>()
  const values: Record<string, Value> = {}
  row.params.forEach((param, i) => {
    if (param.kind === 'size') values[param.name] = sizes[param.name]
    else if (param.kind === 'scalar') values[param.name] = Math.fround((param.from + param.to) / 2)
    else if (variant.absent.has(param.name)) values[param.name] = null
    else if (param.role !== 'out') {
      const fill = fillOf(param, sizes, 1000 * index + i)
      const numbers = new arrayTypes[param.dtype](elementCount(param, sizes))
      generate(numbers, param.dtype, fill)
      fills.set(param.name, fill)
      values[param.name] = numbers
    }
  })
  const one: OpCase = { op, index, sizes, values, aliased: variant.aliased }
  program.line('case', index, sizesText(row, sizes))
  addBuffers(program, row, one, (param) => fills.get(param.name) ?? { kind: 'noise' })
  addLaunch(program, set, one)
  for (const [name, numbers] of Object.entries(evaluate(op, values)))
    program.hash(
      { buffer: one.aliased ? sharedWith(row, values, name) : name, start: 0 },
      numbers.length,
      hashOfNumbers(numbers),
    )
  program.line('end')
}

function fillOf(param: ArrayParam, sizes: Sizes, seed: number): GeneratedFill {
  const limit = param.below === null ? 0 : sizes[param.below]
  if (param.holds === 'ascending') return { kind: param.anyOrder ? 'reversed' : 'spread', limit }
  if (param.holds !== 'numbers') return { kind: param.holds, seed, limit }
  return { kind: param.least === null ? 'numbers' : 'sizes', seed }
}

/** The arrays of a call: those that are absent, and outputs that are an input too, have no buffer of their own. */
function addBuffers(
  program: ProgramWriter,
  row: Kernel,
  { index, sizes, values, aliased }: OpCase,
  fillOf: (param: ArrayParam) => Fill,
): void {
  row.params.forEach((param, i) => {
    if (param.kind !== 'array' || values[param.name] === null) return
    if (aliased && sharedWith(row, values, param.name) !== param.name) return
    const { name, dtype } = param
    // A half of what is made stands where no vector does.
    const shift = (index + i) % 4
    program.buffer({ name, dtype, length: elementCount(param, sizes), shift, fill: fillOf(param) })
  })
}

/** The buffer of an output where it may be that of an input. */
function sharedWith(row: Kernel, values: Values, name: string): string {
  const { mayAlias } = arrayOf(row, name)
  return mayAlias !== null && values[mayAlias] ? mayAlias : name
}

function addLaunch(program: ProgramWriter, set: KernelSet, { op, values, aliased }: OpCase): void {
  const row = kernels[op]
  const sizes = sizesOf(row, values)
  const args = row.params.map(({ kind, name }): Argument => {
    if (kind === 'size') return { size: values[name] as number }
    if (kind === 'scalar') return { scalar: values[name] as number }
    if (values[name] === null) return null
    return { buffer: aliased ? sharedWith(row, values, name) : name, start: 0 }
  })
  const { symbol, launch } = kernelIn(set.ending, op)
  program.launch(
    symbol,
    launch((letter) => sizes[letter]),
    args,
  )
}

function arrayOf(row: Kernel, name: string): ArrayParam {
  return row.params.find((param) => param.kind === 'array' && param.name === name) as ArrayParam
}

function sizesText(row: Kernel, sizes: Sizes): string {
  return row.params.flatMap(({ kind, name }) => (kind === 'size' ? [`${name}=${sizes[name]}`] : [])).join()
}

/** SHA-256 of the bytes of numbers, every NaN the same. */
function hashOfNumbers(numbers: Numbers): string {
  const { buffer, byteOffset, byteLength } = withOneNaN(numbers)
  return createHash('sha256')
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest('hex')
}

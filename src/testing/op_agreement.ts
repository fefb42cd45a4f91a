/**
 * How near the numbers of a call must be to those of the op's definition, and how near they are.
 *
 * What is owed is one of four things:
 *   row       what the kernel's definition says: equal bits, unless it states a bound
 *   relaxed   the same, or what that allows a backend that leaves products of multiply-adds unrounded (ops/relaxed.ts)
 *   fast      the same, or what that allows a backend that also adds in an order of its own
 *   a share   of the largest expected number of an output of float32; 0 asks for equal bits, which whole numbers always owe
 */
import { kernelSet, type BackendName } from '../backends/backend.ts'
import { kernels, type KernelName } from '../ops/catalog.ts'
import { arrayTypes, elementCount, type Numbers, type Kernel, type Relaxed } from '../ops/op.ts'
import { ROUNDING, TINY } from '../ops/relaxed.ts'
import { arraysOf } from './op_case.ts'
import { haveSameBits, sizesOf, type Values } from './op_call.ts'

/** The requirement on a backend. */
export type Owed = 'row' | 'relaxed' | 'fast' | { readonly share: number }

/** Whether a backend owes the bits of the reference; the others owe bounds of the catalogue instead. */
export function owesBits({ name }: { readonly name: BackendName }): boolean {
  return kernelSet(name) === 'exact'
}

/** What a backend of this project owes. */
export function owedBy({ name }: { readonly name: BackendName }): Owed {
  const set = kernelSet(name)
  return set === 'exact' ? 'row' : set
}

/** The bound of an op under what is owed; null if its bits must be equal, or what is owed is another thing. */
export function boundOf(name: KernelName, owed: Owed): Relaxed<readonly never[]> | null {
  return owed === 'relaxed' || owed === 'fast' ? kernels[name][owed] : null
}

/** A number that is not the definition's. */
export interface Difference {
  readonly output: string
  /** Its place in the output, counted row-major from 0. */
  readonly index: number
  readonly expected: number
  readonly actual: number
  /** |actual - expected|; Infinity where one of them is not finite and the other is something else. */
  readonly error: number
  /** How large that may be; null if the bits must be equal. */
  readonly tolerance: number | null
  readonly passed: boolean
}

/** The result of one call. */
export interface Comparison {
  readonly passed: boolean
  /** How many numbers were compared. */
  readonly compared: number
  /** How many have other bits than the definition's (NaN is NaN). */
  readonly differing: number
  /** The one that is furthest past what is allowed, else furthest off; null if all bits are equal. */
  readonly worst: Difference | null
}

/**
 * Calls the reference function, or another of the same arguments, on copies of the arguments. Outputs start as 12345, so
 * that what is never written shows.
 * @returns the outputs and accumulators by name
 */
export function evaluate(
  name: KernelName,
  values: Values,
  run: Kernel['reference'] = kernels[name].reference,
): Record<string, Numbers> {
  const row = kernels[name]
  const sizes = sizesOf(row, values)
  const results: Record<string, Numbers> = {}
  const args = row.params.map((param) => {
    const value = values[param.name]
    if (param.kind !== 'array' || param.role === 'in' || value === null) return value
    const fresh = new arrayTypes[param.dtype](elementCount(param, sizes))
    return (results[param.name] = value === undefined ? fresh.fill(12345) : (value as Numbers).slice())
  })
  run(...(args as never[]))
  return results
}

/**
 * Compares a call's outputs with the expected ones.
 * @param values the arguments of the call, from which bounds come
 */
export function compareOutputs(
  name: KernelName,
  values: Values,
  expected: Readonly<Record<string, Numbers>>,
  actual: Readonly<Record<string, Numbers>>,
  owed: Owed,
): Comparison {
  // A bound may take as long as the definition, and most outputs owe none: they have the same bits.
  let allowances: Record<string, ArrayLike<number>> | null = null
  let compared = 0
  let differing = 0
  let worst: Difference | null = null
  for (const [output, numbers] of Object.entries(expected)) {
    const others = actual[output]
    compared += numbers.length
    if (isOfTheKind(others, numbers) && haveSameBits(others, numbers)) continue
    for (let i = 0; i < numbers.length; i++) {
      if (Object.is(others[i], numbers[i])) continue
      differing++
      allowances ??= allowancesOf(name, values, expected, owed)
      const found = differenceOf(output, i, numbers[i], others[i], allowances[output]?.[i] ?? null)
      if (worst === null || isWorse(found, worst)) worst = found
    }
  }
  return { passed: worst?.passed ?? true, compared, differing, worst }
}

const isOfTheKind = (a: Numbers, b: Numbers): boolean =>
  a.constructor === b.constructor && a.length === b.length

function differenceOf(
  output: string,
  index: number,
  expected: number,
  actual: number,
  tolerance: number | null,
): Difference {
  const distance = Math.abs(actual - expected)
  const error = actual === expected ? 0 : Number.isFinite(distance) ? distance : Infinity
  const passed = tolerance !== null && isWithin(tolerance, actual, expected)
  return { output, index, expected, actual, error, tolerance, passed }
}

/**
 * Whether two numbers are as near as a tolerance says. One that is NaN, where a term is, allows NaN for NaN; an infinite
 * one, where a product overflows that may stay unrounded, allows anything.
 */
function isWithin(tolerance: number, actual: number, expected: number): boolean {
  if (Number.isNaN(tolerance)) return Number.isNaN(actual) === Number.isNaN(expected)
  return tolerance === Infinity || Math.abs(actual - expected) <= tolerance
}

/** Whether one difference is further past what is allowed than another, or further off where both are allowed. */
export function isWorse(a: Difference, b: Difference): boolean {
  if (a.passed !== b.passed) return b.passed
  return shareOfAllowed(a) > shareOfAllowed(b)
}

/** The error as a share of what is allowed; the error itself where nothing is. */
export function shareOfAllowed({ error, tolerance }: Difference): number {
  if (tolerance === null || tolerance === 0) return error
  return Number.isNaN(tolerance) || tolerance === Infinity ? 0 : error / tolerance
}

/** How far each number of each output of a call may be off; an output that is not listed owes its bits. */
export function allowancesOf(
  name: KernelName,
  values: Values,
  expected: Readonly<Record<string, Numbers>>,
  owed: Owed,
): Record<string, ArrayLike<number>> {
  if (typeof owed === 'object') return owed.share === 0 ? {} : sharesOf(expected, owed.share)
  const bound = boundOf(name, owed)
  if (bound !== null) return boundedAllowances(name, values, bound)
  const { agreement } = kernels[name]
  if (agreement === 'bitwise') return {}
  return mapOutputs(expected, (numbers) =>
    new Float64Array(numbers).map((x) => agreement.bound * Math.abs(x)),
  )
}

function sharesOf(expected: Readonly<Record<string, Numbers>>, share: number): Record<string, Float64Array> {
  const floats = Object.fromEntries(
    Object.entries(expected).filter(([, numbers]) => numbers instanceof Float32Array),
  )
  return mapOutputs(floats, (numbers) => {
    let largest = 0
    for (const x of numbers) if (Number.isFinite(x)) largest = Math.max(largest, Math.abs(x))
    return new Float64Array(numbers.length).fill(share * largest)
  })
}

function mapOutputs(
  outputs: Readonly<Record<string, Numbers>>,
  allowed: (numbers: Numbers) => Float64Array,
): Record<string, Float64Array> {
  return Object.fromEntries(Object.entries(outputs).map(([output, numbers]) => [output, allowed(numbers)]))
}

/** bound(sizes) * 2^-24 * (magnitude + 2^-102), number by number. */
function boundedAllowances(
  name: KernelName,
  values: Values,
  { bound, magnitude }: Relaxed<readonly never[]>,
): Record<string, Float64Array> {
  const magnitudes =
    typeof magnitude === 'function'
      ? evaluate(name, values, magnitude)
      : evaluate(name, { ...values, ...sizesOfNumbers(name, values, magnitude) })
  const unit = bound(sizesOf(kernels[name], values)) * ROUNDING
  return mapOutputs(magnitudes, (sizes) => new Float64Array(sizes).map((size) => unit * (size + TINY)))
}

/** Those of the arrays that are there, without signs. */
function sizesOfNumbers(name: KernelName, values: Values, arrays: readonly string[]): Values {
  const present = arraysOf(kernels[name]).filter(({ name }) => arrays.includes(name) && values[name])
  return Object.fromEntries(
    present.map(({ name, dtype }) => {
      const numbers = values[name] as Numbers
      const isHalf = dtype === 'bf16' || dtype === 'f16'
      return [name, numbers.map((value) => (isHalf ? value & 0x7fff : Math.abs(value)))]
    }),
  )
}

/**
 * Agreement (law 3): a backend's op gives the numbers of the function in src/ops, as closely as the catalogue row says.
 *
 * The reference function is called directly on typed arrays whose outputs were prefilled with another number than the
 * backend's, so an element that either of them does not write shows.
 */
import fc from 'fast-check'
import type { Backend } from '../../../src/backends/backend.ts'
import { opRow, type OpName } from '../../../src/ops/catalog.ts'
import {
  arrayTypes,
  elementCount,
  type Agreement,
  type Numbers,
  type Op,
  type Sizes,
} from '../../../src/ops/op.ts'
import { ROUNDING, TINY } from '../../../src/ops/relaxed.ts'
import { owesBits } from '../strict.ts'
import { callRaw, sizesOf, type Values } from '../call.ts'
import { Data, type DataKind } from '../data.ts'
import { arraysOf, fitSizes, lettersOf, makeValues, variantsOf } from '../op_case.ts'
import { always, forAll, type BackendLaw } from './law.ts'

/** Twice the lanes of a striped reduction, and one. */
const mostSmall = 33
const kinds: readonly DataKind[] = ['plain', 'steep', 'ties', 'wild', 'broken']

/** The largest value of a letter in the random sweep: past the tiles of a blocked GEMM, small enough to be quick. */
const mostLarge: Readonly<Record<string, number>> = { T: 19, S: 70, C: 90, P: 40, H: 5, K: 70 }

/** Calls the reference function, or another of the same arguments, on copies of the arguments. */
export function evaluate(
  name: OpName,
  values: Values,
  run: Op['reference'] = opRow(name).reference,
): Record<string, Numbers> {
  const row = opRow(name)
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

/** Whether two numbers agree: equal bits (NaN is NaN), or a relative error within the bound. */
function agree(agreement: Agreement, actual: number, expected: number): boolean {
  if (Object.is(actual, expected)) return true
  if (agreement === 'bitwise') return false
  return Math.abs(actual - expected) <= agreement.bound * Math.abs(expected)
}

/** How far each output of an op may be from the definition's on a relaxed backend. */
function tolerancesOf(name: OpName, values: Values): Record<string, Float64Array> {
  const { relaxed } = opRow(name)
  if (relaxed === null) return {}
  const { bound, magnitude } = relaxed
  const magnitudes =
    typeof magnitude === 'function'
      ? evaluate(name, values, magnitude)
      : evaluate(name, { ...values, ...sizesOfNumbers(name, values, magnitude) })
  const unit = bound(sizesOf(opRow(name), values)) * ROUNDING
  return Object.fromEntries(
    Object.entries(magnitudes).map(([output, sizes]) => [
      output,
      Float64Array.from(sizes, (size) => unit * (size + TINY)),
    ]),
  )
}

/** Those of the arrays that are there, without signs. */
function sizesOfNumbers(name: OpName, values: Values, arrays: readonly string[]): Values {
  const present = arraysOf(opRow(name)).filter(({ name }) => arrays.includes(name) && values[name])
  return Object.fromEntries(
    present.map(({ name, dtype }) => {
      const numbers = values[name] as Numbers
      const isHalf = dtype === 'bf16' || dtype === 'f16'
      return [name, numbers.map((value) => (isHalf ? value & 0x7fff : Math.abs(value)))]
    }),
  )
}

/**
 * Whether two numbers are as near as a tolerance says. One that is NaN, where a term is, allows NaN for NaN; an infinite
 * one, where a product overflows that may stay unrounded, allows anything.
 */
function isWithin(tolerance: number, actual: number, expected: number): boolean {
  if (Number.isNaN(tolerance)) return Number.isNaN(actual) === Number.isNaN(expected)
  return tolerance === Infinity || Math.abs(actual - expected) <= tolerance
}

/** @throws Error naming the first number in which the backend's call differs from the reference, by more than it may. */
export function checkAgreement(
  backend: Backend,
  name: OpName,
  values: Values,
  placing: { offset: number; aliased: boolean },
): void {
  const { agreement } = opRow(name)
  const expected = evaluate(name, values)
  const tolerances = owesBits(backend) ? {} : tolerancesOf(name, values)
  const actual = callRaw(backend, name, values, placing)
  for (const [output, numbers] of Object.entries(expected))
    for (let i = 0; i < numbers.length; i++)
      if (
        !agree(agreement, actual[output][i], numbers[i]) &&
        !(output in tolerances && isWithin(tolerances[output][i], actual[output][i], numbers[i]))
      )
        throw new Error(
          `${name}.${output}[${i}]: expected ${numbers[i]}, got ${actual[output][i]} at ${JSON.stringify(sizesOf(opRow(name), values))}`,
        )
}

/** Every size 0..33 of each letter, the others small, at every offset, in every variant. */
function everySmallSize(name: OpName): BackendLaw {
  const row = opRow(name)
  const variants = variantsOf(row)
  return always(`${name}: every size 0..${mostSmall} at every offset`, (backend) => {
    const data = new Data(1)
    for (const letter of lettersOf(row))
      for (let size = 0; size <= mostSmall; size++)
        for (let offset = 0; offset <= 4; offset++)
          for (const { absent, aliased } of variants) {
            const wanted: Record<string, number> = {}
            for (const other of lettersOf(row)) wanted[other] = data.pick([1, 2, 3, 5])
            const sizes = fitSizes(row, { ...wanted, [letter]: size }, letter)
            const values = makeValues(name, sizes, data, data.pick(kinds), absent)
            checkAgreement(backend, name, values, { offset, aliased })
          }
  })
}

/** Random sizes, up to several tiles of a blocked GEMM. */
function randomSizes(name: OpName): BackendLaw {
  const row = opRow(name)
  const variants = variantsOf(row)
  const letters = lettersOf(row).map((letter) => [letter, fc.nat({ max: mostLarge[letter] ?? 200 })])
  const sizes: fc.Arbitrary<Sizes> = fc.record(Object.fromEntries(letters))
  return forAll(
    `${name}: random sizes, lists and data`,
    [sizes, fc.nat(), fc.nat({ max: 4 })],
    (backend, wanted, seed, offset) => {
      const data = new Data(seed)
      const { absent, aliased } = data.pick(variants)
      const values = makeValues(
        name,
        fitSizes(row, shortenLists(row, wanted)),
        data,
        data.pick(kinds),
        absent,
      )
      checkAgreement(backend, name, values, { offset, aliased })
    },
    { runs: 150 },
  )
}

/** Brings the length of each list into range, so that it does not blow up what it chooses from. */
function shortenLists(row: Op, wanted: Sizes): Sizes {
  const sizes: Record<string, number> = { ...wanted }
  for (const { holds, role, shape, below } of arraysOf(row))
    if (holds === 'ascending' && role === 'in') sizes[shape[0]] %= sizes[below as string] + 1
  return sizes
}

/** The agreement laws of one op. */
export function agreementLaws(name: OpName): BackendLaw[] {
  return [everySmallSize(name), randomSizes(name)]
}

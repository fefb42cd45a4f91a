/**
 * What a wrong answer of an op usually means. A guess at the bug is put into the definition, and reported only if that
 * gives the wrong numbers of every failing case that can tell.
 *
 * Guesses are made from the kernel's parameters alone: an optional array that was left out, a list that was shifted by one,
 * ignored or sorted, another value of a scalar, an accumulator that was overwritten, a matrix or a result stored the other
 * way round. Where none fits, what the failing cases have in common may still be told.
 */
import { kernels, type KernelName } from '../ops/catalog.ts'
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import type { ArrayParam, Numbers } from '../ops/op.ts'
import { compareOutputs, evaluate, type Owed } from '../testing/op_agreement.ts'
import { arraysOf, lettersOf, shapeOf } from '../testing/op_case.ts'
import type { Values } from '../testing/op_call.ts'
import type { StoredCase } from './op_files.ts'

/** A case and what a backend answered. */
export interface AnsweredCase extends StoredCase {
  readonly actual: Readonly<Record<string, Numbers>>
  readonly passed: boolean
}

/** A bug that a backend may have: what its numbers would be. */
interface Guess {
  /** Reads on after "as if". */
  readonly words: string
  /** Null where the bug could not show, so that the case speaks against it; `unknown` where what it gives is undefined. */
  readonly predict: (one: StoredCase) => Readonly<Record<string, Numbers>> | null | 'unknown'
}

/** What explains the failing cases of an op, or what they have in common; null if nothing does. */
export function hintOf(op: KernelName, cases: readonly AnsweredCase[], owed: Owed): string | null {
  const failing = cases.filter(({ passed }) => !passed)
  if (failing.length === 0) return null
  const smallestFirst = failing.toSorted((a, b) => sizeOf(a) - sizeOf(b))
  const explains = ({ predict }: Guess): boolean => {
    let tried = 0
    for (const one of smallestFirst) {
      const predicted = predict(one)
      if (predicted === 'unknown') continue
      if (predicted === null) return false
      if (!compareOutputs(op, one.values, predicted, one.actual, owed).passed) return false
      tried++
    }
    return tried > 0
  }
  const found = guessesFor(op).find(explains)
  if (found) return `the numbers are those of the definition as if ${found.words}`
  if (owed === 'row' && kernels[op].relaxed !== null) {
    const areNear = ({ values, expected, actual }: AnsweredCase): boolean =>
      compareOutputs(op, values, expected, actual, 'relaxed').passed
    if (failing.every(areNear)) return 'every error is within what unrounded products allow (--relaxed)'
  }
  return commonOf(op, cases)
}

function sizeOf({ expected }: StoredCase): number {
  return Object.values(expected).reduce((total, { length }) => total + length, 0)
}

/** Every guess a row allows, the likeliest first. */
function guessesFor(op: KernelName): Guess[] {
  const row = kernels[op]
  const arrays = arraysOf(row)
  const inputs = arrays.filter(({ role }) => role === 'in')
  return [
    ...inputs.filter(({ optional, dtype }) => optional && dtype !== 'i32').map((param) => leftOut(op, param)),
    ...inputs.filter(({ dtype }) => dtype === 'i32').flatMap((param) => listGuesses(op, param)),
    ...row.params.flatMap(({ kind, name }) => (kind === 'scalar' ? scalarGuesses(op, name) : [])),
    ...arrays.filter(({ role }) => role === 'add').map((param) => overwritten(op, param)),
    ...inputs
      .filter(({ shape, dtype }) => shape.length === 2 && dtype !== 'i32')
      .map((p) => transposed(op, p)),
    ...arrays.filter(({ role }) => role !== 'in').flatMap((param) => resultGuesses(param)),
  ]
}

/** The definition on other arguments; `change` gives null where there is nothing to change. */
function guess(op: KernelName, words: string, change: (one: StoredCase) => Values | null | 'unknown'): Guess {
  return {
    words,
    predict: (one) => {
      const changed = change(one)
      return changed === null || changed === 'unknown' ? changed : evaluate(op, { ...one.values, ...changed })
    },
  }
}

function leftOut(op: KernelName, { name }: ArrayParam): Guess {
  return guess(op, `there were no ${name}`, ({ values }) => (values[name] === null ? null : { [name]: null }))
}

function listGuesses(op: KernelName, param: ArrayParam): Guess[] {
  const { name, optional, below, anyOrder } = param
  const listOf = ({ values }: StoredCase): Int32Array | null => values[name] as Int32Array | null
  const shifted =
    (by: number) =>
    (one: StoredCase): Values | null | 'unknown' => {
      const limit = below === null ? 0 : one.sizes[below]
      const list = listOf(one)?.map((unit) => (unit === NOT_SCORED ? unit : unit + by))
      if (list === undefined) return null
      // Past the end there is whatever lies there.
      const isInside = list.every((unit) => unit === NOT_SCORED || (unit >= 0 && unit < limit))
      return isInside ? { [name]: list } : 'unknown'
    }
  return [
    guess(op, `every index in ${name} were one higher`, shifted(1)),
    guess(op, `every index in ${name} were one lower`, shifted(-1)),
    ...(optional ? [guess(op, `${name} were not there`, (one) => listOf(one) && { [name]: null })] : []),
    ...(anyOrder
      ? [
          guess(
            op,
            `${name} were sorted`,
            (one) => listOf(one) && { [name]: listOf(one)?.toSorted() ?? null },
          ),
        ]
      : []),
  ]
}

function scalarGuesses(op: KernelName, name: string): Guess[] {
  return [0, 1, 1e-12, 1e-8, 1e-6, 1e-5, 1e-3].map((value) =>
    guess(op, `${name} were ${value}`, () => ({ [name]: value })),
  )
}

function overwritten(op: KernelName, { name }: ArrayParam): Guess {
  return guess(op, `what ${name} held before were zeros`, ({ values }) => {
    const before = values[name] as Numbers | null
    return before && { [name]: before.slice().fill(0) }
  })
}

function transposed(op: KernelName, param: ArrayParam): Guess {
  const { name } = param
  return guess(op, `${name} were stored column by column`, ({ values, sizes }) => {
    const numbers = values[name] as Numbers | null
    return numbers && { [name]: swapped(numbers, shapeOf(param, sizes).toReversed()) }
  })
}

/** Bugs that are seen in the result alone. */
function resultGuesses(param: ArrayParam): Guess[] {
  const { name, shape } = param
  const rest = shape.slice(2)
  return [
    {
      words: `${name} were all zeros`,
      predict: ({ expected }) => mapOne(expected, name, (y) => y.slice().fill(0)),
    },
    ...(shape.length > 1
      ? [
          {
            words: `${name} had the layout [${[shape[1], shape[0], ...rest].join(', ')}]`,
            predict: ({ expected, sizes }: StoredCase) =>
              mapOne(expected, name, (y) => swapped(y, shapeOf(param, sizes))),
          },
        ]
      : []),
  ]
}

function mapOne(
  outputs: Readonly<Record<string, Numbers>>,
  name: string,
  change: (numbers: Numbers) => Numbers,
): Record<string, Numbers> | null {
  return outputs[name] ? { ...outputs, [name]: change(outputs[name]) } : null
}

/** Numbers [A, B, ...] in the order of [B, A, ...]. */
function swapped(numbers: Numbers, [A, B, ...rest]: readonly number[]): Numbers {
  const size = rest.reduce((product, n) => product * n, 1)
  const result = numbers.slice()
  for (let a = 0; a < A; a++)
    for (let b = 0; b < B; b++)
      for (let i = 0; i < size; i++) result[(b * A + a) * size + i] = numbers[(a * B + b) * size + i]
  return result
}

/** What tells the failing cases from those that passed: an array that is there or not, or a size from which they fail. */
function commonOf(op: KernelName, cases: readonly AnsweredCase[]): string | null {
  const telling = cases.filter((one) => sizeOf(one) > 0)
  const failing = telling.filter(({ passed }) => !passed)
  const passing = telling.filter(({ passed }) => passed)
  if (failing.length === 0 || passing.length === 0) return null
  for (const { name } of arraysOf(kernels[op]).filter(({ optional }) => optional))
    for (const isAbsent of [false, true]) {
      const is = ({ values }: AnsweredCase): boolean => (values[name] === null) === isAbsent
      const [with_, without] = isAbsent ? ['without', 'with'] : ['with', 'without']
      if (failing.every(is) && !passing.some(is))
        return `it fails in every case ${with_} ${name} and in none ${without}`
    }
  for (const letter of lettersOf(kernels[op])) {
    const sizes = (of: readonly AnsweredCase[]): number[] => of.map((one) => one.sizes[letter])
    const least = Math.min(...sizes(failing))
    if (Math.max(...sizes(passing)) < least) return `it fails from ${letter} = ${least} on and never below`
  }
  return null
}

/**
 * Laws 1 and 2 at the level of an op: what a list of chosen units does.
 *
 * A catalogue row with a list says which letter the list chooses from, and so which elements of each array belong to
 * units that were not chosen. From that alone, for every such op:
 * - choosing all is passing no list, bit for bit;
 * - choosing some is passing no list with the others zeroed, as numbers: their inputs, where a sum runs over the units,
 *   or their outputs, where each unit has its own; an accumulator keeps what the others had;
 * - nothing of the others is looked at: with NaN in all of their inputs (or what comes nearest to it) the result is
 *   the same, bit for bit. Where chosen units read units of another letter by a list of ids, as heads read key heads,
 *   this is also true of those that none of them reads.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { kernelNames, kernels, type KernelName } from '../../ops/catalog.ts'
import { keyHeadOf } from '../../ops/attention.ts'
import { valueOf, type ArrayParam, type Numbers, type Kernel, type Sizes } from '../../ops/op.ts'
import { call, poison, type Value, type Values } from '../../testing/op_call.ts'
import { sameBits, sameNumbers } from '../compare.ts'
import type { Data } from '../../testing/seeded_data.ts'
import { anyData } from '../drawn_data.ts'
import { arraysOf, fitSizes, lettersOf, makeValues } from '../../testing/op_case.ts'
import { forAll, type BackendLaw } from './law.ts'

/** The list of chosen units, null for all of them. */
function listOf(row: Kernel): ArrayParam | undefined {
  return arraysOf(row).find(({ holds, role, optional }) => holds === 'ascending' && role === 'in' && optional)
}

/** The ops that take a list of chosen units. */
export function choosingOps(): KernelName[] {
  return kernelNames.filter((name) => listOf(kernels[name]) !== undefined)
}

/** Values with the elements of units that are not in the list replaced. */
function replaceOthers<Kind extends Numbers>(
  param: ArrayParam,
  letter: string,
  sizes: Sizes,
  list: Int32Array,
  values: Kind,
  replacement: (i: number) => number,
): Kind {
  const axis = param.shape.indexOf(letter)
  if (axis < 0) return values
  const stride = param.shape.slice(axis + 1).reduce((product, other) => product * valueOf(other, sizes), 1)
  const chosen = new Set(list)
  const kept = (value: number, i: number): number =>
    chosen.has(Math.floor(i / stride) % sizes[letter]) ? value : replacement(i)
  return values.map(kept) as Kind
}

/** A case: the op's arguments, its list apart. */
interface Choice {
  readonly row: Kernel
  readonly letter: string
  readonly sizes: Sizes
  readonly list: Int32Array
  /** Arguments without the list. */
  readonly values: Values
  /** Adds the list, or null for "all". */
  readonly choosing: (list: Int32Array | null) => Values
}

function makeChoice(name: KernelName, wanted: number, data: Data): Choice {
  const row = kernels[name]
  const { name: listName, below, shape } = listOf(row) as ArrayParam
  const letter = below as string
  const wish = Object.fromEntries(lettersOf(row).map((other) => [other, data.whole(other, 0, wanted)]))
  const sizes = fitSizes(row, { ...wish, [shape[0]]: 0 })
  const optional = arraysOf(row).filter(
    (param) => param.optional && param.name !== listName && data.flag(`no ${param.name}`, 0.3),
  )
  const absent = new Set([listName, ...optional.map((param) => param.name)])
  const values = makeValues(name, sizes, data, 'wild', absent)
  const choosing = (list: Int32Array | null): Values => ({
    ...values,
    [listName]: list,
    [shape[0]]: list ? list.length : sizes[letter],
  })
  return { row, letter, sizes, list: data.someOf(listName, sizes[letter]), values, choosing }
}

/** A law for one op over random choices. */
function choiceLaw(
  name: KernelName,
  sentence: string,
  check: (backend: Backend, choice: Choice) => void,
): BackendLaw {
  return forAll(
    `${name}: ${sentence}`,
    { wanted: fc.nat({ max: 40 }), data: anyData },
    (backend, { wanted, data }) => check(backend, makeChoice(name, wanted, data)),
  )
}

function sameResults(
  name: string,
  same: typeof sameBits,
  actual: Record<string, Float32Array>,
  expected: Record<string, Float32Array>,
): void {
  for (const output of Object.keys(expected)) same(`${name}.${output}`, actual[output], expected[output])
}

/** The chosen units, and those of another letter that they read by a list of ids; by letter. */
function readUnits({ row, letter, sizes, list, values }: Choice): Map<string, Int32Array> {
  const units = new Map([[letter, list]])
  for (const { name, holds, shape, below } of arraysOf(row))
    if (holds === 'ids' && shape[0] === letter && below !== null) {
      const ids = values[name] as Int32Array | null
      const read = list.map((unit) => keyHeadOf(ids, unit, sizes[below], sizes[letter]))
      units.set(below, read)
    }
  return units
}

/** Choosing all = no list. */
export function allIsDense(name: KernelName): BackendLaw {
  return choiceLaw(name, 'choosing all = dense, bit for bit', (backend, { letter, sizes, choosing }) => {
    const all = new Int32Array(sizes[letter]).map((_, i) => i)
    sameResults(name, sameBits, call(backend, name, choosing(all)), call(backend, name, choosing(null)))
  })
}

/** Choosing some = dense with the others zeroed. */
export function chosenIsZeroed(name: KernelName): BackendLaw {
  return choiceLaw(name, 'choosing some = dense with the others zeroed, as numbers', (backend, choice) => {
    const { row, letter, sizes, list, values, choosing } = choice
    const outputs = arraysOf(row).filter(({ role }) => role !== 'in')
    const ownOutput = outputs.some(({ shape }) => shape.includes(letter))
    const zeroed: Record<string, Value> = { ...choosing(null) }
    // A sum over the units: each term has a factor in the first array that runs over them.
    const factor = arraysOf(row).find(
      ({ shape, role }) => role === 'in' && shape.includes(letter),
    ) as ArrayParam
    if (!ownOutput) {
      const terms = values[factor.name] as Float32Array
      zeroed[factor.name] = replaceOthers(factor, letter, sizes, list, terms, () => 0)
    }
    const expected = call(backend, name, zeroed)
    for (const param of outputs) {
      const before = values[param.name] as Float32Array | undefined
      const kept = (i: number): number => before?.[i] ?? 0
      expected[param.name] = replaceOthers(param, letter, sizes, list, expected[param.name], kept)
    }
    sameResults(name, sameNumbers, call(backend, name, choosing(list)), expected)
  })
}

/** Nothing of the others is looked at. */
export function othersAreUnseen(name: KernelName): BackendLaw {
  return choiceLaw(name, 'what is not chosen cannot influence anything, NaN included', (backend, choice) => {
    const { row, sizes, list, choosing } = choice
    const poisoned: Record<string, Value> = { ...choosing(list) }
    for (const param of arraysOf(row))
      if (param.role === 'in' && param.dtype !== 'i32' && poisoned[param.name] !== null) {
        const nothing = poison[param.dtype]
        for (const [letter, kept] of readUnits(choice)) {
          const values = poisoned[param.name] as Numbers
          poisoned[param.name] = replaceOthers(param, letter, sizes, kept, values, () => nothing)
        }
      }
    sameResults(name, sameBits, call(backend, name, poisoned), call(backend, name, choosing(list)))
  })
}

/**
 * Cases of any kernel, made from its parameters: sizes that fit together, and arguments of those sizes.
 *
 * A definition says which letters there are, how small each may be (a number, another letter, a sum), how long a list may be
 * and what each array holds; nothing here knows an op by name.
 */
import { kernels, type KernelName } from '../ops/catalog.ts'
import { ANY_SIZE, elementCount, valueOf, type ArrayParam, type Kernel, type Sizes } from '../ops/op.ts'
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import type { Data, DataKind } from './seeded_data.ts'
import type { Value, Values } from './op_call.ts'

/** The size letters of a row, in its order, without those that follow from others. */
export function lettersOf(row: Kernel): string[] {
  return row.params.flatMap((param) => (param.kind === 'size' && !param.quotient ? [param.name] : []))
}

/** The size letters of a row that limit others. */
export function limitsOf(row: Kernel): string[] {
  return row.params.flatMap((param) => (param.kind === 'size' && param.limits ? [param.name] : []))
}

/** The arrays of a row, in its order. */
export function arraysOf(row: Kernel): ArrayParam[] {
  return row.params.filter((param) => param.kind === 'array')
}

/** The shape of an array in a call. */
export function shapeOf(param: ArrayParam, sizes: Sizes): number[] {
  return param.shape.map((letter) => valueOf(letter, sizes))
}

/** `larger` is at least the sum of `smaller`, or `most` where the sum is above that. */
interface Constraint {
  readonly larger: string
  readonly smaller: readonly string[]
  readonly most: number
}

function constraintsOf(row: Kernel): Constraint[] {
  const constraints: Constraint[] = []
  for (const param of row.params)
    if (param.kind === 'size' && typeof param.least === 'string')
      constraints.push({ larger: param.name, smaller: param.least.split(' + '), most: ANY_SIZE })
    else if (param.kind === 'size' && param.neededBy !== null)
      constraints.push({ larger: param.name, smaller: [param.neededBy], most: 1 })
    else if (param.kind === 'array' && param.holds === 'ascending')
      constraints.push({ larger: param.below as string, smaller: param.shape, most: ANY_SIZE })
  return constraints
}

function leastOf(row: Kernel, letter: string): number {
  const param = row.params.find(({ kind, name }) => kind === 'size' && name === letter)
  return param?.kind === 'size' && typeof param.least === 'number' ? param.least : 0
}

/**
 * Sizes that the row allows, as near to `wanted` as they can be: a letter that is too small for another is raised,
 * unless it is `pinned`; then the others are lowered.
 */
export function fitSizes(row: Kernel, wanted: Sizes, pinned: string | null = null): Sizes {
  const sizes: Record<string, number> = {}
  for (const letter of lettersOf(row)) {
    if (wanted[letter] === undefined) throw new RangeError(`${row.name}: expected a size ${letter}, got none`)
    sizes[letter] = Math.max(wanted[letter], leastOf(row, letter))
  }
  const frozen = new Set([pinned])
  const constraints = constraintsOf(row)
  for (let settled = false; !settled;) {
    settled = true
    for (const { larger, smaller, most } of constraints) {
      const needed = Math.min(
        most,
        smaller.reduce((total, letter) => total + sizes[letter], 0),
      )
      if (sizes[larger] >= needed) continue
      settled = false
      if (frozen.has(larger)) lower(sizes, smaller, needed - sizes[larger], frozen)
      else sizes[larger] = needed
    }
  }
  for (const param of row.params)
    if (param.kind === 'size' && param.quotient)
      sizes[param.name] = Math.ceil(sizes[param.quotient.of] / param.quotient.by)
  return sizes
}

/** Takes `excess` from the letters; one that was lowered stays where it is. */
function lower(
  sizes: Record<string, number>,
  letters: readonly string[],
  excess: number,
  frozen: Set<string | null>,
): void {
  for (const letter of letters) {
    const taken = Math.min(excess, sizes[letter])
    sizes[letter] -= taken
    excess -= taken
    if (taken > 0) frozen.add(letter)
  }
}

/** Which optional arrays are absent, and whether outputs share a buffer with an input. */
export interface Variant {
  readonly absent: ReadonlySet<string>
  readonly aliased: boolean
}

/** Every way to call an op: each optional array there or not, each permitted aliasing used or not. */
export function variantsOf(row: Kernel): Variant[] {
  let absences: string[][] = [[]]
  for (const { name, optional } of arraysOf(row))
    if (optional) absences = absences.flatMap((names) => [names, [...names, name]])
  const aliasings = arraysOf(row).some(({ mayAlias }) => mayAlias !== null) ? [false, true] : [false]
  return absences.flatMap((names) => aliasings.map((aliased) => ({ absent: new Set(names), aliased })))
}

/** Arguments for every parameter that is not an output; what is no list is of this kind. */
export function makeValues(
  name: KernelName,
  sizes: Sizes,
  data: Data,
  kind: DataKind = 'plain',
  absent: ReadonlySet<string> = new Set(),
): Values {
  const values: Record<string, Value> = {}
  for (const param of kernels[name].params)
    if (param.kind === 'size') values[param.name] = sizes[param.name]
    else if (param.kind === 'scalar')
      [values[param.name]] = data.numbers(
        param.name,
        1,
        (stream) => param.from + (param.to - param.from) * stream.uniform(),
      )
    else if (absent.has(param.name)) values[param.name] = null
    else if (param.role !== 'out') values[param.name] = makeArray(param, sizes, data, kind)
  return values
}

function makeArray(param: ArrayParam, sizes: Sizes, data: Data, kind: DataKind): Value {
  const { name } = param
  const shape = shapeOf(param, sizes)
  const length = elementCount(param, sizes)
  const limit = param.below === null ? 0 : sizes[param.below]
  if (param.holds === 'ascending') return data.ascending(name, length, limit)
  if (param.holds === 'ids') return data.ids(name, shape, limit)
  if (param.holds === 'labels')
    return data.deal(name, shape, (stream) => labels(stream, length, limit), { blank: 0 })
  if (param.dtype === 'i8') return data.int8s(name, shape, kind)
  if (param.dtype === 'bf16' || param.dtype === 'f16') return data.halves(name, param.dtype, shape, kind)
  if (param.dtype !== 'f32') return data.bytes(name, shape, param.sideBySide, kind)
  let values = data.floats(name, shape, kind)
  if (param.finite) values = values.map((value) => (Number.isFinite(value) ? value : 1))
  // A zero that is kept out of the negative numbers is +0.
  return param.least === null ? values : values.map((value) => Math.abs(value))
}

function labels(stream: Data, length: number, limit: number): Int32Array {
  return stream.ids('labels', length, limit).map((label) => (stream.chance(0.2) ? NOT_SCORED : label))
}

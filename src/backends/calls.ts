/**
 * Converts the arguments of an op into those of a kernel, and back.
 *
 * A caller gives buffers and numbers; a kernel takes the same, the parts of a scaled matrix one after the other, and every
 * size at the end. A size is read off the first array of which it is a dimension:
 *
 * - a shape of one letter is the length of the buffer, whatever its dimensions: elementwise ops take any shape;
 * - the count of a list of chosen units is its length; without a list all units are chosen;
 * - a size that only stands in a product (`U*K`) is the dimension by the other sizes.
 *
 * A size that no array has is passed.
 */
import { kernels, kernelsOf, opNames, type KernelName, type OpName } from '../ops/catalog.ts'
import { isConstant, type ArrayParam, type Dtype, type Kernel } from '../ops/op.ts'
import type { Buffer, BufferPart, Ops, ScaledBuffer, StoredBuffer } from './backend.ts'

/** An argument of an op. */
export type Argument = StoredBuffer | number | null

/** An argument of a kernel. */
export type FlatArgument = Buffer | number | null

/** An argument as a kernel receives it. */
export type KernelArgument<Address> = Address | number | null

/** A kernel: it trusts what it is given. */
export interface KernelFunction<Address> {
  (...args: KernelArgument<Address>[]): void
  /** Does once what a call that is made again and again has in common. */
  readonly prepare?: (...args: KernelArgument<Address>[]) => () => void
}

/** A dimension of a buffer: the product of the sizes at these places, times a number. */
interface Dimension {
  readonly places: readonly number[]
  readonly times: number
}

/** An array of a kernel. */
export interface ArrayForm {
  readonly param: ArrayParam
  /** Which argument of the op it comes from, and which of the kernel it is. */
  readonly from: number
  readonly to: number
  /** Which part of that argument it is, where that has several. */
  readonly part: BufferPart | null
  /** Of each dimension: the places of the sizes whose product it is, and what that is multiplied by. */
  readonly dims: readonly Dimension[]
  /** The place of the limit of its values; -1 if they have none. */
  readonly below: number
}

/** A number that is passed: a scalar, or a size that no array has. */
interface NumberForm {
  readonly from: number
  readonly to: number
  readonly isSize: boolean
}

/** A size that follows from an array. */
interface SizeForm {
  readonly to: number
  /** Which array. */
  readonly array: number
  /** Its dimension; -1 for its length. */
  readonly dim: number
  /** The places of the other sizes in that dimension. */
  readonly divisors: readonly number[]
  /** The place of its value where the array is absent. */
  readonly otherwise: number
}

/** A size that follows from another: ceil(of / by). */
interface QuotientForm {
  readonly to: number
  readonly of: number
  readonly by: number
}

/** The arguments of a kernel as those of its op. */
export interface CallForm {
  readonly kernel: Kernel
  /** Arguments of the op. */
  readonly count: number
  readonly arrays: readonly ArrayForm[]
  readonly numbers: readonly NumberForm[]
  /** In an order in which each needs only sizes before it. */
  readonly sizes: readonly SizeForm[]
  /** After all others. */
  readonly quotients: readonly QuotientForm[]
}

function formOf(kernel: Kernel): CallForm {
  const placeOf = (name: string): number => kernel.params.findIndex((param) => param.name === name)
  const hasParts = new Set(kernel.params.flatMap((param) => (param.kind === 'array' ? [param.partOf] : [])))
  const arrays: ArrayForm[] = []
  let count = 0
  for (const [to, param] of kernel.params.entries()) {
    if (param.kind !== 'array') continue
    const isPart = param.partOf !== null
    arrays.push({
      param,
      from: isPart ? count - 1 : count++,
      to,
      part: isPart ? partNamed(param.name) : hasParts.has(param.name) ? 'values' : null,
      dims: param.dims.map((letters) => ({
        places: letters.filter((letter) => !isConstant(letter)).map(placeOf),
        times: letters.filter(isConstant).reduce((product, one) => product * Number(one), 1),
      })),
      below: param.below === null ? -1 : placeOf(param.below),
    })
  }
  const numbers: NumberForm[] = []
  const sizes: SizeForm[] = []
  const quotients: QuotientForm[] = []
  for (const [to, param] of kernel.params.entries()) {
    const { kind } = param
    const found = kind === 'size' ? sizeForm(arrays, to) : null
    if (kind === 'size' && param.quotient)
      quotients.push({ to, of: placeOf(param.quotient.of), by: param.quotient.by })
    else if (found) sizes.push(found)
    else if (kind !== 'array') numbers.push({ from: count++, to, isSize: kind === 'size' })
  }
  // What is derived from other sizes comes after them.
  sizes.sort((a, b) => Number(isDerived(a)) - Number(isDerived(b)))
  return { kernel, count, arrays, numbers, sizes, quotients }
}

/** The part that a parameter is: the scales of keys are `key_scales`. */
function partNamed(name: string): BufferPart {
  return name.slice(name.lastIndexOf('_') + 1) as BufferPart
}

function isDerived({ divisors, otherwise }: SizeForm): boolean {
  return divisors.length > 0 || otherwise >= 0
}

/** How a size follows from the arrays: from one that is always there and has it as a dimension, if one does. */
function sizeForm(arrays: readonly ArrayForm[], to: number): SizeForm | null {
  const all: SizeForm[] = []
  for (const [array, { dims, param, below }] of arrays.entries())
    for (const [dim, { places, times }] of dims.entries()) {
      if (times !== 1 || !places.includes(to)) continue
      const divisors = places.filter((place) => place !== to)
      const otherwise = param.optional ? below : -1
      all.push({ to, array, dim: dims.length === 1 ? -1 : dim, divisors, otherwise })
    }
  return (
    all.find((form) => !isDerived(form) && !arrays[form.array].param.optional) ?? all.find(isDerived) ?? null
  )
}

const forms = new Map(opNames.map((op) => [op, kernelsOf(op).map(formOf)]))

/** The forms of an op's kernels, by storage. */
export function formsOf(op: OpName): CallForm[] {
  return forms.get(op) as CallForm[]
}

/** Which argument of an op has the storage that chooses its kernel; -1 for an op that has one kernel. */
export function storedArgument(op: OpName): number {
  const [{ arrays }] = formsOf(op)
  return arrays.find(({ param }) => param.isStored)?.from ?? -1
}

/** Fills in the sizes that follow from others. */
export function fillQuotients(quotients: readonly QuotientForm[], flat: unknown[]): void {
  for (const { to, of, by } of quotients) flat[to] = Math.ceil((flat[of] as number) / by)
}

/** The numbers of an array, without scales. */
export function valuesOf(stored: StoredBuffer): Buffer {
  return 'scales' in stored ? stored.values : stored
}

/** A part of an array; undefined where it has no such part. */
export function partOf(stored: ScaledBuffer, part: BufferPart): Buffer {
  return (stored as Readonly<Record<BufferPart, Buffer>>)[part]
}

/** The size that follows from an array. */
export function sizeFrom(
  { dim, divisors, otherwise }: SizeForm,
  buffer: Buffer | null,
  flat: readonly unknown[],
): number {
  if (buffer === null) return flat[otherwise] as number
  const whole = dim < 0 ? buffer.length : buffer.shape[dim]
  return divisors.length === 0 ? whole : quotient(whole, divisors, flat)
}

function quotient(whole: number, divisors: readonly number[], flat: readonly unknown[]): number {
  let others = 1
  for (const place of divisors) others *= flat[place] as number
  return others === 0 ? 0 : whole / others
}

/** A call in order of an op as one of its kernel. */
export function flatCall(
  op: OpName,
  args: readonly Argument[],
): { readonly kernel: KernelName; readonly args: FlatArgument[] } {
  const at = storedArgument(op)
  const storage: Dtype = at < 0 ? 'f32' : valuesOf(args[at] as StoredBuffer).dtype
  const form = formsOf(op).find(({ kernel }) => kernel.storage === storage) as CallForm
  const flat: FlatArgument[] = []
  for (const { from, to, part } of form.arrays)
    flat[to] = part === null ? (args[from] as Buffer | null) : partOf(args[from] as ScaledBuffer, part)
  for (const { from, to } of form.numbers) flat[to] = args[from] as number
  for (const size of form.sizes)
    flat[size.to] = sizeFrom(size, flat[form.arrays[size.array].to] as Buffer | null, flat)
  fillQuotients(form.quotients, flat)
  return { kernel: form.kernel.name as KernelName, args: flat }
}

/** A call of a kernel as one of its op: sizes that follow from arrays are left out. */
export function opCall(
  name: KernelName,
  flat: readonly FlatArgument[],
): { readonly op: OpName; readonly args: Argument[] } {
  const { op, storage } = kernels[name]
  const form = formsOf(op as OpName).find(({ kernel }) => kernel.storage === storage) as CallForm
  const args: Argument[] = []
  for (const { from, to, part } of form.arrays) {
    const buffer = flat[to] as Buffer | null
    args[from] =
      part === null ? buffer : ({ ...(args[from] as object), [part]: buffer } as unknown as ScaledBuffer)
  }
  for (const { from, to } of form.numbers) args[from] = flat[to]
  return { op: op as OpName, args }
}

/** Runs a kernel through its op. */
export function runKernel(ops: Ops, name: KernelName, flat: readonly FlatArgument[]): void {
  const { op, args } = opCall(name, flat)
  ;(ops[op] as (...all: Argument[]) => void)(...args)
}

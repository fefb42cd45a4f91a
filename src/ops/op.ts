/**
 * What a catalogue row is: the complete contract of one op.
 *
 * A kernel is a function that writes to outputs given first, then reads its inputs, then takes scalars and sizes.
 * The row lists those parameters in the order of the signature, with shapes in letters, so that the door of every
 * backend, the laws, the bench and the parity path all read the same table. Adding an op is adding a row.
 *
 * Letters: T tokens, S tokens in the cache, C cache capacity, H heads, K head size, D width, V vocabulary,
 * O outputs, I inputs, R chosen units, U units, N any count.
 */

/** Kinds of numbers a buffer may hold. Half precision (bf16, f16) is held as bit patterns. */
export type Dtype = 'f32' | 'i32' | 'bf16' | 'f16' | 'i8'

/** Numbers of one kind. */
export type Numbers = Float32Array | Int32Array | Uint16Array | Int8Array

interface NumbersConstructor {
  readonly BYTES_PER_ELEMENT: number
  new (length: number): Numbers
  new (memory: ArrayBuffer, start: number, length: number): Numbers
}

/** The typed array of each kind. */
export const arrayTypes: Readonly<Record<Dtype, NumbersConstructor>> = {
  f32: Float32Array,
  i32: Int32Array,
  bf16: Uint16Array,
  f16: Uint16Array,
  i8: Int8Array,
}

/** The value of every size letter in one call. */
export type Sizes = Readonly<Record<string, number>>

/** An array, in the place it has in the signature. */
export interface ArrayParam {
  readonly kind: 'array'
  readonly name: string
  readonly dtype: Dtype
  /** out: every element is written. add: read and added to. in: never written. */
  readonly role: 'out' | 'add' | 'in'
  /** Row-major shape, as letters. */
  readonly shape: readonly string[]
  /** May be null (no bias; all units). */
  readonly optional: boolean
  /**
   * What an i32 array holds. f32 arrays hold any number unless `least` says otherwise, those of half precision any
   * finite one, i8 arrays -127 to 127: weights are finite, and what loads them refuses others.
   */
  readonly holds: 'numbers' | 'ids' | 'labels' | 'ascending'
  /** An ascending list that may be in any other order too, which is then the order of a sum. */
  readonly anyOrder: boolean
  /** For ids, labels and ascending lists: every value is below this letter. */
  readonly below: string | null
  /** For f32 inputs: no value is under this. */
  readonly least: number | null
  /** An output that may be the same buffer as this input. */
  readonly mayAlias: string | null
}

/** The value of a size letter. */
export interface SizeParam {
  readonly kind: 'size'
  readonly name: string
  /** The least value: a number, another letter, or a sum of letters. */
  readonly least: number | string
  readonly most: number
}

/** A number passed by value, as f32. */
export interface ScalarParam {
  readonly kind: 'scalar'
  readonly name: string
  /** The range in which laws try it. */
  readonly from: number
  readonly to: number
}

/** One parameter of a kernel. */
export type Param = ArrayParam | SizeParam | ScalarParam

/** How closely a backend must agree with the reference: equal bits, or a bound on the relative error. */
export type Agreement = 'bitwise' | { readonly bound: number }

/**
 * What a backend owes that need not give the bits of the definition (relaxed.ts):
 * |actual - expected| <= bound(sizes) * 2^-24 * (magnitude + 2^-102).
 */
export interface Relaxed<Args extends readonly unknown[]> {
  readonly bound: (sizes: Sizes) => number
  /**
   * What gives the magnitudes of the outputs: the definition, where these arrays hold the sizes of their numbers, or a
   * function with the arguments of the definition.
   */
  readonly magnitude: readonly string[] | ((...args: Args) => void)
}

/**
 * How an op's gradient is had: run `op` with its parameters bound to these names of the forward op.
 * `x_grad` and `y_grad` stand for the gradients of `x` and `y`; null stands for an absent optional array.
 */
export interface GradientRule {
  readonly of: readonly string[]
  readonly op: string
  readonly bind: Readonly<Record<string, string | null>>
}

/** A catalogue row: `Args` are the arguments of the reference function. */
export interface Op<Args extends readonly unknown[] = readonly never[]> {
  readonly name: string
  /** The formula, in one line. */
  readonly formula: string
  readonly params: readonly Param[]
  readonly reference: (...args: Args) => void
  /** What a strict backend owes. */
  readonly agreement: Agreement
  /** What a backend owes that may leave the product of a multiply-add unrounded; null: the same as a strict one. */
  readonly relaxed: Relaxed<Args> | null
  /** What a backend owes that may also add in an order of its own; null: the same as a strict one. */
  readonly fast: Relaxed<Args> | null
  /** Floating-point operations of one call. */
  readonly flops: (sizes: Sizes) => number
  /** Bytes of memory one call must touch at least. */
  readonly bytes: (sizes: Sizes) => number
  readonly gradients: readonly GradientRule[]
}

type ArrayOptions = Partial<Pick<ArrayParam, 'dtype' | 'optional' | 'least' | 'mayAlias'>>

function array(
  name: string,
  role: ArrayParam['role'],
  shape: string,
  more: Partial<ArrayParam> = {},
): ArrayParam {
  const plain = {
    dtype: 'f32',
    optional: false,
    holds: 'numbers',
    anyOrder: false,
    below: null,
    least: null,
    mayAlias: null,
  } as const
  return { kind: 'array', name, role, shape: shape.split(' '), ...plain, ...more }
}

/** An array every element of which is written; f32 unless it says otherwise. */
export const output = (name: string, shape: string, more?: ArrayOptions): ArrayParam =>
  array(name, 'out', shape, more)

/** An f32 array that is added to. */
export const accumulator = (name: string, shape: string, more?: ArrayOptions): ArrayParam =>
  array(name, 'add', shape, more)

/** An array that is only read; f32 unless it says otherwise. */
export const input = (name: string, shape: string, more?: ArrayOptions): ArrayParam =>
  array(name, 'in', shape, more)

/** An i32 array of values in [0, below), in any order. */
export const ids = (name: string, shape: string, below: string): ArrayParam =>
  array(name, 'in', shape, { dtype: 'i32', holds: 'ids', below })

/** An i32 array of values in [0, below), or -100 for "not scored". */
export const labels = (name: string, shape: string, below: string): ArrayParam =>
  array(name, 'in', shape, { dtype: 'i32', holds: 'labels', below })

/**
 * A list of distinct units in ascending order; null, if it is optional, means all of them, and then its count is ignored.
 */
export const chosen = (name: string, count: string, below: string): ArrayParam =>
  array(name, 'in', count, { dtype: 'i32', holds: 'ascending', below, optional: true })

/** The same for the terms of a sum: distinct units in any order, which is the order they are added in. */
export const chosenTerms = (name: string, count: string, below: string): ArrayParam => ({
  ...chosen(name, count, below),
  anyOrder: true,
})

/** An i32 array that receives an ascending list of distinct units. */
export const chosenOutput = (name: string, count: string, below: string): ArrayParam =>
  array(name, 'out', count, { dtype: 'i32', holds: 'ascending', below })

/** A size letter. */
export const size = (name: string, least: number | string = 0, most = 2 ** 31 - 1): SizeParam => ({
  kind: 'size',
  name,
  least,
  most,
})

/** A number passed by value as f32; laws try it between `from` and `to`. */
export const scalar = (name: string, from: number, to: number): ScalarParam => ({
  kind: 'scalar',
  name,
  from,
  to,
})

interface OpDescription<Args extends readonly unknown[]> {
  name: string
  formula: string
  params: readonly Param[]
  reference: (...args: Args) => void
  flops: (sizes: Sizes) => number
  agreement?: Agreement
  relaxed?: Relaxed<Args>
  fast?: Relaxed<Args>
  bytes?: (sizes: Sizes) => number
  gradients?: readonly GradientRule[]
}

/** Makes a catalogue row: bitwise agreement and "every array once" are what a row owes unless it says otherwise. */
export function defineOp<Args extends readonly unknown[]>(row: OpDescription<Args>): Op<Args> {
  const bytes = (sizes: Sizes): number => {
    let total = 0
    for (const param of row.params)
      if (param.kind === 'array')
        total += elementCount(param, sizes) * arrayTypes[param.dtype].BYTES_PER_ELEMENT
    return total
  }
  return { agreement: 'bitwise', relaxed: null, fast: null, bytes, gradients: [], ...row }
}

/** How many elements an array parameter has at these sizes. */
export function elementCount(param: ArrayParam, sizes: Sizes): number {
  let count = 1
  for (const letter of param.shape) count *= letter === '1' ? 1 : sizes[letter]
  return count
}

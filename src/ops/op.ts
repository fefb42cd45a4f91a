/**
 * What an op is: one contract, and a kernel for each storage it exists for.
 *
 * An op is called with its arrays and scalars in the order of its definition: outputs first, then inputs, then numbers.
 * Sizes follow from the shapes of the arrays; only a size that no array has is passed, at the end.
 *
 * A kernel is the flat form of an op for one storage: a function of arrays, scalars and all sizes. Kernels are what foreign
 * backends implement and parity files record. The kernel of float32 is named after the op; other kernels have the storage after
 * that name: `linear`, `linear_bf16`, `linear_i8`. The scales of an array of whole numbers are the parameter after it.
 *
 * Letters: T tokens, S tokens in the cache, C cache capacity, P position, H heads, G key heads, K head size, D width, V vocabulary,
 * O outputs, I inputs, R chosen units, U units, B blocks, N any count. `H*K` is one dimension of a buffer that kernels see as
 * two; a number stands for itself.
 */

/**
 * The element types of buffers. Half precision (bf16, f16) is held as bit patterns. i4 is held as bytes; the scales of a matrix
 * stand among these bytes or beside them (src/tensor/int4.ts).
 */
export type Dtype = 'f32' | 'i32' | 'bf16' | 'f16' | 'i8' | 'i4'

/** Numbers of one kind. */
export type Numbers = Float32Array | Int32Array | Uint16Array | Int8Array | Uint8Array

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
  i4: Uint8Array,
}

/**
 * In the type of an op: an array in any storage the op has. A caller gives a buffer or, where numbers have scales, all of
 * its parts.
 */
export type Stored = Float32Array | Uint16Array | Int8Array | Uint8Array

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
  /** The dimensions of its buffer: the letters whose product each of them is. */
  readonly dims: readonly (readonly string[])[]
  /** May be null (no bias; all units). */
  readonly optional: boolean
  /**
   * What an i32 array holds. f32 arrays hold any number unless `least` or `finite` says otherwise, those of half precision
   * any finite one, i8 arrays -127 to 127, i4 arrays any bytes whose scales are finite where their row is used: weights are
   * finite, and what loads them refuses others.
   */
  readonly holds: 'numbers' | 'ids' | 'labels' | 'ascending'
  /** An ascending list that may be in any other order too, which is then the order of a sum. */
  readonly anyOrder: boolean
  /** For ids, labels and ascending lists: every value is below this letter. */
  readonly below: string | null
  /** For f32 inputs: no value is under this. */
  readonly least: number | null
  /** For f32 inputs: no value is infinite or NaN. */
  readonly finite: boolean
  /** An output that may be the same buffer as this input. */
  readonly mayAlias: string | null
  /** Rows of blocks side by side in its last dimension, whose scales, then minima, come first, in half precision; else 0. */
  readonly sideBySide: number
  /** Whether its dtype is the storage of the kernel. */
  readonly isStored: boolean
  /** Of scales and the like: the array they belong to. */
  readonly partOf: string | null
}

/** The value of a size letter. */
export interface SizeParam {
  readonly kind: 'size'
  readonly name: string
  /** The least value: a number, another letter, or a sum of letters. */
  readonly least: number | string
  readonly most: number
  /** Another letter, of which this is a limit: where it is no less, it limits nothing. */
  readonly limits: string | null
  /** Another letter: where that is not 0, this is not 0 either. */
  readonly neededBy: string | null
  /** Of a size that follows from another: ceil(of / by). */
  readonly quotient: { readonly of: string; readonly by: number } | null
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

/** An array of an op that has several storages, and its scales where that is int8. */
interface StoredParam extends Omit<ArrayParam, 'dtype'> {
  readonly scales: ArrayParam | null
}

/** Whether a letter of a shape stands for itself. */
export const isConstant = (letter: string): boolean => Number.isInteger(Number(letter))

/** How closely a backend must agree with the reference: equal bits, or a bound on the relative error. */
export type Agreement = 'bitwise' | { readonly bound: number }

/**
 * What a backend owes that need not give the bits of the definition (relaxed.ts):
 * |actual - expected| <= bound(sizes) * 2^-24 * (magnitude + 2^-102).
 */
export interface Relaxed<Args extends readonly unknown[]> {
  /** The factor of the bound, from the sizes of a call. */
  readonly bound: (sizes: Sizes) => number
  /**
   * What gives the magnitudes of the outputs: the definition, where these arrays hold the sizes of their numbers, or a
   * function with the arguments of the definition.
   */
  readonly magnitude: readonly string[] | ((...args: Args) => void)
}

/**
 * How a kernel's gradient is had: run the kernel `op` with its parameters bound to names of the forward one, which are their
 * own unless `bind` has others. `x_grad` and `y_grad` stand for the gradients of `x` and `y`; null stands for an absent optional
 * array.
 */
export interface GradientRule {
  /** The inputs whose gradients the kernel gives. */
  readonly of: readonly string[]
  /** The kernel that gives them. */
  readonly op: string
  /** What its parameters are bound to, where not to the array of their own name. */
  readonly bind?: Readonly<Record<string, string | null>>
}

/** What a rule binds a parameter of its op to. */
export function boundBy({ bind = {} }: GradientRule, param: string): string | null {
  return Object.hasOwn(bind, param) ? bind[param] : param
}

/** One kernel: `Args` are the arguments of the function that defines it. */
export interface Kernel<Args extends readonly unknown[] = readonly never[]> {
  readonly name: string
  /** The name of its op. */
  readonly op: string
  /** What its stored arrays hold; f32 where the op has no others. */
  readonly storage: Dtype
  /** The formula, in one line. */
  readonly formula: string
  /** In the order of the definition. */
  readonly params: readonly Param[]
  /** The definition. */
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
  /** How the gradient of each input is had. */
  readonly gradients: readonly GradientRule[]
}

/** A function that defines what a kernel computes. */
type Definition = (...args: never) => void

/** An op: `Call` are the arguments of a call, with arrays for buffers; `Definitions` define its kernels, by storage. */
export interface Op<
  Call extends readonly unknown[] = readonly never[],
  Definitions extends Partial<Record<Dtype, Definition>> = Partial<Record<Dtype, Definition>>,
> {
  readonly name: string
  /** One for each storage. */
  readonly kernels: { readonly [S in keyof Definitions]: Kernel<DefinitionArguments<Definitions[S]>> }
  /** Never there: it carries the type of a call. */
  readonly call?: (...args: Call) => void
}

/** A definition over float32 or half precision, its stored arrays being of one kind. */
export type InStorage<D extends Definition, Array extends Float32Array | Uint16Array> = (
  ...args: WithArray<Parameters<D>, Array>
) => void

type WithArray<Args extends readonly unknown[], Array> = {
  [I in keyof Args]: Float32Array | Uint16Array extends Args[I] ? Array : Args[I]
}

/** The arguments of a kernel. */
type DefinitionArguments<D> = D extends (...args: infer Args) => void ? Args : never

/** An op that has one kernel: a call takes the arrays of its definition, then these numbers. */
export type PlainOp<D extends Definition, Given extends readonly number[] = []> = Op<
  [...Arrays<Parameters<D>>, ...Given],
  { f32: D }
>

/** The arguments of a definition without the numbers at its end. */
type Arrays<Args extends readonly unknown[]> = Args extends readonly [...infer Head, infer Last]
  ? [Last] extends [number]
    ? Arrays<Head>
    : Args
  : []

type ArrayOptions = Partial<
  Pick<ArrayParam, 'dtype' | 'optional' | 'least' | 'finite' | 'mayAlias' | 'sideBySide'>
>

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
    finite: false,
    mayAlias: null,
    sideBySide: 0,
    isStored: false,
    partOf: null,
  } as const
  const dims = shape.split(' ').map((dim) => dim.split('*'))
  return { kind: 'array', name, role, shape: dims.flat(), dims, ...plain, ...more }
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
export const ids = (name: string, shape: string, below: string, more?: ArrayOptions): ArrayParam =>
  array(name, 'in', shape, { dtype: 'i32', holds: 'ids', below, ...more })

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

/** The greatest value of a size that has no limit: that of an int32. */
export const ANY_SIZE: number = 2 ** 31 - 1

/** A size letter. */
export const size = (name: string, least: number | string = 0, most = ANY_SIZE): SizeParam => ({
  kind: 'size',
  name,
  least,
  most,
  limits: null,
  neededBy: null,
  quotient: null,
})

/** Size letters without bounds, as in `T O I`. */
export const sizes = (letters: string): SizeParam[] => letters.split(' ').map((letter) => size(letter))

/** A size letter that follows from another one: ceil(of / by). */
export const quotient = (name: string, of: string, by: number): SizeParam => ({
  ...size(name),
  quotient: { of, by },
})

/** A size letter, at least 1, that limits another. */
export const limitOf = (name: string, limits: string): SizeParam => ({ ...size(name, 1), limits })

/** A size letter that is 0 only where another is. */
export const sizeNeededBy = (name: string, user: string): SizeParam => ({ ...size(name), neededBy: user })

/** A number passed by value as f32; laws try it between `from` and `to`. */
export const scalar = (name: string, from: number, to: number): ScalarParam => ({
  kind: 'scalar',
  name,
  from,
  to,
})

/** An array in the storage of the kernel, followed by its scales where that is int8 and the op has any. */
export const stored = (param: ArrayParam, scales: ArrayParam | null = null): StoredParam => ({
  ...param,
  scales,
})

/** What is said of one kernel. */
type KernelDescription<Args extends readonly unknown[]> = Pick<
  Kernel<Args>,
  'formula' | 'reference' | 'flops'
> &
  Partial<Pick<Kernel<Args>, 'agreement' | 'relaxed' | 'fast' | 'bytes' | 'gradients'>>

interface OpDescription<Args extends readonly unknown[]> extends KernelDescription<Args> {
  name: string
  params: readonly Param[]
}

/** The arguments of a kernel. */
type ArgumentsOf<K> = K extends Kernel<infer Args> ? Args : never

/** Makes an op that has one kernel: bitwise agreement and "every array once" are what a kernel owes unless it says otherwise. */
export function defineOp<O extends { readonly kernels: { readonly f32: unknown } }>({
  name,
  params,
  ...kernel
}: OpDescription<ArgumentsOf<O['kernels']['f32']>>): O {
  return { name, kernels: { f32: makeKernel(name, 'f32', params, kernel) } } as unknown as O
}

/** What is said of a kernel of an op that has several. */
export interface StorageDescription<Args extends readonly unknown[]> extends KernelDescription<Args> {
  /** The greatest value of a size, where it is not that of the op. */
  readonly most?: Readonly<Record<string, number>>
  /** The stored array and its parts, where they are others than `stored` says: the first has its name. */
  readonly stored?: readonly ArrayParam[]
  /** Sizes that only this kernel has, after those of the op. */
  readonly sizes?: readonly SizeParam[]
}

/** Makes an op that has a kernel for each of these storages; see `defineOp`. */
export function defineStoredOp<O extends { readonly kernels: object }>(
  name: string,
  params: readonly (Param | StoredParam)[],
  storages: {
    readonly [S in keyof O['kernels']]: StorageDescription<ArgumentsOf<O['kernels'][S]>>
  },
): O {
  const kernelOf = (
    storage: Dtype,
    { most = {}, stored: arrays, sizes = [], ...kernel }: StorageDescription<readonly never[]>,
  ): Kernel => {
    const own = params.flatMap((param): Param[] =>
      'scales' in param ? inStorage(param, storage, arrays) : [param],
    )
    const limited = [...own, ...sizes].map((param) =>
      param.kind === 'size' && param.name in most ? { ...param, most: most[param.name] } : param,
    )
    return makeKernel(name, storage, limited, kernel)
  }
  const entries = Object.entries(storages) as [Dtype, StorageDescription<readonly never[]>][]
  const kernels = Object.fromEntries(entries.map(([storage, kernel]) => [storage, kernelOf(storage, kernel)]))
  return { name, kernels } as unknown as O
}

function inStorage(
  { scales, ...param }: StoredParam,
  dtype: Dtype,
  arrays: readonly ArrayParam[] = dtype === 'i8' && scales
    ? [{ ...param, dtype }, scales]
    : [{ ...param, dtype }],
): ArrayParam[] {
  const [numbers, ...parts] = arrays
  return [
    { ...numbers, dtype, role: param.role, isStored: true },
    ...parts.map((part) => ({ ...part, partOf: param.name })),
  ]
}

/** The name of the kernel of an op for a storage. */
export function kernelName(op: string, storage: Dtype): string {
  return storage === 'f32' ? op : `${op}_${storage}`
}

function makeKernel<Args extends readonly unknown[]>(
  op: string,
  storage: Dtype,
  params: readonly Param[],
  kernel: KernelDescription<Args>,
): Kernel<Args> {
  const bytes = (sizes: Sizes): number => {
    let total = 0
    for (const param of params)
      if (param.kind === 'array')
        total += elementCount(param, sizes) * arrayTypes[param.dtype].BYTES_PER_ELEMENT
    return total
  }
  const owed = { agreement: 'bitwise', relaxed: null, fast: null, bytes, gradients: [] } as const
  return { name: kernelName(op, storage), op, storage, params, ...owed, ...kernel }
}

/** How many elements an array parameter has at these sizes. */
export function elementCount(param: ArrayParam, sizes: Sizes): number {
  let count = 1
  for (const letter of param.shape) count *= valueOf(letter, sizes)
  return count
}

/** A letter of a shape as a number. */
export function valueOf(letter: string, sizes: Sizes): number {
  return isConstant(letter) ? Number(letter) : sizes[letter]
}

/** The shape of the buffer of an array parameter at these sizes. */
export function bufferShape({ dims }: ArrayParam, sizes: Sizes): number[] {
  return dims.map((letters) => letters.reduce((product, letter) => product * valueOf(letter, sizes), 1))
}

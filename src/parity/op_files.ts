/**
 * Ops as files: what a backend in any language is given, and what it must answer (spec/parity.md has every name).
 *
 * One safetensors file holds the cases of one op. Of case 3 it has `3.in.x` and so on for every array that is read,
 * accumulators included, and `3.out.y` for every array that is written, as the definition leaves it. Sizes and scalars
 * are text in the metadata: `3.T`, `3.epsilon`. An optional array that is absent has no tensor.
 */
import { openSafetensors } from '../io/safetensors.ts'
import type { Metadata, TensorsToWrite, TensorToWrite } from '../io/safetensors_writer.ts'
import { quote, refusal } from '../io/refusal.ts'
import { kernelNames, kernels, type KernelName } from '../ops/catalog.ts'
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import { arrayTypes, type ArrayParam, type Dtype, type Numbers, type Kernel, type Sizes } from '../ops/op.ts'
import type { RawTensorSource, SourceDtype } from '../tensor/tensor_source.ts'
import type { InputError } from '../tensor/errors.ts'
import { evaluate } from '../testing/op_agreement.ts'
import { arraysOf, shapeOf } from '../testing/op_case.ts'
import { sizesOf, type Value } from '../testing/op_call.ts'
import { casesOf, type OpCase, type SuiteOptions } from './op_suite.ts'

/** The first entries of the metadata of every file. */
export const opFormat = 'shadowllm-op 1'

/** The names of the kinds of numbers in safetensors. */
export const storedAs: Readonly<Record<Dtype, SourceDtype>> = {
  f32: 'F32',
  i32: 'I32',
  bf16: 'BF16',
  f16: 'F16',
  i8: 'I8',
  i4: 'U8',
}

/** A file in the making. */
interface OpFileContent {
  readonly tensors: TensorsToWrite
  readonly metadata: Metadata
}

/** The name of an op's file. */
export function opFileName(op: KernelName): string {
  return `${op}.safetensors`
}

/** The cases of an op, with what its definition makes of them. */
export function opFile(op: KernelName, options: SuiteOptions): OpFileContent {
  const row = kernels[op]
  const tensors = new Map<string, TensorToWrite>()
  const numbers: Record<string, string> = {}
  let cases = 0
  for (const { index, sizes, values } of casesOf(op, options)) {
    cases++
    const add = (place: 'in' | 'out', param: ArrayParam, data: Numbers): void =>
      void tensors.set(`${index}.${place}.${param.name}`, {
        dtype: storedAs[param.dtype],
        shape: shapeOf(param, sizes),
        data: withOneNaN(data),
      })
    const results = evaluate(op, values)
    for (const param of row.params) {
      const value = values[param.name] ?? null
      if (param.kind !== 'array') numbers[`${index}.${param.name}`] = String(value)
      else if (value !== null) add('in', param, value as Numbers)
      if (param.kind === 'array' && results[param.name]) add('out', param, results[param.name])
    }
  }
  const about = { format: opFormat, op, cases: String(cases), seed: String(options.seed) }
  return { tensors, metadata: { ...about, ...numbers } }
}

/** The numbers with every NaN the quiet one without a sign: which one arithmetic gives, engines choose. */
export function withOneNaN(numbers: Numbers): Numbers {
  if (!(numbers instanceof Float32Array)) return numbers
  const patterns = new Uint32Array(numbers.slice().buffer)
  numbers.forEach((value, i) => {
    if (Number.isNaN(value)) patterns[i] = 0x7fc00000
  })
  return new Float32Array(patterns.buffer)
}

/** A case read from a file. */
export interface StoredCase extends Pick<OpCase, 'index' | 'sizes' | 'values'> {
  /** The result of the definition. */
  readonly expected: Readonly<Record<string, Numbers>>
}

/** A file of cases. Close it. */
interface StoredCases {
  readonly count: number
  /** @throws InputError PARITY_OP_FILE for a case that is not one of this op, TENSOR_MISSING */
  read(index: number): Promise<StoredCase>
  close(): Promise<void>
}

const MAX_CASES = 10_000

/** Sizes that no array has, as where another one is 0, are bounded by this: a definition still loops over them. */
const MAX_SIZE = 2 ** 24

/**
 * Opens a file of cases.
 * @throws InputError PARITY_OP_FILE if it is none, or of another op than `op`; what `openSafetensors` throws
 */
export async function openOpFile(path: string, op: KernelName): Promise<StoredCases> {
  const source = await openSafetensors(path)
  try {
    const { metadata } = source
    const said = (key: string): string => metadata.get(key) ?? ''
    if (said('format') !== opFormat) throw refuse(path, `format ${opFormat}`, quote(said('format')))
    if (said('op') !== op) throw refuse(path, `op ${op}`, quote(said('op')))
    const count = wholeNumber(said('cases'))
    if (count === null || count < 1 || count > MAX_CASES)
      throw refuse(path, `1 to ${MAX_CASES} cases`, quote(said('cases')))
    return {
      count,
      read: (index) => readCase(path, source, kernels[op], index),
      close: () => source.close(),
    }
  } catch (error) {
    await source.close()
    throw error
  }
}

/** The ops that a folder's files are named after, in catalogue order. */
export function opsOfFiles(names: readonly string[]): KernelName[] {
  return kernelNames.filter((op) => names.includes(opFileName(op)))
}

async function readCase(
  path: string,
  source: RawTensorSource,
  row: Kernel,
  index: number,
): Promise<StoredCase> {
  const values: Record<string, Value> = {}
  for (const param of row.params) {
    if (param.kind === 'array') continue
    const key = `${index}.${param.name}`
    const text = source.metadata.get(key) ?? ''
    const value = param.kind === 'size' ? wholeNumber(text) : /^-?\d/.test(text) ? Number(text) : NaN
    if (value === null || !Number.isFinite(value))
      throw refuse(`${path} ${key}`, `a ${param.kind}`, quote(text))
    values[param.name] = value
  }
  const sizes = sizesOf(row, values)
  checkSizes(path, row, index, sizes)
  for (const param of arraysOf(row)) {
    const name = `${index}.in.${param.name}`
    if (param.role === 'out') continue
    const isAbsent = param.optional && !source.tensors.has(name)
    values[param.name] = isAbsent ? null : await readNumbers(path, source, name, param, sizes)
    if (!isAbsent) checkIndices(path, name, param, values[param.name] as Numbers, sizes)
  }
  const expected: Record<string, Numbers> = {}
  for (const param of arraysOf(row))
    if (param.role !== 'in' && values[param.name] !== null)
      expected[param.name] = await readNumbers(path, source, `${index}.out.${param.name}`, param, sizes)
  return { index, sizes, values, expected }
}

function checkSizes(path: string, row: Kernel, index: number, sizes: Sizes): void {
  for (const param of row.params) {
    if (param.kind !== 'size') continue
    const { name, least, most, quotient } = param
    const from =
      typeof least === 'number'
        ? least
        : least.split(' + ').reduce((total, letter) => total + sizes[letter], 0)
    const to = Math.min(most, MAX_SIZE)
    if (sizes[name] < from || sizes[name] > to)
      throw refuse(`${path} ${index}.${name}`, `${from} to ${to}`, String(sizes[name]))
    if (quotient && sizes[name] !== Math.ceil(sizes[quotient.of] / quotient.by))
      throw refuse(
        `${path} ${index}.${name}`,
        `${quotient.of} / ${quotient.by}, rounded up`,
        String(sizes[name]),
      )
  }
}

/** An index is below its letter, or -100 where that means "not scored". */
function checkIndices(path: string, name: string, param: ArrayParam, values: Numbers, sizes: Sizes): void {
  if (param.below === null) return
  const limit = sizes[param.below]
  const isLabel = param.holds === 'labels'
  for (const value of values)
    if (!(value >= 0 && value < limit) && !(isLabel && value === NOT_SCORED))
      throw refuse(`${path} ${name}`, `values from 0 to ${limit - 1}`, String(value))
}

/**
 * The numbers of one array of a case, as its kind holds them: bit patterns where that is half precision.
 * @throws InputError PARITY_OP_FILE for another type or shape, TENSOR_MISSING
 */
export async function readNumbers(
  path: string,
  source: RawTensorSource,
  name: string,
  param: ArrayParam,
  sizes: Sizes,
): Promise<Numbers> {
  const shape = shapeOf(param, sizes)
  const found = source.tensors.get(name)
  const words = (dtype: string, of: readonly number[]): string => `${dtype} [${of.join(', ')}]`
  if (!found) throw refusal('TENSOR_MISSING', `${path} ${name}`, words(storedAs[param.dtype], shape), 'none')
  if (found.dtype !== storedAs[param.dtype] || found.shape.join() !== shape.join())
    throw refuse(`${path} ${name}`, words(storedAs[param.dtype], shape), words(found.dtype, found.shape))
  const bytes = await source.readRaw(name)
  const type = arrayTypes[param.dtype]
  return new type(bytes.buffer, bytes.byteOffset, bytes.byteLength / type.BYTES_PER_ELEMENT)
}

function wholeNumber(text: string): number | null {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : NaN
  return value < 2 ** 31 ? value : null
}

function refuse(subject: string, expected: string, got: string): InputError {
  return refusal('PARITY_OP_FILE', subject, expected, got)
}

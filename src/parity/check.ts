/**
 * Compares two parity files: the worst error of every tensor both have, against the bounds of kinds.ts.
 *
 * Any backend, in any language, is validated by writing such a file and passing this. A tensor only one file has is
 * listed. It is an error if the second file has it under a name that no parity file has, for it is misspelt. Two files with
 * nothing in common are refused, because comparing nothing proves nothing.
 */
import { InputError } from '../tensor/errors.ts'
import { expectOption, orNull, rangeOption, type Kind } from '../tensor/option.ts'
import { isKnownName, kindOf, type Measure, type TensorKind } from './kinds.ts'

/** A tensor of a parity file. */
export interface ParityTensor {
  /** The sizes of its axes. */
  readonly shape: readonly number[]
  /** Its elements in row-major order. */
  readonly values: ArrayLike<number>
}

/** A file of them, by name. */
export type ParityTensors = ReadonlyMap<string, ParityTensor>

/** The result of one tensor. */
export interface TensorComparison {
  readonly name: string
  readonly kind: TensorKind['kind']
  readonly shape: readonly number[]
  readonly passed: boolean
  readonly tolerance: number
  readonly measure: Measure
  /** The largest |a - b|. */
  readonly worstAbsolute: number
  /** The largest |a - b| divided by the tensor's largest value (by the value itself where the measure is relative). */
  readonly worstRelative: number
  /** Where the error that counts is largest, and what both files have there; null if every element is equal. */
  readonly place: { readonly index: readonly number[]; readonly a: number; readonly b: number } | null
  /** Why there are no numbers to compare, or null. */
  readonly mismatch: string | null
}

/** The result of two files. */
export interface ParityReport {
  readonly passed: boolean
  /** Tensors in both files, in the order of the first. */
  readonly tensors: readonly TensorComparison[]
  readonly onlyInA: readonly string[]
  readonly onlyInB: readonly string[]
  /** Those of the second file alone whose name no parity file has. */
  readonly unknown: readonly string[]
  /** The failed comparison furthest past its bound, or null. */
  readonly worst: TensorComparison | null
}

const tensorsOption: Kind = {
  words: 'a Map of tensors, as of readParityFile',
  holds: (value) => value instanceof Map,
}

/**
 * Compares two runs of the same model on the same cases, tensor by tensor, each within its bound: this engine's (`exportParity`) and, say,
 * that of PyTorch (`readParityFile`). What only one has is listed and not judged.
 * @param tolerance if given, the one bound for every tensor but the inputs, relative to its largest value; 0 asks for equality
 * @param a tensors of one file
 * @param b tensors of the other, by the same names
 * @throws InputError PARITY_NOTHING if no output is in both; UsageError OPTION_TYPE for what is no tensors or bound
 */
export function checkParity(
  a: ParityTensors,
  b: ParityTensors,
  tolerance: number | null = null,
): ParityReport {
  for (const [name, tensors] of Object.entries({ a, b })) expectOption(name, tensors, tensorsOption)
  expectOption('tolerance', tolerance, orNull(rangeOption('OPTION_TYPE', 0)))
  const padding = paddingOf(a, b)
  const tensors: TensorComparison[] = []
  for (const [name, left] of a) {
    const right = b.get(name)
    if (right) tensors.push(compareTensor(name, left, right, boundOf(name, tolerance), padding))
  }
  if (!tensors.some(({ kind }) => kind !== 'inputs'))
    throw new InputError('PARITY_NOTHING', 'parity check: expected outputs that both files have, got none')
  const failed = tensors.filter(({ passed }) => !passed)
  const onlyInB = [...b.keys()].filter((name) => !a.has(name))
  const unknown = onlyInB.filter((name) => !isKnownName(name))
  return {
    passed: failed.length === 0 && unknown.length === 0,
    tensors,
    onlyInA: [...a.keys()].filter((name) => !b.has(name)),
    onlyInB,
    unknown,
    worst: failed.toSorted((x, y) => excess(y) - excess(x))[0] ?? null,
  }
}

/** A failed comparison in words: where it is furthest off, and what both files have there. */
export function describeWorst({ name, mismatch, place }: TensorComparison): string {
  if (mismatch !== null || place === null) return `${name}: ${mismatch}`
  return `${name} at [${place.index.join(', ')}]: ${place.a} and ${place.b}`
}

function boundOf(name: string, tolerance: number | null): TensorKind {
  const kind = kindOf(name)
  return tolerance === null || kind.kind === 'inputs' ? kind : { ...kind, tolerance, measure: 'largest' }
}

/** How far past its bound a failed comparison is; wrong shapes come first. */
function excess({ mismatch, measure, tolerance, worstAbsolute, worstRelative }: TensorComparison): number {
  if (mismatch !== null) return Infinity
  return (measure === 'absolute' ? worstAbsolute : worstRelative) / Math.max(tolerance, 1e-12)
}

/** Which positions either file calls padding. */
interface Padding {
  readonly shape: readonly number[] // [B, T]
  readonly isPadding: Uint8Array // [B, T]
}

function paddingOf(a: ParityTensors, b: ParityTensors): Padding | null {
  const masks = [a.get('attention_mask'), b.get('attention_mask')].filter((mask) => mask !== undefined)
  if (masks.length === 0) return null
  const { shape, values } = masks[0]
  const isPadding = Uint8Array.from(values, (_, i) => Number(masks.some((mask) => mask.values[i] === 0)))
  return { shape, isPadding }
}

function compareTensor(
  name: string,
  a: ParityTensor,
  b: ParityTensor,
  bound: TensorKind,
  padding: Padding | null,
): TensorComparison {
  const base = { name, kind: bound.kind, shape: a.shape, tolerance: bound.tolerance, measure: bound.measure }
  if (a.shape.join() !== b.shape.join()) {
    const mismatch = `shapes differ: [${a.shape.join(', ')}] and [${b.shape.join(', ')}]`
    return { ...base, passed: false, worstAbsolute: Infinity, worstRelative: Infinity, place: null, mismatch }
  }
  const skip = rowsToSkip(a.shape, bound, padding)
  const largest = largestValue(a, b, skip)
  let worstAbsolute = 0
  let worstRelative = 0
  let worstIndex = -1
  for (let i = 0; i < a.values.length; i++) {
    if (skip(i)) continue
    const absolute = difference(a.values[i], b.values[i])
    if (absolute === 0) continue
    const own = Math.max(Math.abs(a.values[i]), Math.abs(b.values[i]))
    const relative =
      absolute === Infinity ? Infinity : absolute / (bound.measure === 'relative' ? own : largest)
    const counts = bound.measure === 'absolute' ? absolute > worstAbsolute : relative > worstRelative
    if (counts || worstIndex < 0) worstIndex = i
    worstAbsolute = Math.max(worstAbsolute, absolute)
    worstRelative = Math.max(worstRelative, relative)
  }
  const error = bound.measure === 'absolute' ? worstAbsolute : worstRelative
  const place =
    worstIndex < 0
      ? null
      : { index: indexOf(worstIndex, a.shape), a: a.values[worstIndex], b: b.values[worstIndex] }
  return { ...base, passed: error <= bound.tolerance, worstAbsolute, worstRelative, place, mismatch: null }
}

/** |a - b|, where NaN equals NaN, an infinity equals itself, and nothing else is near either. */
function difference(a: number, b: number): number {
  if (a === b || (Number.isNaN(a) && Number.isNaN(b))) return 0
  const distance = Math.abs(a - b)
  return Number.isFinite(distance) ? distance : Infinity
}

function largestValue(a: ParityTensor, b: ParityTensor, skip: (i: number) => boolean): number {
  let largest = 0
  for (const { values } of [a, b])
    for (let i = 0; i < values.length; i++)
      if (!skip(i) && Number.isFinite(values[i])) largest = Math.max(largest, Math.abs(values[i]))
  return largest
}

/**
 * Which elements belong to padded positions. An nll is scored by the position before it, so it counts only where that
 * one is real too.
 */
function rowsToSkip(
  shape: readonly number[],
  bound: TensorKind,
  padding: Padding | null,
): (i: number) => boolean {
  const { rows, kind } = bound
  if (!rows || !padding || shape.length <= rows.token) return () => false
  const [B, T] = padding.shape
  if (shape[rows.batch] !== B || shape[rows.token] !== T) return () => false
  const strideOf = (axis: number): number => shape.slice(axis + 1).reduce((product, n) => product * n, 1)
  const batchStride = strideOf(rows.batch)
  const tokenStride = strideOf(rows.token)
  return (i) => {
    const t = Math.floor(i / tokenStride) % T
    const row = (Math.floor(i / batchStride) % B) * T + t
    return padding.isPadding[row] === 1 || (kind === 'nll' && t > 0 && padding.isPadding[row - 1] === 1)
  }
}

/** The index of a number along each axis, from its place in row-major order. */
export function indexOf(flat: number, shape: readonly number[]): number[] {
  const index: number[] = []
  for (let axis = shape.length - 1, rest = flat; axis >= 0; axis--) {
    index.unshift(rest % shape[axis])
    rest = Math.floor(rest / shape[axis])
  }
  return index
}

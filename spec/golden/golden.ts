/**
 * What every golden chapter shares: where the files are, a plain reader of safetensors that is not the one under test,
 * and the comparison in the words of fixtures/golden/README.md.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'

/** Folder of the fixtures. */
export const fixtures: string = fileURLToPath(new URL('../../fixtures/', import.meta.url))

/** Models of OPT; the second has post-norm blocks and an embedding of its own width. */
export const optVariants = ['preln', 'postln_proj'] as const
/** Families that differ from Llama in little. */
const newerVariants = [
  'qwen3',
  'smollm3',
  'olmo2',
  'phi3',
  'mistral_window',
  'qwen2_window',
  'gemma3',
  'gemma3_linear',
  'gemma2',
] as const
/**
 * Models of the Llama family: heads in groups, each head for itself, scaled rotations, Mistral's name, and rectified gates; and of
 * the newer ones.
 */
export const llamaVariants = [
  'llama_gqa',
  'llama_mha',
  'llama3_rope',
  'mistral',
  'llama_relu',
  ...newerVariants,
] as const

/** All models. */
export const variants = [...optVariants, ...llamaVariants] as const
export type OptVariant = (typeof optVariants)[number]
export type LlamaVariant = (typeof llamaVariants)[number]
export type Variant = (typeof variants)[number]

/** Whether a variant is of the Llama family. */
export function isLlama(variant: Variant): variant is LlamaVariant {
  return llamaVariants.some((one) => one === variant)
}

/** A file of a variant. */
export function pathOf(variant: Variant, file: string): string {
  return `${fixtures}${folderOf(variant)}/${variant}/${file}`
}

function folderOf(variant: Variant): string {
  if (newerVariants.some((one) => one === variant)) return 'golden-families'
  return isLlama(variant) ? 'golden-llama' : 'golden'
}

/** The GGUF file of a variant. */
export function ggufOf(variant: LlamaVariant, type = 'F32'): string {
  const folder = folderOf(variant)
  return `${fixtures}${folder}/gguf/${folder === 'golden-llama' ? 'models/' : ''}${variant}.${type}.gguf`
}

/** The cases each variant has. */
export const casesOf: Readonly<Record<Variant, readonly string[]>> = {
  preln: ['single', 'batch', 'rightpad', 'leftpad', 'continuation'],
  postln_proj: ['single', 'leftpad', 'continuation'],
  llama_gqa: ['single', 'batch', 'rightpad', 'leftpad', 'continuation'],
  llama_mha: ['single', 'rightpad', 'leftpad', 'continuation'],
  llama3_rope: ['single', 'rightpad', 'leftpad', 'continuation'],
  mistral: ['single', 'rightpad', 'leftpad', 'continuation'],
  llama_relu: ['single', 'rightpad', 'leftpad', 'continuation'],
  qwen3: ['single', 'batch', 'leftpad', 'continuation'],
  smollm3: ['single', 'leftpad', 'continuation'],
  olmo2: ['single', 'leftpad', 'continuation'],
  phi3: ['single', 'leftpad', 'continuation'],
  mistral_window: ['single', 'batch', 'rightpad', 'leftpad', 'continuation'],
  qwen2_window: ['single', 'leftpad', 'continuation'],
  gemma3: ['single', 'leftpad', 'continuation'],
  gemma3_linear: ['single', 'leftpad', 'continuation'],
  gemma2: ['single', 'batch', 'leftpad', 'continuation'],
}

/** Tolerances of the README.md of each folder for a float32 port. */
export const tolerance = { logits: 2e-4, loss: 1e-5, gradient: 1e-4 } as const

/** An expected tensor, in float64. */
export interface Expected {
  readonly shape: readonly number[]
  readonly values: Float64Array
}

export type Case = ReadonlyMap<string, Expected>

const SIZES: Readonly<Record<string, number>> = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8 }

/** Every tensor of a safetensors file, widened to float64. */
export function readTensors(path: string): Map<string, Expected> {
  const bytes = readFileSync(path)
  const headerLength = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerLength)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >
  const tensors = new Map<string, Expected>()
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    if (name === '__metadata__') continue
    const start = 8 + headerLength + data_offsets[0]
    const length = (data_offsets[1] - data_offsets[0]) / SIZES[dtype]
    const read = (i: number): number => {
      const at = start + i * SIZES[dtype]
      if (dtype === 'F64') return bytes.readDoubleLE(at)
      if (dtype === 'F32') return bytes.readFloatLE(at)
      if (dtype === 'I64') return Number(bytes.readBigInt64LE(at))
      throw new Error(`${name}: expected F64, F32 or I64, got ${dtype}`)
    }
    tensors.set(name, { shape, values: Float64Array.from({ length }, (_, i) => read(i)) })
  }
  return tensors
}

/** One case of one variant. */
export function readCase(variant: Variant, name: string): Case {
  return readTensors(pathOf(variant, `cases/${name}.safetensors`))
}

/** A tensor of a case, which must be there. */
export function get(tensors: Case, name: string): Expected {
  const tensor = tensors.get(name)
  if (!tensor) throw new Error(`${name}: expected in the golden file, got nothing`)
  return tensor
}

/** Ids, labels and masks as the model takes them. */
export function getIds(tensors: Case, name: string): Int32Array {
  return Int32Array.from(get(tensors, name).values)
}

/** A mask as the model takes it. */
export function getFloats(tensors: Case, name: string): Float32Array {
  return Float32Array.from(get(tensors, name).values)
}

/** A flat table [L, U] as rows. */
export function rowsIn(table: ArrayLike<number>, units: number): Float32Array[] {
  const flat = Float32Array.from(table)
  return Array.from({ length: flat.length / units }, (_, l) => flat.slice(l * units, (l + 1) * units))
}

/** The largest |actual - expected|; NaN anywhere gives NaN. Both must have the same, non-zero length. */
export function worstError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length)
  expect(actual.length).toBeGreaterThan(0)
  let worst = 0
  for (let i = 0; i < actual.length; i++) {
    const error = Math.abs(actual[i] - expected[i])
    if (!(error <= worst)) worst = error
  }
  return worst
}

/** Absolute agreement. */
export function expectNear(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: number,
  name: string,
): void {
  expect(worstError(actual, expected), `${name}: largest error`).toBeLessThanOrEqual(bound)
}

/** The largest absolute value. */
export function largestValue(values: ArrayLike<number>): number {
  let largest = 0
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]))
  return largest
}

/** Agreement in units of the expected tensor's largest value, which must not be 0. */
export function expectNearRelative(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: number,
  name: string,
): void {
  const largest = largestValue(expected)
  expect(largest, `${name}: largest expected value`).toBeGreaterThan(0)
  expectNear(actual, expected, bound * largest, name)
}

/**
 * Parity files: the safetensors that carry cases in and results out (export.ts names every tensor).
 */
import { openSafetensors } from '../io/safetensors.ts'
import { InputError } from '../tensor/errors.ts'
import { decodeFloats, decodeIntegers } from '../tensor/dtypes.ts'
import { closing, type RawTensorSource } from '../tensor/tensor_source.ts'
import type { ParityTensor, ParityTensors } from './check.ts'

/** The inputs of the reference. */
export interface ParityCases {
  readonly B: number
  readonly T: number
  readonly inputIds: Int32Array // [B, T]
  readonly attentionMask: Int32Array // [B, T], one run of ones per row
  /** -100 is not scored; position t is scored by the logits of t - 1. Null: nothing is, and there are no gradients. */
  readonly labels: Int32Array | null // [B, T]
  readonly headMask: ParityTensor | null // [L, H]
  readonly ffnMask: ParityTensor | null // [L, F]
}

/**
 * Reads every tensor of a parity file, F64 in full precision, for `checkParity`.
 * @param path of a safetensors file
 * @throws InputError what `openSafetensors` throws
 */
export async function readParityFile(path: string): Promise<ParityTensors> {
  return closing(openSafetensors(path), async (source) => {
    const tensors = new Map<string, ParityTensor>()
    for (const [name, { shape }] of source.tensors)
      tensors.set(name, { shape, values: await readValues(source, name) })
    return tensors
  })
}

async function readValues(source: RawTensorSource, name: string): Promise<ArrayLike<number>> {
  const dtype = source.tensors.get(name)?.dtype ?? 'F32'
  const bytes = await source.readRaw(name)
  if (dtype === 'F64') return new Float64Array(bytes.buffer)
  return dtype.includes('F') ? decodeFloats(dtype, bytes, name) : decodeIntegers(dtype, bytes, name)
}

/**
 * Reads the cases that two implementations of a model are compared on, for `exportParity`. `attention_mask` may be absent (nothing is padding), as may labels and masks.
 * @param path of a safetensors file with `input_ids` [B, T]
 * @throws InputError PARITY_CASES if input_ids is missing, a shape differs from its, a number is not whole, or a label
 *   stands at padding or at a first token, which nothing scores
 */
export async function readParityCases(path: string): Promise<ParityCases> {
  const tensors = await readParityFile(path)
  const ids = tensors.get('input_ids')
  if (ids?.shape.length !== 2 || ids.values.length === 0)
    throw new InputError(
      'PARITY_CASES',
      `${path}: expected input_ids [B, T], got ${ids ? `[${ids.shape.join(', ')}]` : 'none'}`,
    )
  const [B, T] = ids.shape
  const table = (name: string): Int32Array | null => readTable(path, tensors, name, B, T)
  const attentionMask = table('attention_mask') ?? new Int32Array(B * T).fill(1)
  const labels = table('labels')
  if (labels) checkLabels(path, labels, attentionMask, T)
  return {
    B,
    T,
    inputIds: whole(path, 'input_ids', ids),
    attentionMask,
    labels,
    headMask: tensors.get('head_mask') ?? null,
    ffnMask: tensors.get('ffn_mask') ?? null,
  }
}

function readTable(
  path: string,
  tensors: ParityTensors,
  name: string,
  B: number,
  T: number,
): Int32Array | null {
  const tensor = tensors.get(name)
  if (!tensor) return null
  if (tensor.shape.join() === `${B},${T}`) return whole(path, name, tensor)
  throw new InputError(
    'PARITY_CASES',
    `${path} ${name}: expected [${B}, ${T}], got [${tensor.shape.join(', ')}]`,
  )
}

/** Floats are accepted where they are whole numbers: some libraries have no other numbers. */
function whole(path: string, name: string, { values }: ParityTensor): Int32Array {
  const integers = Int32Array.from(values)
  const at = integers.findIndex((value, i) => value !== values[i])
  if (at < 0) return integers
  throw new InputError(
    'PARITY_CASES',
    `${path} ${name}: expected whole numbers of 32 bits, got ${values[at]}`,
  )
}

function checkLabels(path: string, labels: Int32Array, mask: Int32Array, T: number): void {
  for (let i = 0; i < labels.length; i++) {
    const scorable = mask[i] === 1 && (i % T === 0 || mask[i - 1] === 1)
    if (labels[i] !== -100 && !scorable)
      throw new InputError(
        'PARITY_CASES',
        `${path} labels[${Math.floor(i / T)}, ${i % T}]: expected -100 at padding and at the token after it, got ${labels[i]}`,
      )
  }
}

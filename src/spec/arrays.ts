/**
 * Arrays with shapes, and the operations of `src/ops` on them. Sizes follow from the shapes; a result is a new array.
 *
 * Nothing is computed here. The formula of an operation and the order of its additions stand in its file in `src/ops`.
 *
 * Letters: T tokens, I inputs, O outputs, D width, H heads, K head size, U units, V vocabulary.
 */
import ndarray, { type NdArray } from 'ndarray'
import { add as addOp } from '../ops/add.ts'
import { attention as attentionOp, attention_backward } from '../ops/attention.ts'
import { attention_i8 } from '../ops/attention_i8.ts'
import { cache_append } from '../ops/cache_append.ts'
import { cache_append_i8 } from '../ops/cache_append_i8.ts'
import { cross_entropy_backward, NOT_SCORED } from '../ops/cross_entropy.ts'
import { embedding as embeddingOp, embedding_i8 } from '../ops/embedding.ts'
import { layer_norm, layer_norm_backward } from '../ops/layer_norm.ts'
import { linear as linearOp } from '../ops/linear.ts'
import { linear_i8 } from '../ops/linear_i8.ts'
import { linear_input_major } from '../ops/linear_input_major.ts'
import { linear_input_major_i8 } from '../ops/linear_input_major_i8.ts'
import { mask_units } from '../ops/mask_units.ts'
import { relu as reluOp, relu_backward } from '../ops/relu.ts'
import { narrowToBf16, narrowToF16, quantizeRows, widenBf16, widenF16 } from '../tensor/dtypes.ts'

/** Row-major float32 numbers and their shape. */
export type Tensor = NdArray<Float32Array>

/** A tensor of zeros. */
export function zeros(...shape: number[]): Tensor {
  return ndarray(new Float32Array(shape.reduce((size, length) => size * length, 1)), shape)
}

/** A tensor of these numbers, which are not copied. */
export function tensor(data: Float32Array, ...shape: number[]): Tensor {
  return ndarray(data, shape)
}

/** One row of a matrix [T, D]: [1, D]. */
export function row(x: Tensor, t: number): Tensor {
  const D = x.shape[1]
  return ndarray(x.data.slice(t * D, (t + 1) * D), [1, D])
}

// ---- Stored matrices --------------------------------------------------------------------------------------------

/**
 * A weight matrix in one of four storages. bf16 and f16 are widened to float32 before use, which is exact. int8 numbers have
 * one scale per row; operations on them also round activations to int16 (`src/ops/quantized_steps.ts`).
 */
export type Matrix = { readonly rows: number; readonly columns: number } & (
  | { readonly storage: 'f32'; readonly numbers: Float32Array }
  | { readonly storage: 'bf16' | 'f16'; readonly numbers: Uint16Array }
  | { readonly storage: 'int8'; readonly numbers: Int8Array; readonly scales: Float32Array }
)
export type Storage = Matrix['storage']

/** Rounds a matrix [rows, columns] to a storage. */
export function store(x: Tensor, storage: Storage): Matrix {
  const [rows, columns] = x.shape
  if (storage === 'f32') return { storage, rows, columns, numbers: x.data }
  if (storage === 'bf16') return { storage, rows, columns, numbers: narrowToBf16(x.data) }
  if (storage === 'f16') return { storage, rows, columns, numbers: narrowToF16(x.data) }
  const { values, scales } = quantizeRows(x.data, rows, columns)
  return { storage, rows, columns, numbers: values, scales }
}

function widen(matrix: Exclude<Matrix, { storage: 'int8' }>): Float32Array {
  if (matrix.storage === 'f32') return matrix.numbers
  return matrix.storage === 'bf16' ? widenBf16(matrix.numbers) : widenF16(matrix.numbers)
}

// ---- Operations -------------------------------------------------------------------------------------------------

/** y = x weightᵀ + bias. The matrix has one row per output: [O, I]. x: [T, I]; bias: [O]; y: [T, O]. */
export function linear(x: Tensor, weight: Matrix, bias: Tensor | null = null): Tensor {
  const [T, I] = x.shape
  const { rows: O } = weight
  const y = zeros(T, O)
  const b = bias?.data ?? null
  if (weight.storage === 'int8') linear_i8(y.data, x.data, weight.numbers, weight.scales, b, null, T, O, I, O)
  else linearOp(y.data, x.data, widen(weight), b, null, T, O, I, O)
  return y
}

/** y = x weight + bias. The matrix has one row per input: [I, O]. x: [T, I]; bias: [O]; y: [T, O]. */
export function linearInputMajor(x: Tensor, weight: Matrix, bias: Tensor | null = null): Tensor {
  const [T, I] = x.shape
  const { columns: O } = weight
  const y = zeros(T, O)
  const b = bias?.data ?? null
  if (weight.storage === 'int8')
    linear_input_major_i8(y.data, x.data, weight.numbers, weight.scales, b, null, T, O, I, I)
  else linear_input_major(y.data, x.data, widen(weight), b, null, T, O, I, I)
  return y
}

/** The rows of a table [V, D] that these ids [T] name: [T, D]. */
export function embedding(table: Matrix, ids: Int32Array): Tensor {
  const { rows: V, columns: D } = table
  const T = ids.length
  const y = zeros(T, D)
  if (table.storage === 'int8') embedding_i8(y.data, table.numbers, table.scales, ids, T, V, D)
  else embeddingOp(y.data, widen(table), ids, T, V, D)
  return y
}

/** The weight and the bias of a normalisation. */
export interface Norm {
  readonly weight: Tensor // [D]
  readonly bias: Tensor // [D]
}

/** The constant under the root of layer_norm, as in every OPT. */
const EPSILON = 1e-5

/** Each row of x [T, D] to mean 0 and variance 1, then times the weight plus the bias. */
export function layerNorm(x: Tensor, { weight, bias }: Norm): Tensor {
  const [T, D] = x.shape
  const y = zeros(T, D)
  layer_norm(y.data, x.data, weight.data, bias.data, EPSILON, T, D)
  return y
}

/** How the key-value cache stores its rows. int8 rows have a scale each. */
export type CacheStorage = 'f32' | 'int8'

/** Causal attention of H heads, softmax(q kᵀ / √K) v. query, key, value and the result: [T, H K]. */
export function attention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  H: number,
  cache: CacheStorage = 'f32',
): Tensor {
  const [T, D] = query.shape
  const K = D / H
  const y = zeros(T, D)
  const sizes = [null, K ** -0.5, T, T, T, H, K, H] as const
  if (cache === 'f32') attentionOp(y.data, query.data, headMajor(key, H), headMajor(value, H), ...sizes)
  else {
    const [k, v] = [quantizedRows(key, H), quantizedRows(value, H)]
    attention_i8(y.data, query.data, k.numbers, k.scales, v.numbers, v.scales, ...sizes)
  }
  return y
}

/** [T, H K] to [H, T, K], the order of the cache. */
function headMajor(x: Tensor, H: number): Float32Array {
  const [T, D] = x.shape
  const y = new Float32Array(T * D)
  cache_append(y, x.data, null, 0, T, T, H, D / H, H)
  return y
}

/** The same in int8, with a scale for each head and token. */
function quantizedRows(x: Tensor, H: number): { numbers: Int8Array; scales: Float32Array } {
  const [T, D] = x.shape
  const y = { numbers: new Int8Array(T * D), scales: new Float32Array(H * T) }
  cache_append_i8(y.numbers, y.scales, x.data, null, 0, T, T, H, D / H, H)
  return y
}

/** Factors of U units: the same for all tokens, or [T] of them; null is all ones. */
export type Factors = Float32Array | readonly Float32Array[] | null

/** Each unit's numbers times its factor. x: [T, U K] */
export function maskUnits(x: Tensor, factors: Factors): Tensor {
  if (factors === null) return x
  const [T, width] = x.shape
  const y = zeros(T, width)
  for (let t = 0; t < T; t++) {
    const own = factors instanceof Float32Array ? factors : factors[t]
    const [from, to] = [t * width, (t + 1) * width]
    mask_units(y.data.subarray(from, to), x.data.subarray(from, to), own, 1, own.length, width / own.length)
  }
  return y
}

/** max(x, 0). */
export function relu(x: Tensor): Tensor {
  const y = zeros(...x.shape)
  reluOp(y.data, x.data, x.size)
  return y
}

/** a + b, of equal shapes. */
export function add(a: Tensor, b: Tensor): Tensor {
  const y = zeros(...a.shape)
  addOp(y.data, a.data, b.data, a.size)
  return y
}

// ---- Gradients --------------------------------------------------------------------------------------------------
// Each takes the gradient of its operation's result. The gradient of `linear` in x is `linearInputMajor` with the same
// matrix, and the reverse; that of `maskUnits` is `maskUnits`.

/** Of the mean negative log-likelihood in the logits [T, V]. labels [T]: what follows each token; -100 is not scored. */
export function lossBackward(logits: Tensor, labels: Int32Array): Tensor {
  const [T, V] = logits.shape
  const scored = labels.filter((label) => label !== NOT_SCORED).length
  const grad = zeros(T, V)
  cross_entropy_backward(grad.data, new Float32Array(T).fill(1 / scored), logits.data, labels, T, V)
  return grad
}

export function layerNormBackward(yGrad: Tensor, x: Tensor, { weight }: Norm): Tensor {
  const [T, D] = x.shape
  const grad = zeros(T, D)
  layer_norm_backward(grad.data, null, null, yGrad.data, x.data, weight.data, EPSILON, T, D)
  return grad
}

export function reluBackward(yGrad: Tensor, x: Tensor): Tensor {
  const grad = zeros(...x.shape)
  relu_backward(grad.data, yGrad.data, x.data, x.size)
  return grad
}

export function attentionBackward(yGrad: Tensor, query: Tensor, key: Tensor, value: Tensor, H: number) {
  const [T, D] = query.shape
  const grads = { query: zeros(T, D), key: zeros(T, D), value: zeros(T, D) }
  const outputs = [grads.query.data, grads.key.data, grads.value.data] as const
  const inputs = [yGrad.data, query.data, headMajor(key, H), headMajor(value, H)] as const
  attention_backward(...outputs, ...inputs, (D / H) ** -0.5, T, T, H, D / H)
  return grads
}

/**
 * Arrays with shapes, and the operations of `src/ops` on them. Sizes follow from the shapes; a result is a new array.
 *
 * Nothing is computed here. The formula of an operation and the order of its additions stand in its file in `src/ops`.
 *
 * Letters: T tokens, I inputs, O outputs, D width, H heads, G key heads, K head size, U units, V vocabulary.
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
import { linear_i4 } from '../ops/linear_i4.ts'
import { linear_i8 } from '../ops/linear_i8.ts'
import { linear_input_major } from '../ops/linear_input_major.ts'
import { linear_input_major_i4 } from '../ops/linear_input_major_i4.ts'
import { linear_input_major_i8 } from '../ops/linear_input_major_i8.ts'
import { mask_units } from '../ops/mask_units.ts'
import { relu as reluOp, relu_backward } from '../ops/relu.ts'
import { rms_norm, rms_norm_backward } from '../ops/rms_norm.ts'
import { rotary, rotary_backward } from '../ops/rotary.ts'
import { silu_gate, silu_gate_backward } from '../ops/silu_gate.ts'
import { transpose } from '../ops/transpose.ts'
import {
  dequantizeRows,
  narrowToBf16,
  narrowToF16,
  quantizeRows,
  widenBf16,
  widenF16,
} from '../tensor/dtypes.ts'
import { BLOCK, blocksOf, dequantizeBlocks, interleaveRows, quantizeBlocks } from '../tensor/int4.ts'
import { TILE, turnBlocks } from '../tensor/int4.ts'

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

/** A new tensor that an operation writes. */
function result(shape: number[], write: (y: Float32Array) => void): Tensor {
  const y = zeros(...shape)
  write(y.data)
  return y
}

// ---- Stored matrices --------------------------------------------------------------------------------------------

/**
 * A matrix that may also be a table of rows. bf16 and f16 are widened to float32 before use, which is exact. int8 numbers have
 * one scale per row; products with them also round activations to int16 (`src/ops/quantized_steps.ts`).
 */
export type Table = { readonly rows: number; readonly columns: number } & (
  | { readonly storage: 'f32'; readonly numbers: Float32Array }
  | { readonly storage: 'bf16' | 'f16'; readonly numbers: Uint16Array }
  | { readonly storage: 'int8'; readonly numbers: Int8Array; readonly scales: Float32Array }
)

/**
 * A weight matrix in any storage. int4 is blocks of 32 inputs of an output (`src/tensor/int4.ts`), whichever way the matrix
 * lies: [O, ⌈I / 32⌉, 5]. Products with it also round activations, to int8 (`src/ops/int8_blocks.ts`).
 */
export type Matrix =
  | Table
  | {
      readonly storage: 'int4'
      readonly rows: number
      readonly columns: number
      readonly blocks: Uint32Array
    }
export type Storage = Matrix['storage']

/** Rounds a matrix [rows, columns] to a storage. */
export function store(x: Tensor, storage: Table['storage']): Table {
  const [rows, columns] = x.shape
  if (storage === 'f32') return { storage, rows, columns, numbers: x.data }
  if (storage === 'bf16') return { storage, rows, columns, numbers: narrowToBf16(x.data) }
  if (storage === 'f16') return { storage, rows, columns, numbers: narrowToF16(x.data) }
  const { values, scales } = quantizeRows(x.data, rows, columns)
  return { storage, rows, columns, numbers: values, scales }
}

/** Rounds weights [O, I] to a storage, as a matrix that has one row per output, or is turned and has one per input. */
export function storeWeight(x: Tensor, storage: Storage, isTurned: boolean): Matrix {
  const [O, I] = x.shape
  const [rows, columns] = isTurned ? [I, O] : [O, I]
  if (storage === 'int4') return { storage, rows, columns, blocks: quantizeBlocks(x.data, O, I) }
  return store(isTurned ? result([I, O], (y) => transpose(y, x.data, O, I)) : x, storage)
}

/**
 * The numbers that a matrix stands for: [rows, columns].
 * @param isTurned whether it has one row per input
 */
export function widen(matrix: Matrix, isTurned: boolean): Tensor {
  const { rows, columns } = matrix
  switch (matrix.storage) {
    case 'f32':
      return tensor(matrix.numbers, rows, columns)
    case 'bf16':
      return tensor(widenBf16(matrix.numbers), rows, columns)
    case 'f16':
      return tensor(widenF16(matrix.numbers), rows, columns)
    case 'int8': {
      const { numbers: values, scales } = matrix
      return tensor(dequantizeRows({ rows, columns, values, scales }), rows, columns)
    }
    case 'int4': {
      const [O, I] = isTurned ? [columns, rows] : [rows, columns]
      const x = dequantizeBlocks(matrix.blocks, O, I)
      return isTurned ? result([I, O], (y) => transpose(y, x, O, I)) : tensor(x, O, I)
    }
  }
}

// ---- Operations -------------------------------------------------------------------------------------------------

/** y = x weightᵀ + bias. The matrix has one row per output: [O, I]. x: [T, I]; bias: [O]; y: [T, O]. */
export function linear(x: Tensor, weight: Matrix, bias: Tensor | null = null): Tensor {
  const [[T, I], O] = [x.shape, weight.rows]
  const rest = [bias?.data ?? null, null, T, O, I, O] as const
  return result([T, O], (y) => {
    if (weight.storage === 'int4') {
      const B = blocksOf(I)
      linear_i4(y, x.data, interleaveRows(weight.blocks, O, B), ...rest, Math.ceil(O / 4), B)
    } else if (weight.storage === 'int8') linear_i8(y, x.data, weight.numbers, weight.scales, ...rest)
    else linearOp(y, x.data, weight.numbers, ...rest, weight.storage)
  })
}

/** y = x weight + bias. The matrix has one row per input: [I, O]. x: [T, I]; bias: [O]; y: [T, O]. */
export function linearInputMajor(x: Tensor, weight: Matrix, bias: Tensor | null = null): Tensor {
  const [[T, I], O] = [x.shape, weight.columns]
  const rest = [bias?.data ?? null, null, T, O, I, I] as const
  return result([T, O], (y) => {
    if (weight.storage === 'int4') {
      const { values, scales } = turnBlocks(weight.blocks, O, I)
      const blocks = Int32Array.from({ length: I }, (_, i) => Math.floor(i / BLOCK))
      const sizes = [Math.ceil(O / TILE), I, blocksOf(I)] as const
      linear_input_major_i4(y, x.data, values, scales, blocks, ...rest, ...sizes)
    } else if (weight.storage === 'int8')
      linear_input_major_i8(y, x.data, weight.numbers, weight.scales, ...rest)
    else linear_input_major(y, x.data, weight.numbers, ...rest, weight.storage)
  })
}

/** The rows of a table [V, D] that these ids [T] name: [T, D]. */
export function embedding(table: Table, ids: Int32Array): Tensor {
  const [T, V, D] = [ids.length, table.rows, table.columns]
  return result([T, D], (y) => {
    if (table.storage === 'int8') embedding_i8(y, table.numbers, table.scales, ids, T, V, D)
    else embeddingOp(y, table.numbers, ids, T, V, D, table.storage)
  })
}

/** The weight and the bias of a normalisation: [D] each. */
export type Norm = Readonly<Record<'weight' | 'bias', Tensor>>

/** The constant under the root of layer_norm, as in every OPT. */
const EPSILON = 1e-5

/** Each row of x [T, D] to mean 0 and variance 1, then times the weight plus the bias. */
export function layerNorm(x: Tensor, { weight, bias }: Norm): Tensor {
  const [T, D] = x.shape
  return result([T, D], (y) => layer_norm(y, x.data, weight.data, bias.data, EPSILON, T, D))
}

/** Each row of x [T, D] to a mean square of 1, then times the weight [D]. */
export function rmsNorm(x: Tensor, weight: Tensor, epsilon: number): Tensor {
  const [T, D] = x.shape
  return result([T, D], (y) => rms_norm(y, x.data, weight.data, epsilon, T, D))
}

/** Each head's pairs of numbers turned by the angles of a table [T, K]. x: [T, H K] */
export function rotate(x: Tensor, table: Tensor): Tensor {
  const [[T, width], K] = [x.shape, table.shape[1]]
  return result([T, width], (y) => rotary(y, x.data, table.data, T, width / K, K))
}

/** How the key-value cache stores its rows. int8 rows have a scale each. */
export type CacheStorage = 'f32' | 'int8'

/**
 * Causal attention of H heads, softmax(q kᵀ / √K) v. Head h reads key head ⌊h G / H⌋ of G.
 * q and the result: [T, H K]; k, v: [T, G K].
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, H: number, cache: CacheStorage = 'f32'): Tensor {
  const [T, width] = q.shape
  const K = width / H
  const G = k.shape[1] / K
  const sizes = [null, null, K ** -0.5, T, T, T, H, G, K, H] as const
  return result([T, width], (y) => {
    if (cache === 'f32') return attentionOp(y, q.data, headMajor(k, K), headMajor(v, K), ...sizes)
    attention_i8(y, q.data, ...quantizedHeadMajor(k, K), ...quantizedHeadMajor(v, K), ...sizes)
  })
}

/** [T, G K] to [G, T, K], the order of the cache. */
function headMajor(x: Tensor, K: number): Float32Array {
  const [T, width] = x.shape
  const G = width / K
  return result([G, T, K], (y) => cache_append(y, x.data, null, 0, T, T, G, K, G)).data
}

/** The same in int8, and a scale for each key head and token [G, T]. */
function quantizedHeadMajor(x: Tensor, K: number): readonly [numbers: Int8Array, scales: Float32Array] {
  const [T, width] = x.shape
  const G = width / K
  const [numbers, scales] = [new Int8Array(T * width), new Float32Array(G * T)]
  cache_append_i8(numbers, scales, x.data, null, 0, T, T, G, K, G)
  return [numbers, scales]
}

/** Factors of U units: the same for all tokens, or [T] of them; null is all ones. */
export type Factors = Float32Array | readonly Float32Array[] | null

/** Each unit's numbers times its factor. x: [T, U K] */
export function maskUnits(x: Tensor, factors: Factors): Tensor {
  if (factors === null) return x
  const [T, width] = x.shape
  return result([T, width], (y) => {
    for (let t = 0; t < T; t++) {
      const own = factors instanceof Float32Array ? factors : factors[t]
      const [to, from] = [y, x.data].map((all) => all.subarray(t * width, (t + 1) * width))
      mask_units(to, from, own, 1, own.length, width / own.length)
    }
  })
}

/** max(x, 0). */
export function relu(x: Tensor): Tensor {
  return result(x.shape, (y) => reluOp(y, x.data, x.size))
}

/** silu(gate) ⊙ up, of equal shapes; silu(z) = z / (1 + e⁻ᶻ). */
export function siluGate(gate: Tensor, up: Tensor): Tensor {
  return result(gate.shape, (y) => silu_gate(y, gate.data, up.data, gate.size))
}

/** a + b, of equal shapes. */
export function add(a: Tensor, b: Tensor): Tensor {
  return result(a.shape, (y) => addOp(y, a.data, b.data, a.size))
}

// ---- Gradients --------------------------------------------------------------------------------------------------
// Each takes the gradient of its operation's result. The gradient of `linear` in x is `linearInputMajor` with the same
// matrix, and the reverse, unless that is int8 or int4; that of `maskUnits` is `maskUnits`.

/** Of the mean negative log-likelihood in the logits [T, V]. labels [T]: what follows each token; -100 is not scored. */
export function lossBackward(logits: Tensor, labels: Int32Array): Tensor {
  const [T, V] = logits.shape
  const share = 1 / labels.filter((label) => label !== NOT_SCORED).length
  const each = new Float32Array(T).fill(share)
  return result([T, V], (grad) => cross_entropy_backward(grad, each, logits.data, labels, T, V))
}

/** Of layerNorm in x. */
export function layerNormBackward(yGrad: Tensor, x: Tensor, { weight }: Norm): Tensor {
  const [T, D] = x.shape
  return result([T, D], (grad) =>
    layer_norm_backward(grad, null, null, yGrad.data, x.data, weight.data, EPSILON, T, D),
  )
}

/** Of relu in x. */
export function reluBackward(yGrad: Tensor, x: Tensor): Tensor {
  return result(x.shape, (grad) => relu_backward(grad, yGrad.data, x.data, x.size))
}

/** Of rmsNorm in x. */
export function rmsNormBackward(yGrad: Tensor, x: Tensor, weight: Tensor, epsilon: number): Tensor {
  const [T, D] = x.shape
  return result([T, D], (grad) =>
    rms_norm_backward(grad, null, yGrad.data, x.data, weight.data, epsilon, T, D),
  )
}

/** Of rotate in x. */
export function rotateBackward(yGrad: Tensor, table: Tensor): Tensor {
  const [[T, width], K] = [yGrad.shape, table.shape[1]]
  return result([T, width], (grad) => rotary_backward(grad, yGrad.data, table.data, T, width / K, K))
}

/** Of siluGate in the gate and in what it lets through. */
export function siluGateBackward(yGrad: Tensor, gate: Tensor, up: Tensor): Tensor[] {
  const grads = [zeros(...gate.shape), zeros(...gate.shape)]
  silu_gate_backward(grads[0].data, grads[1].data, yGrad.data, gate.data, up.data, gate.size)
  return grads
}

/** Of attention in q, k and v. */
export function attentionBackward(yGrad: Tensor, q: Tensor, k: Tensor, v: Tensor, H: number): Tensor[] {
  const [T, width] = q.shape
  const K = width / H
  const grads = [q, k, v].map(({ shape }) => zeros(...shape))
  const [qGrad, kGrad, vGrad] = grads.map(({ data }) => data)
  const inputs = [yGrad.data, q.data, headMajor(k, K), headMajor(v, K)] as const
  attention_backward(qGrad, kGrad, vGrad, ...inputs, K ** -0.5, T, T, H, k.shape[1] / K, K)
  return grads
}

/**
 * Attention pooling of a prompt into one row: single-head self-attention over its tokens, then the mean over them.
 * ShadowLLM's code calls it the full sequence variant. Attention is not causal.
 *
 *   q, v = x Wᵀ + b, k = x Wᵀ                [T, D] each; a bias of k would shift a whole row of scores, without effect
 *   w = softmax(q kᵀ / sqrt(D))              [T, T], row by row
 *   y = mean over tokens of w v = m v        [D], with m[s] the mean over t of w[t, s]
 *
 * The mean commutes with the product, so the context of single tokens is not computed. There is no output projection,
 * because the network that follows begins with one. Forward and backward consist of catalogue ops.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import type { BufferScope } from '../backends/buffer_scope.ts'
import type { Random } from '../tensor/random.ts'
import { recordOf } from '../tensor/records.ts'

/** The names of the parameters. */
export const poolParameterNames = [
  'queryWeight',
  'queryBias',
  'keyWeight',
  'valueWeight',
  'valueBias',
] as const
export type PoolParameterName = (typeof poolParameterNames)[number]

/** The values of a pool, on the host: weights [D, D], a row per output, and biases [D]. */
export type PoolValues = Readonly<Record<PoolParameterName, Float32Array>>

/** Numbers uniform in ±1/sqrt(inputs), the initial values of PyTorch's Linear. */
export function uniformValues(length: number, inputs: number, random: Random): Float32Array {
  const bound = 1 / Math.sqrt(inputs)
  return Float32Array.from({ length }, () => (2 * random.uniform() - 1) * bound)
}

/** The shape of each parameter. */
export function poolParameterShapes(width: number): Record<PoolParameterName, readonly number[]> {
  return recordOf(poolParameterNames, (name) => (name.endsWith('Weight') ? [width, width] : [width]))
}

/**
 * The initial values. Queries and keys are initialised as PyTorch's Linear, values as the identity, so that the pool starts as
 * a slightly uneven mean over the prompt.
 */
export function startingPool(width: number, random: Random): PoolValues {
  const valueWeight = new Float32Array(width * width)
  for (let d = 0; d < width; d++) valueWeight[d * width + d] = 1
  return {
    queryWeight: uniformValues(width * width, width, random),
    queryBias: new Float32Array(width),
    keyWeight: uniformValues(width * width, width, random),
    valueWeight,
    valueBias: new Float32Array(width),
  }
}

const passNames = ['query', 'key', 'value', 'scores', 'weights', 'meanWeights'] as const
type PassName = (typeof passNames)[number]

/** The buffers of a pass over T tokens, or the gradients with respect to them. */
export type PoolPass = Readonly<Record<PassName, Buffer>>

/** A pool inside a backend. Its buffers live as long as the scope it is made in. */
export class AttentionPool {
  readonly width: number // D
  readonly backend: Backend
  readonly #parameters: Readonly<Record<PoolParameterName, Buffer>>
  /** 1 / sqrt(D), by which queries are scaled. */
  readonly #scale: Buffer // [1]

  /** @param parameters contain those of the pool */
  constructor(scope: BufferScope, width: number, parameters: ReadonlyMap<string, Buffer>) {
    this.width = width
    this.backend = scope.backend
    this.#parameters = recordOf(poolParameterNames, (name) => parameters.get(name) as Buffer)
    this.#scale = scope.upload(Float32Array.of(1 / Math.sqrt(width)))
  }

  /** Buffers for a pass over T tokens, or for its backward pass, alive as long as `scope`. */
  makePass(scope: BufferScope, T: number): PoolPass {
    const shapes = this.#shapes(T)
    return recordOf(passNames, (name) => scope.allocate('f32', shapes[name]))
  }

  /** A pass over T tokens, in the buffers of a longer one. */
  passIn(pass: PoolPass, T: number): PoolPass {
    const shapes = this.#shapes(T)
    return recordOf(passNames, (name) => this.backend.view(pass[name], shapes[name]))
  }

  #shapes(T: number): Record<PassName, readonly number[]> {
    const D = this.width
    return {
      query: [T, D],
      key: [T, D],
      value: [T, D],
      scores: [T, T],
      weights: [T, T],
      meanWeights: [1, T],
    }
  }

  /** Pools x: [T, D], into y: [1, D]. `share` holds T times 1 / T: [1, T]. */
  forward(pass: PoolPass, y: Buffer, x: Buffer, share: Buffer): void {
    const { queryWeight, queryBias, keyWeight, valueWeight, valueBias } = this.#parameters
    const { ops } = this.backend
    ops.linear(pass.query, x, queryWeight, queryBias, null)
    ops.mask_units(pass.query, pass.query, this.#scale)
    ops.linear(pass.key, x, keyWeight, null, null)
    ops.linear(pass.value, x, valueWeight, valueBias, null)
    ops.linear(pass.scores, pass.query, pass.key, null, null)
    ops.softmax(pass.weights, pass.scores)
    ops.linear_input_major(pass.meanWeights, share, pass.weights, null, null)
    ops.linear_input_major(y, pass.meanWeights, pass.value, null, null)
  }

  /** Adds the gradients of every parameter onto `grads`, given yGrad: [1, D], after `forward` on the same x. */
  backward(
    grads: Readonly<Record<PoolParameterName, Buffer>>,
    pass: PoolPass,
    inner: PoolPass,
    yGrad: Buffer,
    x: Buffer,
    share: Buffer,
  ): void {
    const { backend } = this
    const { ops } = backend
    for (const buffer of [inner.value, inner.weights, inner.key]) backend.zero(buffer)
    // y = m v
    ops.linear_backward_weight(inner.value, pass.meanWeights, yGrad, null)
    ops.linear(inner.meanWeights, yGrad, pass.value, null, null)
    // m = the mean of w's rows; w = softmax(scores)
    ops.linear_backward_weight(inner.weights, share, inner.meanWeights, null)
    ops.softmax_backward(inner.scores, inner.weights, pass.weights)
    // scores = (scale q) kᵀ; pass.query holds the scaled queries
    ops.linear_backward_weight(inner.key, inner.scores, pass.query, null)
    ops.linear_input_major(inner.query, inner.scores, pass.key, null, null)
    ops.mask_units(inner.query, inner.query, this.#scale)
    const weights = [
      [grads.queryWeight, inner.query],
      [grads.keyWeight, inner.key],
      [grads.valueWeight, inner.value],
    ]
    for (const [sum, grad] of weights) ops.linear_backward_weight(sum, grad, x, null)
    ops.linear_backward_bias(grads.queryBias, inner.query, null)
    ops.linear_backward_bias(grads.valueBias, inner.value, null)
  }
}

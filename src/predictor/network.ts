/**
 * The networks of predictors: two linear layers, after an attention pool if the network reads the whole prompt.
 *
 *   relu        y = relu(x W1ᵀ + b1) W2ᵀ + b2     as in ShadowLLM's code
 *   low-rank    y = (x W1ᵀ) W2ᵀ                   as in DejaVu's code (arXiv 2310.17157): one matrix of rank R
 *
 * Both matrices are stored one row per output, as PyTorch stores them. Forward and backward run through the ops of a
 * backend, so the bits are the same on every backend.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { valuesOf } from '../backends/calls.ts'
import { firstRows } from '../backends/rows.ts'
import { matrixOf, type Matrix, type Storage } from '../engine/storages/index.ts'
import { UsageError } from '../tensor/errors.ts'
import type { Random } from '../tensor/random.ts'
import { recordOf } from '../tensor/records.ts'
import {
  AttentionPool,
  poolParameterNames,
  poolParameterShapes,
  startingPool,
  uniformValues,
  type PoolParameterName,
  type PoolValues,
} from './attention_pool.ts'

export const networkForms = ['relu', 'low-rank'] as const

/** The sizes of a network. */
export interface NetworkShape {
  readonly inputs: number // I
  readonly hidden: number // R
  readonly outputs: number // O
  /** Default: relu. */
  readonly form?: (typeof networkForms)[number]
  /** Whether it takes a prompt [T, I] and pools it by attention, rather than a row [I]. */
  readonly pools?: boolean
}

/** The names of the parameters of the two layers, in the order of the forward pass. */
export const layerParameterNames = ['inputWeight', 'inputBias', 'outputWeight', 'outputBias'] as const
type LayerParameterName = (typeof layerParameterNames)[number]

export type NetworkParameterName = LayerParameterName | PoolParameterName

/** The values of a network, on the host, with those of its pool if it has one; a bias that it lacks is empty. */
export interface NetworkValues extends Partial<PoolValues> {
  readonly inputWeight: Float32Array // [R, I]
  readonly inputBias: Float32Array // [R]
  readonly outputWeight: Float32Array // [O, R]
  readonly outputBias: Float32Array // [O]
}

/** The biases of a network without biases. */
export const noBiases: Pick<NetworkValues, 'inputBias' | 'outputBias'> = {
  inputBias: new Float32Array(0),
  outputBias: new Float32Array(0),
}

/** The parameters a network of this shape has, each with its shape, in a fixed order. */
export function networkParameterShapes(
  shape: NetworkShape,
): ReadonlyMap<NetworkParameterName, readonly number[]> {
  const { inputs, hidden, outputs } = shape
  const ofLayers = {
    inputWeight: [hidden, inputs],
    inputBias: [hidden],
    outputWeight: [outputs, hidden],
    outputBias: [outputs],
  }
  const shapes = new Map<NetworkParameterName, readonly number[]>()
  for (const name of layerParameterNames)
    if (!isLowRank(shape) || name.endsWith('Weight')) shapes.set(name, ofLayers[name])
  const ofPool = poolParameterShapes(inputs)
  if (shape.pools) for (const name of poolParameterNames) shapes.set(name, ofPool[name])
  return shapes
}

/** How many numbers each parameter of the two layers has; 0 for a bias that the network lacks. */
export function layerParameterLengths(shape: NetworkShape): Record<LayerParameterName, number> {
  const shapes = networkParameterShapes(shape)
  return recordOf(layerParameterNames, (name) => lengthOf(shapes.get(name) ?? [0]))
}

/**
 * The initial values: uniform in ±1/sqrt(inputs of the layer), as PyTorch's Linear, except that the output layer starts with
 * zero weights and a given bias. So an untrained network predicts that bias, the mean of its targets, and training learns
 * how an example differs from the mean. Those of a pool are of `startingPool`.
 */
export function startingNetwork(
  shape: NetworkShape,
  outputBias: Float32Array,
  random: Random,
): NetworkValues {
  const lengths = layerParameterLengths(shape)
  const values = {
    inputWeight: uniformValues(lengths.inputWeight, shape.inputs, random),
    inputBias: uniformValues(lengths.inputBias, shape.inputs, random),
    outputWeight: new Float32Array(lengths.outputWeight),
    outputBias: isLowRank(shape) ? noBiases.outputBias : outputBias,
  }
  return shape.pools ? { ...values, ...startingPool(shape.inputs, random) } : values
}

/** The buffers of a forward pass that the backward pass reads. */
export interface NetworkPass {
  readonly hiddenPre: Buffer // [T, R]
  readonly hiddenAct: Buffer // [T, R], the same buffer if there is no activation function
  readonly y: Buffer // [T, O]
}

/** A network inside a backend. Its buffers live as long as the scope it is made in. */
export class Network {
  readonly shape: NetworkShape
  readonly backend: Backend
  /** In the order of `networkParameterShapes`. */
  readonly parameters: ReadonlyMap<NetworkParameterName, Buffer>
  readonly pool: AttentionPool | null
  readonly #scope: BufferScope
  readonly #inputs: Matrix // [R, I]
  readonly #outputs: Matrix // [O, R]
  /** The buffers of `predict`, allocated by its first call. */
  #row: { x: Buffer; pass: NetworkPass } | null = null

  /**
   * @param storage what the matrices of its layers are stored as; a pool stays f32, and only f32 can be trained and read
   * @throws UsageError MLP_SHAPE if a parameter does not have the length its shape says
   */
  constructor(scope: BufferScope, shape: NetworkShape, values: NetworkValues, storage: Storage = 'f32') {
    const { inputs: I, hidden: R, outputs: O } = shape
    const shapes = networkParameterShapes(shape)
    for (const [name, size] of shapes) checkLength(name, values[name], lengthOf(size))
    this.shape = shape
    this.backend = scope.backend
    this.#scope = scope
    this.#inputs = matrixOf(scope, storage, values.inputWeight, R, I)
    this.#outputs = matrixOf(scope, storage, values.outputWeight, O, R)
    const matrices = new Map([
      ['inputWeight', this.#inputs],
      ['outputWeight', this.#outputs],
    ])
    const upload = (name: NetworkParameterName, size: readonly number[]): Buffer => {
      const matrix = matrices.get(name)
      return matrix ? valuesOf(matrix) : scope.upload(values[name] as Float32Array, size)
    }
    this.parameters = new Map([...shapes].map(([name, size]) => [name, upload(name, size)]))
    this.pool = shape.pools ? new AttentionPool(scope, I, this.parameters) : null
  }

  /** The current parameters. @throws UsageError BUFFER_KIND if they are stored as anything but f32 */
  read(): NetworkValues {
    const names = [...this.parameters.keys()]
    const values = recordOf(names, (name) => this.backend.readF32(this.#parameter(name)))
    return { ...noBiases, ...values }
  }

  /** Buffers for passes of up to `rows` rows, alive as long as `scope`. */
  makePass(scope: BufferScope, rows: number): NetworkPass {
    const { hidden, outputs } = this.shape
    const hiddenPre = scope.allocate('f32', [rows, hidden])
    const hiddenAct = isLowRank(this.shape) ? hiddenPre : scope.allocate('f32', [rows, hidden])
    return { hiddenPre, hiddenAct, y: scope.allocate('f32', [rows, outputs]) }
  }

  /** Runs rows x: [T, I], pooled ones, in the buffers of a pass of at least T rows; returns the outputs, [T, O]. */
  forward(pass: NetworkPass, x: Buffer): Buffer {
    const { ops } = this.backend
    const { hiddenPre, hiddenAct, y } = this.#rowsOf(pass, x.shape[0])
    ops.linear(hiddenPre, x, this.#inputs, this.parameters.get('inputBias') ?? null, null)
    if (!isLowRank(this.shape)) ops.relu(hiddenAct, hiddenPre)
    ops.linear(y, hiddenAct, this.#outputs, this.parameters.get('outputBias') ?? null, null)
    return y
  }

  /**
   * Adds the gradients of the parameters of both layers onto `grads`, given yGrad: [T, O], after `forward` on the same x;
   * writes those of x to xGrad: [T, I], if it is given.
   */
  backward(
    grads: Readonly<Record<NetworkParameterName, Buffer>>,
    pass: NetworkPass,
    hiddenRows: Buffer, // [T or more, R], overwritten
    yGrad: Buffer,
    x: Buffer,
    xGrad: Buffer | null,
  ): void {
    const { ops } = this.backend
    const [T] = x.shape
    const { hiddenPre, hiddenAct } = this.#rowsOf(pass, T)
    const hiddenGrad = firstRows(this.backend, hiddenRows, T)
    ops.linear_backward_weight(grads.outputWeight, yGrad, hiddenAct, null)
    ops.linear_input_major(hiddenGrad, yGrad, this.#parameter('outputWeight'), null, null)
    if (!isLowRank(this.shape)) {
      ops.linear_backward_bias(grads.outputBias, yGrad, null)
      ops.relu_backward(hiddenGrad, hiddenGrad, hiddenPre)
      ops.linear_backward_bias(grads.inputBias, hiddenGrad, null)
    }
    ops.linear_backward_weight(grads.inputWeight, hiddenGrad, x, null)
    if (xGrad) ops.linear_input_major(xGrad, hiddenGrad, this.#parameter('inputWeight'), null, null)
  }

  /**
   * The outputs [O] for one input: [I], or [T, I] with any T where it pools.
   * @throws UsageError FEATURE_SHAPE
   */
  predict(input: Float32Array): Float32Array {
    const { inputs } = this.shape
    const tokens = input.length / inputs
    if (this.pool ? tokens < 1 || !Number.isInteger(tokens) : tokens !== 1)
      throw new UsageError(
        'FEATURE_SHAPE',
        `input: expected [${this.pool ? 'T, ' : ''}${inputs}], got ${input.length} numbers`,
      )
    this.#row ??= { x: this.#scope.allocate('f32', [1, inputs]), pass: this.makePass(this.#scope, 1) }
    const { x, pass } = this.#row
    if (this.pool) poolOnce(this.pool, x, input, tokens)
    else this.backend.write(x, input)
    return this.backend.readF32(this.forward(pass, x))
  }

  #parameter(name: NetworkParameterName): Buffer {
    return this.parameters.get(name) as Buffer
  }

  /** A pass of as many rows, in the buffers of a longer one. */
  #rowsOf({ hiddenPre, hiddenAct, y }: NetworkPass, rows: number): NetworkPass {
    const first = (buffer: Buffer): Buffer => firstRows(this.backend, buffer, rows)
    return { hiddenPre: first(hiddenPre), hiddenAct: first(hiddenAct), y: first(y) }
  }
}

/** Pools one prompt in temporary buffers. */
function poolOnce(pool: AttentionPool, y: Buffer, prompt: Float32Array, tokens: number): void {
  BufferScope.within(pool.backend, (scope) => {
    const x = scope.upload(prompt, [tokens, pool.width])
    pool.forward(pool.makePass(scope, tokens), y, x, scope.upload(evenShares(tokens), [1, tokens]))
  })
}

/** 1 / T, T times. */
export function evenShares(tokens: number): Float32Array {
  return new Float32Array(tokens).fill(1 / tokens)
}

/** @throws UsageError MLP_SHAPE if a parameter has another length */
function checkLength(name: string, values: Float32Array | undefined, length: number): void {
  const got = values?.length ?? 0
  if (got !== length) throw new UsageError('MLP_SHAPE', `${name}: expected ${length} numbers, got ${got}`)
}

function lengthOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

function isLowRank({ form = 'relu' }: NetworkShape): boolean {
  return form === 'low-rank'
}

/**
 * The networks of predictors: two linear layers.
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
import { matrixOf, type Matrix, type Storage } from '../engine/matrix.ts'
import { UsageError } from '../tensor/errors.ts'
import type { Random } from '../tensor/random.ts'
import { recordOf } from '../tensor/records.ts'

export const networkForms = ['relu', 'low-rank'] as const
type NetworkForm = (typeof networkForms)[number]

/** The sizes of a network. */
export interface MlpShape {
  readonly inputs: number // I
  readonly hidden: number // R
  readonly outputs: number // O
  /** Default: relu. */
  readonly form?: NetworkForm
}

/** The values of a network, on the host. */
export interface MlpValues {
  readonly inputWeight: Float32Array // [R, I]
  readonly inputBias: Float32Array // [R], empty where there is none
  readonly outputWeight: Float32Array // [O, R]
  readonly outputBias: Float32Array // [O], empty where there is none
}

/** The names of the parameters, in the order of the forward pass. */
export const mlpParameterNames = ['inputWeight', 'inputBias', 'outputWeight', 'outputBias'] as const
export type MlpParameterName = (typeof mlpParameterNames)[number]

/** The shape of each parameter; [0] for one that a network of this form does not have. */
export function mlpParameterShapes(shape: MlpShape): Record<MlpParameterName, readonly number[]> {
  const { inputs, hidden, outputs } = shape
  const bare = isLowRank(shape)
  return {
    inputWeight: [hidden, inputs],
    inputBias: [bare ? 0 : hidden],
    outputWeight: [outputs, hidden],
    outputBias: [bare ? 0 : outputs],
  }
}

/** How many numbers each parameter has. */
export function mlpParameterLengths(shape: MlpShape): Record<MlpParameterName, number> {
  const shapes = mlpParameterShapes(shape)
  return recordOf(mlpParameterNames, (name) => lengthOf(shapes[name]))
}

/**
 * The initial values: uniform in ±1/sqrt(inputs of the layer), as PyTorch's Linear, except that the output layer starts with
 * zero weights and a given bias. So an untrained network predicts that bias, the mean of its targets, and training learns
 * how an example differs from the mean.
 */
export function startingValues(shape: MlpShape, outputBias: Float32Array, random: Random): MlpValues {
  const lengths = mlpParameterLengths(shape)
  return {
    inputWeight: uniformValues(lengths.inputWeight, shape.inputs, random),
    inputBias: uniformValues(lengths.inputBias, shape.inputs, random),
    outputWeight: new Float32Array(lengths.outputWeight),
    outputBias: isLowRank(shape) ? new Float32Array(0) : outputBias,
  }
}

/** Numbers uniform in ±1/sqrt(inputs), the initial values of PyTorch's Linear. */
export function uniformValues(length: number, inputs: number, random: Random): Float32Array {
  const bound = 1 / Math.sqrt(inputs)
  return Float32Array.from({ length }, () => (2 * random.uniform() - 1) * bound)
}

/** The buffers of a forward pass that the backward pass reads. */
export interface MlpPass {
  readonly hiddenPre: Buffer // [T, R]
  readonly hiddenAct: Buffer // [T, R], the same buffer if there is no activation function
  readonly y: Buffer // [T, O]
}

/** A network inside a backend. Dispose it. */
export class Mlp {
  readonly shape: MlpShape
  readonly backend: Backend
  readonly parameters: Readonly<Record<MlpParameterName, Buffer>>
  readonly #inputs: Matrix // [R, I]
  readonly #outputs: Matrix // [O, R]
  readonly #bare: boolean
  readonly #scope: BufferScope

  /**
   * @param storage what the matrices are stored as; only f32 can be trained and read
   * @throws UsageError MLP_SHAPE if a parameter does not have the length its shape says
   */
  constructor(backend: Backend, shape: MlpShape, values: MlpValues, storage: Storage = 'f32') {
    const lengths = mlpParameterLengths(shape)
    for (const name of mlpParameterNames) checkLength(name, values[name], lengths[name])
    this.shape = shape
    this.backend = backend
    this.#bare = isLowRank(shape)
    this.#scope = new BufferScope(backend)
    const { inputs: I, hidden: R, outputs: O } = shape
    this.#inputs = matrixOf(this.#scope, storage, values.inputWeight, R, I)
    this.#outputs = matrixOf(this.#scope, storage, values.outputWeight, O, R)
    this.parameters = {
      inputWeight: valuesOf(this.#inputs),
      inputBias: this.#scope.upload(values.inputBias),
      outputWeight: valuesOf(this.#outputs),
      outputBias: this.#scope.upload(values.outputBias),
    }
  }

  /** The current parameters. @throws UsageError BUFFER_KIND if they are stored as anything but f32 */
  read(): MlpValues {
    return recordOf(mlpParameterNames, (name) => this.backend.readF32(this.parameters[name]))
  }

  /** Buffers for passes of up to `rows` rows, alive as long as `scope`. */
  makePass(scope: BufferScope, rows: number): MlpPass {
    const { hidden, outputs } = this.shape
    const hiddenPre = scope.allocate('f32', [rows, hidden])
    const hiddenAct = this.#bare ? hiddenPre : scope.allocate('f32', [rows, hidden])
    return { hiddenPre, hiddenAct, y: scope.allocate('f32', [rows, outputs]) }
  }

  /** A pass of as many rows, in the buffers of a longer one. */
  #rowsOf({ hiddenPre, hiddenAct, y }: MlpPass, rows: number): MlpPass {
    const first = (buffer: Buffer): Buffer => firstRows(this.backend, buffer, rows)
    return { hiddenPre: first(hiddenPre), hiddenAct: first(hiddenAct), y: first(y) }
  }

  /** Runs x: [T, I], in the buffers of a pass of at least T rows; returns the outputs, [T, O]. */
  forward(pass: MlpPass, x: Buffer): Buffer {
    const { inputBias, outputBias } = this.parameters
    const { ops } = this.backend
    const [firstBias, lastBias] = this.#bare ? [null, null] : [inputBias, outputBias]
    const { hiddenPre, hiddenAct, y } = this.#rowsOf(pass, x.shape[0])
    ops.linear(hiddenPre, x, this.#inputs, firstBias, null)
    if (!this.#bare) ops.relu(hiddenAct, hiddenPre)
    ops.linear(y, hiddenAct, this.#outputs, lastBias, null)
    return y
  }

  /**
   * Adds the gradients of every parameter onto `grads`, given yGrad: [T, O], after `forward` on the same x; writes those
   * of x to xGrad: [T, I], if it is given.
   */
  backward(
    grads: Readonly<Record<MlpParameterName, Buffer>>,
    pass: MlpPass,
    hiddenRoom: Buffer, // [T or more, R], overwritten
    yGrad: Buffer,
    x: Buffer,
    xGrad: Buffer | null,
  ): void {
    const { inputWeight, outputWeight } = this.parameters
    const { ops } = this.backend
    const [T] = x.shape
    const { hiddenPre, hiddenAct } = this.#rowsOf(pass, T)
    const hiddenGrad = firstRows(this.backend, hiddenRoom, T)
    ops.linear_backward_weight(grads.outputWeight, yGrad, hiddenAct, null)
    ops.linear_input_major(hiddenGrad, yGrad, outputWeight, null, null)
    if (!this.#bare) {
      ops.linear_backward_bias(grads.outputBias, yGrad, null)
      ops.relu_backward(hiddenGrad, hiddenGrad, hiddenPre)
      ops.linear_backward_bias(grads.inputBias, hiddenGrad, null)
    }
    ops.linear_backward_weight(grads.inputWeight, hiddenGrad, x, null)
    if (xGrad) ops.linear_input_major(xGrad, hiddenGrad, inputWeight, null, null)
  }

  dispose(): void {
    this.#scope.dispose()
  }
}

/** @throws UsageError MLP_SHAPE if a parameter has another length */
export function checkLength(name: string, values: Float32Array | undefined, length: number): void {
  const got = values?.length ?? 0
  if (got !== length) throw new UsageError('MLP_SHAPE', `${name}: expected ${length} numbers, got ${got}`)
}

/** How many numbers an array of this shape has. */
export function lengthOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

function isLowRank({ form = 'relu' }: MlpShape): boolean {
  return form === 'low-rank'
}

/**
 * The network of a predictor: two linear layers with biases and a ReLU between them, as in the released code.
 *
 *   y = relu(x W1ᵀ + b1) W2ᵀ + b2
 *
 * Both matrices are stored one row per output, as PyTorch stores them. Everything runs through a backend's ops, forward
 * and backward, so the bits are the same on every backend.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { UsageError } from '../tensor/errors.ts'
import { Random } from '../tensor/random.ts'

/** The sizes of a network. */
export interface MlpShape {
  readonly inputs: number // I
  readonly hidden: number // R
  readonly outputs: number // O
}

/** The values of a network, on the host. */
export interface MlpValues {
  readonly inputWeight: Float32Array // [R, I]
  readonly inputBias: Float32Array // [R]
  readonly outputWeight: Float32Array // [O, R]
  readonly outputBias: Float32Array // [O]
}

/** The names of the parameters, in the order of the forward pass. */
export const mlpParameterNames = ['inputWeight', 'inputBias', 'outputWeight', 'outputBias'] as const
export type MlpParameterName = (typeof mlpParameterNames)[number]

/** How many numbers each parameter has. */
export function mlpParameterLengths({ inputs, hidden, outputs }: MlpShape): Record<MlpParameterName, number> {
  return {
    inputWeight: hidden * inputs,
    inputBias: hidden,
    outputWeight: outputs * hidden,
    outputBias: outputs,
  }
}

/**
 * Where training starts: uniform in +-1/sqrt(inputs of the layer), as PyTorch's Linear, except that the output layer
 * starts at zero weights and a given bias. A network that has seen nothing then predicts that bias, the mean of its
 * targets, and what it learns is how an example differs from the mean.
 */
export function startingValues(shape: MlpShape, outputBias: Float32Array, seed: number): MlpValues {
  const random = new Random(seed)
  const lengths = mlpParameterLengths(shape)
  const bound = 1 / Math.sqrt(shape.inputs)
  const uniform = (): number => (2 * random.uniform() - 1) * bound
  return {
    inputWeight: Float32Array.from({ length: lengths.inputWeight }, uniform),
    inputBias: Float32Array.from({ length: lengths.inputBias }, uniform),
    outputWeight: new Float32Array(lengths.outputWeight),
    outputBias,
  }
}

/** What a forward pass leaves for the backward pass. */
export interface MlpPass {
  readonly hiddenPre: Buffer // [T, R]
  readonly hiddenAct: Buffer // [T, R]
  readonly y: Buffer // [T, O]
}

/** A network inside a backend. Dispose it. */
export class Mlp {
  readonly shape: MlpShape
  readonly backend: Backend
  readonly parameters: Readonly<Record<MlpParameterName, Buffer>>
  readonly #scope: BufferScope

  /** @throws UsageError MLP_SHAPE if a parameter does not have the length its shape says */
  constructor(backend: Backend, shape: MlpShape, values: MlpValues) {
    const lengths = mlpParameterLengths(shape)
    for (const name of mlpParameterNames)
      if (values[name].length !== lengths[name])
        throw new UsageError(
          'MLP_SHAPE',
          `${name}: expected ${lengths[name]} numbers, got ${values[name].length}`,
        )
    this.shape = shape
    this.backend = backend
    this.#scope = new BufferScope(backend)
    this.parameters = {
      inputWeight: this.#scope.upload(values.inputWeight),
      inputBias: this.#scope.upload(values.inputBias),
      outputWeight: this.#scope.upload(values.outputWeight),
      outputBias: this.#scope.upload(values.outputBias),
    }
  }

  /** The parameters as they are now. */
  read(): MlpValues {
    const { inputWeight, inputBias, outputWeight, outputBias } = this.parameters
    return {
      inputWeight: this.backend.readF32(inputWeight),
      inputBias: this.backend.readF32(inputBias),
      outputWeight: this.backend.readF32(outputWeight),
      outputBias: this.backend.readF32(outputBias),
    }
  }

  /** Buffers for passes of up to `rows` rows, alive as long as `scope`. */
  makePass(scope: BufferScope, rows: number): MlpPass {
    const { hidden, outputs } = this.shape
    return {
      hiddenPre: scope.allocate(rows * hidden),
      hiddenAct: scope.allocate(rows * hidden),
      y: scope.allocate(rows * outputs),
    }
  }

  /** Runs T rows of x: [T, I]; the result is pass.y: [T, O]. */
  forward(pass: MlpPass, x: Buffer, T: number): void {
    const { inputs: I, hidden: R, outputs: O } = this.shape
    const { inputWeight, inputBias, outputWeight, outputBias } = this.parameters
    const { ops } = this.backend
    ops.linear(pass.hiddenPre, x, inputWeight, inputBias, null, T, R, I, R)
    ops.relu(pass.hiddenAct, pass.hiddenPre, T * R)
    ops.linear(pass.y, pass.hiddenAct, outputWeight, outputBias, null, T, O, R, O)
  }

  /** Adds the gradients of every parameter onto `grads`, given yGrad: [T, O], after `forward` on the same x. */
  backward(
    grads: Readonly<Record<MlpParameterName, Buffer>>,
    pass: MlpPass,
    hiddenGrad: Buffer, // [T, R], overwritten
    yGrad: Buffer,
    x: Buffer,
    T: number,
  ): void {
    const { inputs: I, hidden: R, outputs: O } = this.shape
    const { ops } = this.backend
    ops.linear_backward_weight(grads.outputWeight, yGrad, pass.hiddenAct, null, T, O, R, O)
    ops.linear_backward_bias(grads.outputBias, yGrad, null, T, O, O)
    ops.linear_input_major(hiddenGrad, yGrad, this.parameters.outputWeight, null, null, T, R, O, O)
    ops.relu_backward(hiddenGrad, hiddenGrad, pass.hiddenPre, T * R)
    ops.linear_backward_weight(grads.inputWeight, hiddenGrad, x, null, T, R, I, R)
    ops.linear_backward_bias(grads.inputBias, hiddenGrad, null, T, R, R)
  }

  dispose(): void {
    this.#scope.dispose()
  }
}

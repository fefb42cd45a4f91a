/**
 * Trains one network in batches: its loss, gradients and optimiser.
 *
 * Losses: `mse` is the mean of squared errors, `bce` the binary cross-entropy of labels against log odds, in which labels
 * of 0 have the weight `negativeWeight`. All computation runs through the ops of a backend, so the bits are the same on every
 * backend.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import type { PoolGradients, PoolPass } from '../predictor/attention_pool.ts'
import type { MlpPass } from '../predictor/mlp.ts'
import {
  evenShares,
  Network,
  type NetworkParameterName,
  type NetworkShape,
  type NetworkValues,
} from '../predictor/network.ts'
import { AdamW } from './adamw.ts'

/** A loss. */
export type Loss = { readonly name: 'mse' } | { readonly name: 'bce'; readonly negativeWeight: number }

/** An input per example, [I] or [T, I] for a network that pools, and a target [O]. */
export interface TrainingSet {
  readonly rows: readonly Float32Array[]
  readonly targets: readonly Float32Array[]
}

/** The buffers for pooling prompts. */
interface Pooling {
  readonly x: Buffer // [T, I]
  readonly share: Buffer // [T]
  readonly pass: PoolPass
  readonly inner: PoolGradients
  readonly rowGrad: Buffer // [B, I]
}

/** Trains one network. Dispose it. */
export class NetworkTrainer {
  readonly network: Network
  readonly #loss: Loss
  readonly #optimiser: AdamW
  readonly #scope: BufferScope
  readonly #batch: number
  readonly #grads: Readonly<Record<NetworkParameterName, Buffer>>
  readonly #x: Buffer // [B, I]
  readonly #target: Buffer // [B, O]
  readonly #pass: MlpPass
  readonly #yGrad: Buffer // [B, O]
  readonly #hiddenGrad: Buffer // [B, R]
  readonly #result: Buffer // [1]
  readonly #one: Buffer // [1]
  readonly #pooling: Pooling | null

  /** @param longest the maximal length of a prompt, for a network that pools */
  constructor(
    backend: Backend,
    shape: NetworkShape,
    values: NetworkValues,
    batch: number,
    decay: number,
    loss: Loss = { name: 'mse' },
    longest = 0,
  ) {
    const scope = new BufferScope(backend)
    this.network = new Network(backend, shape, values)
    const { parameters, mlp } = this.network
    this.#loss = loss
    this.#optimiser = new AdamW(backend, [...parameters.values()], { decay })
    const names = [...parameters.keys()]
    this.#grads = Object.fromEntries(names.map((name, i) => [name, this.#optimiser.grads[i]])) as Record<
      NetworkParameterName,
      Buffer
    >
    this.#scope = scope
    this.#batch = batch
    this.#x = scope.allocate(batch * shape.inputs)
    this.#target = scope.allocate(batch * shape.outputs)
    this.#pass = mlp.makePass(scope, batch)
    this.#yGrad = scope.allocate(batch * shape.outputs)
    this.#hiddenGrad = scope.allocate(batch * shape.hidden)
    this.#result = scope.allocate(1)
    this.#one = scope.upload(Float32Array.of(1))
    this.#pooling = this.#makePooling(longest)
  }

  /** One step on the chosen examples, at most a batch; returns their mean loss before it. */
  step(set: TrainingSet, chosen: Int32Array, rate: number): number {
    const loss = this.gradients(set, chosen)
    this.#optimiser.step(rate)
    return loss
  }

  /** Adds the gradients of the mean loss of the chosen examples; returns that loss. `readGradients` reads them. */
  gradients(set: TrainingSet, chosen: Int32Array): number {
    const { mlp, pool, shape } = this.network
    const { ops } = mlp.backend
    const T = chosen.length
    const loss = this.#forward(set, chosen)
    const N = T * shape.outputs
    // A model of one layer has no unit to predict, so there is no gradient.
    if (N === 0) return loss
    const [yGrad, one, y, target] = [this.#yGrad, this.#one, this.#pass.y, this.#target]
    if (this.#loss.name === 'mse') ops.mse_backward(yGrad, one, y, target, N)
    else ops.bce_backward(yGrad, one, y, target, this.#loss.negativeWeight, N)
    const rowGrad = this.#pooling?.rowGrad ?? null
    mlp.backward(this.#grads, this.#pass, this.#hiddenGrad, yGrad, this.#x, rowGrad, T)
    if (pool) chosen.forEach((place, row) => this.#poolBackward(set.rows[place], row))
    return loss
  }

  /** The gradients since the last step. */
  readGradients(): NetworkValues {
    const { backend } = this.network
    const none = new Float32Array(0)
    const values: Partial<Record<NetworkParameterName, Float32Array>> = { inputBias: none, outputBias: none }
    for (const name of this.network.parameters.keys()) values[name] = backend.readF32(this.#grads[name])
    return values as NetworkValues
  }

  /** The mean loss of any number of examples; 0 for none. */
  loss(set: TrainingSet, chosen: Int32Array): number {
    let total = 0
    for (let at = 0; at < chosen.length; at += this.#batch) {
      const part = chosen.subarray(at, at + this.#batch)
      total += this.#forward(set, part) * part.length
    }
    return chosen.length === 0 ? 0 : total / chosen.length
  }

  dispose(): void {
    this.#optimiser.dispose()
    this.network.dispose()
    this.#scope.dispose()
  }

  #forward(set: TrainingSet, chosen: Int32Array): number {
    const { mlp, pool, backend, shape } = this.network
    chosen.forEach((place, row) => {
      if (pool) this.#poolForward(set.rows[place], row)
      else backend.write(this.#x, set.rows[place], row * shape.inputs)
      backend.write(this.#target, set.targets[place], row * shape.outputs)
    })
    mlp.forward(this.#pass, this.#x, chosen.length)
    const N = chosen.length * shape.outputs
    if (N === 0) return 0
    if (this.#loss.name === 'mse') backend.ops.mse(this.#result, this.#pass.y, this.#target, N)
    else backend.ops.bce(this.#result, this.#pass.y, this.#target, this.#loss.negativeWeight, N)
    return backend.readF32(this.#result)[0]
  }

  #makePooling(longest: number): Pooling | null {
    const { pool, shape } = this.network
    const scope = this.#scope
    return (
      pool && {
        x: scope.allocate(longest * shape.inputs),
        share: scope.allocate(longest),
        pass: pool.makePass(scope, longest),
        inner: pool.makeGradients(scope, longest),
        rowGrad: scope.allocate(this.#batch * shape.inputs),
      }
    )
  }

  /** Pools one prompt into a row of x. */
  #poolForward(prompt: Float32Array, row: number): number {
    const { pool, backend, shape } = this.network
    const { x, share, pass } = this.#pooling as Pooling
    const tokens = prompt.length / shape.inputs
    backend.write(x, prompt)
    backend.write(share, evenShares(tokens))
    pool?.forward(pass, backend.slice(this.#x, row * shape.inputs, shape.inputs), x, share, tokens)
    return tokens
  }

  /** Runs a prompt again and then backward, which takes less memory than keeping the activations of a batch. */
  #poolBackward(prompt: Float32Array, row: number): void {
    const { pool, backend, shape } = this.network
    const { x, share, pass, inner, rowGrad } = this.#pooling as Pooling
    const tokens = this.#poolForward(prompt, row)
    const yGrad = backend.slice(rowGrad, row * shape.inputs, shape.inputs)
    pool?.backward(this.#grads, pass, inner, yGrad, x, share, tokens)
  }
}

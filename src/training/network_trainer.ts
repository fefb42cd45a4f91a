/**
 * Trains one network in batches: its loss, gradients and optimiser.
 *
 * Losses: `mse` is the mean of squared errors, `bce` the binary cross-entropy of labels against log odds, in which labels
 * of 0 have the weight `negativeWeight`. All computation runs through the ops of a backend, so the bits are the same on every
 * backend.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { firstRows } from '../backends/rows.ts'
import type { AttentionPool, PoolPass } from '../predictor/attention_pool.ts'
import {
  evenShares,
  Network,
  noBiases,
  type NetworkParameterName,
  type NetworkPass,
  type NetworkShape,
  type NetworkValues,
} from '../predictor/network.ts'
import { recordOf } from '../tensor/records.ts'
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
  readonly share: Buffer // [1, T]
  readonly pass: PoolPass
  readonly inner: PoolPass
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
  readonly #pass: NetworkPass
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
    this.network = new Network(scope, shape, values)
    const { parameters } = this.network
    this.#loss = loss
    this.#optimiser = new AdamW(backend, [...parameters.values()], { decay })
    this.#grads = recordOf([...parameters.keys()], (_, i) => this.#optimiser.grads[i])
    this.#scope = scope
    this.#batch = batch
    this.#x = scope.allocate('f32', [batch, shape.inputs])
    this.#target = scope.allocate('f32', [batch, shape.outputs])
    this.#pass = this.network.makePass(scope, batch)
    this.#yGrad = scope.allocate('f32', [batch, shape.outputs])
    this.#hiddenGrad = scope.allocate('f32', [batch, shape.hidden])
    this.#result = scope.allocate('f32', [1])
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
    const { backend, pool } = this.network
    const { ops } = backend
    const loss = this.#forward(set, chosen)
    const rows = (buffer: Buffer): Buffer => firstRows(backend, buffer, chosen.length)
    const [yGrad, y, target] = [rows(this.#yGrad), rows(this.#pass.y), rows(this.#target)]
    // A model of one layer has no unit to predict, so there is no gradient.
    if (y.length === 0) return loss
    if (this.#loss.name === 'mse') ops.mse_backward(yGrad, this.#one, y, target)
    else ops.bce_backward(yGrad, this.#one, y, target, this.#loss.negativeWeight)
    const rowGrad = this.#pooling && rows(this.#pooling.rowGrad)
    this.network.backward(this.#grads, this.#pass, this.#hiddenGrad, yGrad, rows(this.#x), rowGrad)
    if (pool) chosen.forEach((place, row) => this.#poolBackward(set.rows[place], row))
    return loss
  }

  /** The gradients since the last step. */
  readGradients(): NetworkValues {
    const { backend } = this.network
    const names = [...this.network.parameters.keys()]
    return { ...noBiases, ...recordOf(names, (name) => backend.readF32(this.#grads[name])) }
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
    this.#scope.dispose()
  }

  #forward(set: TrainingSet, chosen: Int32Array): number {
    const { pool, backend, shape } = this.network
    chosen.forEach((place, row) => {
      if (pool) this.#poolForward(set.rows[place], row)
      else backend.write(this.#x, set.rows[place], row * shape.inputs)
      backend.write(this.#target, set.targets[place], row * shape.outputs)
    })
    const y = this.network.forward(this.#pass, firstRows(backend, this.#x, chosen.length))
    if (y.length === 0) return 0
    const target = firstRows(backend, this.#target, chosen.length)
    if (this.#loss.name === 'mse') backend.ops.mse(this.#result, y, target)
    else backend.ops.bce(this.#result, y, target, this.#loss.negativeWeight)
    return backend.readF32(this.#result)[0]
  }

  #makePooling(longest: number): Pooling | null {
    const { pool, shape } = this.network
    const scope = this.#scope
    return (
      pool && {
        x: scope.allocate('f32', [longest, shape.inputs]),
        share: scope.allocate('f32', [1, longest]),
        pass: pool.makePass(scope, longest),
        inner: pool.makePass(scope, longest),
        rowGrad: scope.allocate('f32', [this.#batch, shape.inputs]),
      }
    )
  }

  /** Pools one prompt into a row of x; returns what it worked on. */
  #poolForward(prompt: Float32Array, row: number): Pick<Pooling, 'pass' | 'x' | 'share'> {
    const { backend, shape } = this.network
    const pool = this.network.pool as AttentionPool
    const pooling = this.#pooling as Pooling
    const tokens = prompt.length / shape.inputs
    const x = firstRows(backend, pooling.x, tokens)
    const share = backend.view(pooling.share, [1, tokens])
    backend.write(x, prompt)
    backend.write(share, evenShares(tokens))
    const pass = pool.passIn(pooling.pass, tokens)
    pool.forward(pass, this.#row(this.#x, row), x, share)
    return { pass, x, share }
  }

  /** Runs a prompt again and then backward, which takes less memory than keeping the activations of a batch. */
  #poolBackward(prompt: Float32Array, row: number): void {
    const pool = this.network.pool as AttentionPool
    const { inner, rowGrad } = this.#pooling as Pooling
    const { pass, x, share } = this.#poolForward(prompt, row)
    const own = pool.passIn(inner, x.shape[0])
    pool.backward(this.#grads, pass, own, this.#row(rowGrad, row), x, share)
  }

  /** A row of a buffer [B, I]: [1, I]. */
  #row(buffer: Buffer, row: number): Buffer {
    const { inputs } = this.network.shape
    return this.network.backend.view(buffer, [1, inputs], row * inputs)
  }
}

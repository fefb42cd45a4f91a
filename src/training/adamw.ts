/**
 * AdamW over a list of parameters, each step an `adamw_step` op per parameter.
 *
 * The optimiser owns the moments and the gradients. The caller adds to the gradients and calls `step`, which resets them to
 * zero. Bias corrections are computed in float64 and passed as float32. Its state is the moments and the number of steps, so
 * a run can be resumed from them.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'

/** The settings of AdamW; PyTorch's defaults. */
export interface AdamWOptions {
  readonly beta1?: number
  readonly beta2?: number
  readonly epsilon?: number
  /** Decoupled weight decay, per step and rate: of all parameters, or of each in the order given. */
  readonly decay?: number | readonly number[]
}

/** A parameter with its gradient and moments, all of one length. */
export interface Slot {
  readonly weight: Buffer
  /** The gradient; callers add to it between steps. */
  readonly grad: Buffer
  /** First moment. */
  readonly mean: Buffer
  /** Second moment. */
  readonly square: Buffer
  readonly decay: number
}

/**
 * AdamW (Loshchilov and Hutter 2019) with PyTorch's defaults: betas 0.9 and 0.999, epsilon 1e-8, decay 0.01. Add gradients to `grads`,
 * then call `step`, which sets them to zero again. Dispose it.
 */
export class AdamW {
  readonly backend: Backend
  /** The gradient of each parameter, in the order of the parameters. */
  readonly grads: readonly Buffer[]
  /** In the order of the parameters. */
  readonly slots: readonly Slot[]
  readonly #scope: BufferScope
  readonly #beta1: number
  readonly #beta2: number
  readonly #epsilon: number
  #steps = 0

  /** @param parameters float32, updated in place */
  constructor(backend: Backend, parameters: readonly Buffer[], options: AdamWOptions = {}) {
    this.backend = backend
    this.#beta1 = options.beta1 ?? 0.9
    this.#beta2 = options.beta2 ?? 0.999
    this.#epsilon = options.epsilon ?? 1e-8
    const decay = options.decay ?? 0.01
    const scope = new BufferScope(backend)
    this.#scope = scope
    this.slots = parameters.map((weight, i) => ({
      weight,
      grad: scope.allocate('f32', weight.shape),
      mean: scope.allocate('f32', weight.shape),
      square: scope.allocate('f32', weight.shape),
      decay: typeof decay === 'number' ? decay : decay[i],
    }))
    this.grads = this.slots.map((slot) => slot.grad)
  }

  /** The number of steps so far. */
  get steps(): number {
    return this.#steps
  }

  /** Continues after `steps` steps of another run, whose moments were written into the slots. */
  resumeAfter(steps: number): void {
    this.#steps = steps
  }

  /**
   * Updates every parameter, then resets the gradients to zero.
   * @param rate the learning rate of this step
   */
  step(rate: number): void {
    this.#steps++
    const correction1 = 1 - this.#beta1 ** this.#steps
    const correction2 = 1 - this.#beta2 ** this.#steps
    for (const { weight, mean, square, grad, decay } of this.slots) {
      this.backend.ops.adamw_step(
        weight,
        mean,
        square,
        grad,
        rate,
        this.#beta1,
        this.#beta2,
        this.#epsilon,
        decay,
        correction1,
        correction2,
      )
      this.backend.zero(grad)
    }
  }

  /** Frees moments and gradients; the parameters belong to the caller. */
  dispose(): void {
    this.#scope.dispose()
  }
}

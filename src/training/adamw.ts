/**
 * AdamW over a list of parameters, each step an `adamw_step` op per parameter.
 *
 * The optimiser owns the moments and the gradients; its user adds to the gradients, calls `step`, and finds them zero
 * again. Bias corrections are computed in float64 and passed in as float32. The moments and the count of steps are all it
 * remembers: read and written, they carry a run from one process to the next.
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

/** A parameter and what belongs to it, all of one length. */
export interface Slot {
  readonly weight: Buffer
  /** Added to between two steps. */
  readonly grad: Buffer
  /** First moment. */
  readonly mean: Buffer
  /** Second moment. */
  readonly square: Buffer
  readonly decay: number
}

/** AdamW (Loshchilov and Hutter 2019) with PyTorch's defaults: betas 0.9 and 0.999, epsilon 1e-8, decay 0.01. */
export class AdamW {
  readonly backend: Backend
  /** Where the gradient of each parameter is added to, in the order given. */
  readonly grads: readonly Buffer[]
  /** In the order given. */
  readonly slots: readonly Slot[]
  readonly #scope: BufferScope
  readonly #beta1: number
  readonly #beta2: number
  readonly #epsilon: number
  #steps = 0

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

  /** How many steps the moments hold. */
  get steps(): number {
    return this.#steps
  }

  /** Goes on after `steps` steps of another run, whose moments were written into the slots. */
  resumeAfter(steps: number): void {
    this.#steps = steps
  }

  /** Moves every parameter against its gradient, then sets the gradients to zero. */
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

  /** Frees moments and gradients; the parameters are the caller's. */
  dispose(): void {
    this.#scope.dispose()
  }
}

/**
 * Trains a language model inside its backend: gradients of a batch are accumulated, clipped and applied there; only a loss and a
 * norm are read.
 *
 * The gradient of a batch is that of the mean loss over all its scored tokens; sequences run one by one. Weight decay applies to
 * matrices, including both embedding tables, not to biases and layer norms.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { withPass } from '../criteria/pass.ts'
import { readParameters, writeParameter } from '../engine/weight_layout.ts'
import { countScored, negativeLogLikelihood } from '../engine/loss.ts'
import { modelParameters, parameterShapes } from '../engine/program.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import type { HostTensor } from '../tensor/memory_source.ts'
import { AdamW } from './adamw.ts'
import { pause } from '../platform/pause.ts'

/** The state of a run, by Hugging Face name and in Hugging Face layout; weights of norms have their offset in them. */
export interface TrainerState {
  /** The number of steps. */
  readonly step: number
  readonly weights: ReadonlyMap<string, HostTensor>
  /** First moments of the gradients. */
  readonly means: ReadonlyMap<string, HostTensor>
  /** Second moments of the gradients. */
  readonly squares: ReadonlyMap<string, HostTensor>
}

const betas = { beta1: 0.9, beta2: 0.95 }

/**
 * The steps of a training of a language model, for a loop of your own: `accumulate` the gradients of windows, then `step`. `pretrain` is the whole loop, with
 * its schedule, held-out loss and checkpoints. The model is changed in place and belongs to the caller. Dispose it.
 * @example
 * ```ts
 * import { createBackend } from 'shadowllm/backends'
 * import { initialWeights, LanguageModel, makeConfig, memorySource } from 'shadowllm/model'
 * import { cosineSchedule, LanguageTrainer, seededBatches } from 'shadowllm/train'
 *
 * const config = makeConfig({ vocabulary: 10, width: 8, layers: 1, heads: 2, neurons: 16, positions: 8 })
 * const backend = await createBackend('wasm')
 * const model = await LanguageModel.load(config, memorySource(initialWeights(config)), backend)
 * const windowOf = (i: number): Int32Array => Int32Array.from({ length: 8 }, (_, t) => (i + t) % 10)
 *
 * const trainer = new LanguageTrainer(model, 0.1)
 * const [rateOf, batchOf] = [cosineSchedule(0.01, 20, 2), seededBatches(6, 2, 0)]
 * for (let step = 0; step < 20; step++) {
 *   console.log(await trainer.accumulate(Array.from(batchOf(step), windowOf)))
 *   trainer.step(rateOf(step), 1)
 * }
 * trainer.dispose()
 * model.dispose()
 * backend.dispose()
 * ```
 */
export class LanguageTrainer {
  readonly model: LanguageModel
  readonly #optimiser: AdamW
  /** The accumulated gradients, by Hugging Face name, in the layout of the weights. */
  readonly #gradients: ReadonlyMap<string, Buffer>

  /** @param decay decoupled weight decay of the matrices; vectors have none */
  constructor(model: LanguageModel, decay: number) {
    this.model = model
    const { parameters } = model.weights
    const shapes = parameterShapes(model.config)
    const decays = [...parameters.keys()].map((name) => (shapes.get(name)?.length === 2 ? decay : 0))
    this.#optimiser = new AdamW(model.backend, [...parameters.values()], { ...betas, decay: decays })
    this.#gradients = new Map([...parameters.keys()].map((name, i) => [name, this.#optimiser.grads[i]]))
  }

  /** The number of steps, those of the resumed state included. */
  get steps(): number {
    return this.#optimiser.steps
  }

  /**
   * Adds the gradient of the mean loss of a batch of windows; returns that loss. The event loop runs between windows.
   * @param windows of tokens, all but the first of which are scored
   * @param signal ends it between windows
   * @throws the signal's reason if it is aborted, after discarding the batch
   */
  async accumulate(windows: readonly Int32Array[], signal?: AbortSignal): Promise<number> {
    const scored = windows.reduce((sum, tokens) => sum + countScored(tokens), 0)
    const options = { parameters: this.#gradients, scored }
    let loss = 0
    try {
      for (const tokens of windows) {
        loss += withPass(this.model, { tokens, labels: tokens }, ({ gradients }) => gradients.loss, options)
        await pause(signal)
      }
    } catch (error) {
      this.discard()
      throw error
    }
    return loss
  }

  /**
   * Clips the gradients and updates the weights; returns the norm before clipping.
   * @param rate the learning rate of this step
   * @param clip the largest norm of all gradients together
   */
  step(rate: number, clip: number): number {
    const norm = clipGradients(this.model.backend, this.#optimiser.grads, clip)
    // An update with a gradient that is not finite would destroy the weights.
    if (Number.isFinite(norm)) this.#optimiser.step(rate)
    else this.discard()
    return norm
  }

  /** Discards the gradients. */
  discard(): void {
    for (const gradient of this.#optimiser.grads) this.model.backend.zero(gradient)
  }

  /** The gradients since the last step, by Hugging Face name and in Hugging Face layout. */
  readGradients(): Map<string, HostTensor> {
    return readParameters(this.model.config, this.model.backend, this.#gradients)
  }

  /**
   * The mean loss over all scored tokens of the windows, in nats.
   * @param windows of tokens
   * @param signal ends it between windows
   * @throws the signal's reason if it is aborted
   */
  async loss(windows: readonly Int32Array[], signal?: AbortSignal): Promise<number> {
    let total = 0
    let scored = 0
    for (const tokens of windows) {
      const sequence = this.model.begin({ capacity: tokens.length })
      try {
        const logits = sequence.feed(tokens, 'all')
        for (const nll of negativeLogLikelihood(this.model.backend, logits, tokens)) total += nll
      } finally {
        sequence.dispose()
      }
      scored += countScored(tokens)
      await pause(signal)
    }
    return total / scored
  }

  /** The state, from which another process can resume. */
  readState(): TrainerState {
    const { config, backend, weights } = this.model
    const held = (of: 'mean' | 'square'): ReadonlyMap<string, Buffer> =>
      new Map([...weights.parameters.keys()].map((name, i) => [name, this.#optimiser.slots[i][of]]))
    return {
      step: this.steps,
      weights: readParameters(config, backend, weights.parameters),
      means: readParameters(config, backend, held('mean')),
      squares: readParameters(config, backend, held('square')),
    }
  }

  /** Resumes from a state of the same model. */
  writeState({ step, weights, means, squares }: TrainerState): void {
    const { backend } = this.model
    this.#optimiser.resumeAfter(step)
    ;[...modelParameters(this.model.config)].forEach(([name, parameter], i) => {
      const { weight, mean, square } = this.#optimiser.slots[i]
      writeParameter(backend, weight, parameter, weights.get(name) as HostTensor)
      writeParameter(backend, mean, parameter, means.get(name) as HostTensor)
      writeParameter(backend, square, parameter, squares.get(name) as HostTensor)
    })
  }

  /** Frees gradients and moments; the model stays. */
  dispose(): void {
    this.#optimiser.dispose()
  }
}

/**
 * Clips gradients in place by the norm of all of them together (Pascanu, Mikolov and Bengio 2013): if it exceeds the limit, every
 * gradient is multiplied by limit / norm, which keeps the direction. Only the norm is read from the backend.
 * @returns their norm before clipping; if it is infinite or NaN, nothing is changed
 */
export function clipGradients(backend: Backend, gradients: readonly Buffer[], limit: number): number {
  const scope = new BufferScope(backend)
  try {
    const total = scope.allocate('f32', [1])
    for (const gradient of gradients) backend.ops.sum_squares(total, gradient)
    const norm = Math.sqrt(backend.readF32(total)[0])
    if (Number.isFinite(norm) && norm > limit) {
      const factor = scope.upload(Float32Array.of(limit / norm))
      // One unit of all the numbers there are.
      for (const gradient of gradients) {
        const all = backend.view(gradient, [1, gradient.length])
        backend.ops.mask_units(all, all, factor)
      }
    }
    return norm
  } finally {
    scope.dispose()
  }
}

/**
 * A language model with all it needs to be trained, inside its backend: gradients of a batch are added up beside the
 * weights, clipped and stepped there; what comes out is a loss and a norm.
 *
 * The gradient of a batch is that of the mean loss over all its scored tokens: sequences go through one by one and each
 * adds its share. Weight decay is for matrices, the two tables among them; biases and layer norms are left alone.
 */
import type { Buffer } from '../backends/backend.ts'
import { backward } from '../engine/backward.ts'
import { readParameters, writeParameter } from '../engine/weight_layout.ts'
import { countScored, negativeLogLikelihood } from '../engine/loss.ts'
import { parameterShapes } from '../engine/names.ts'
import type { OptModel } from '../engine/opt_model.ts'
import { traceForward } from '../engine/trace.ts'
import type { HostTensor } from '../tensor/memory_source.ts'
import { AdamW } from './adamw.ts'
import { clipGradients } from './clipping.ts'
import { pause } from '../platform/pause.ts'

/** Everything that a run goes on from, by Hugging Face name and in Hugging Face layout. */
export interface TrainerState {
  /** Steps taken. */
  readonly step: number
  readonly weights: ReadonlyMap<string, HostTensor>
  /** First moments of the gradients. */
  readonly means: ReadonlyMap<string, HostTensor>
  /** Second moments of the gradients. */
  readonly squares: ReadonlyMap<string, HostTensor>
}

const betas = { beta1: 0.9, beta2: 0.95 }

/** Trains a model; the model stays its owner's. */
export class LanguageTrainer {
  readonly model: OptModel
  readonly #optimiser: AdamW
  /** Where gradients are added up, by Hugging Face name, laid out as the weights. */
  readonly #gradients: ReadonlyMap<string, Buffer>

  constructor(model: OptModel, decay: number) {
    this.model = model
    const { parameters } = model.weights
    const shapes = parameterShapes(model.config)
    const decays = [...parameters.keys()].map((name) => (shapes.get(name)?.length === 2 ? decay : 0))
    this.#optimiser = new AdamW(model.backend, [...parameters.values()], { ...betas, decay: decays })
    this.#gradients = new Map([...parameters.keys()].map((name, i) => [name, this.#optimiser.grads[i]]))
  }

  /** Steps taken, those of the state it went on from included. */
  get steps(): number {
    return this.#optimiser.steps
  }

  /**
   * Adds the gradient of the mean loss of a batch of windows; returns that loss. Other events happen between windows.
   * @throws the signal's reason if it is aborted; nothing of the batch is left then
   */
  async accumulate(windows: readonly Int32Array[], signal?: AbortSignal): Promise<number> {
    const scored = windows.reduce((sum, tokens) => sum + countScored(tokens), 0)
    let loss = 0
    try {
      for (const tokens of windows) {
        loss += this.#addShare(tokens, scored)
        await pause(signal)
      }
    } catch (error) {
      this.discard()
      throw error
    }
    return loss
  }

  /** Clips what was added and moves the weights against it; returns the norm before clipping. */
  step(rate: number, clip: number): number {
    const norm = clipGradients(this.model.backend, this.#optimiser.grads, clip)
    // Weights that are no numbers any more are of no use to anybody: they stay as they were.
    if (Number.isFinite(norm)) this.#optimiser.step(rate)
    else this.discard()
    return norm
  }

  /** Forgets what was added. */
  discard(): void {
    for (const gradient of this.#optimiser.grads) this.model.backend.zero(gradient)
  }

  /** What was added since the last step, by Hugging Face name and in Hugging Face layout. */
  readGradients(): Map<string, HostTensor> {
    return readParameters(this.model.config, this.model.backend, this.#gradients)
  }

  /** The mean loss over all scored tokens of the windows, in nats. @throws the signal's reason if it is aborted */
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

  /** All that another process needs to go on. */
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

  /** Goes on from a state of the same model. */
  writeState({ step, weights, means, squares }: TrainerState): void {
    const { backend } = this.model
    this.#optimiser.resumeAfter(step)
    ;[...this.model.weights.parameters.keys()].forEach((name, i) => {
      const { weight, mean, square } = this.#optimiser.slots[i]
      writeParameter(backend, weight, name, weights.get(name) as HostTensor)
      writeParameter(backend, mean, name, means.get(name) as HostTensor)
      writeParameter(backend, square, name, squares.get(name) as HostTensor)
    })
  }

  /** Frees gradients and moments; the model stays. */
  dispose(): void {
    this.#optimiser.dispose()
  }

  /** One window's share of gradient and loss. */
  #addShare(tokens: Int32Array, scored: number): number {
    const trace = traceForward(this.model, tokens)
    try {
      const gradients = backward(this.model, trace, tokens, { parameters: this.#gradients, scored })
      gradients.dispose()
      return gradients.loss
    } finally {
      trace.dispose()
    }
  }
}

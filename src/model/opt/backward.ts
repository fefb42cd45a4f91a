/**
 * The backward pass of OPT: gradients of the loss with respect to every activation a criterion asks for and, when
 * wanted, every parameter.
 *
 * Parameter gradients have the names and the layout of Hugging Face, out_proj and fc2 included.
 *
 * As in PyTorch, the row of the padding id in the token table receives nothing from the embedding; where the head is
 * tied it still receives its share as an output row.
 */
import type { Buffer } from '../../backends/backend.ts'
import { BufferScope } from '../../backends/buffer_scope.ts'
import { dot } from '../../ops/float32.ts'
import { UsageError } from '../../tensor/errors.ts'
import { BackwardRun, type BlockGradients } from './backward_run.ts'
import { countScored, meanLoss } from './loss.ts'
import type { OptModel } from './opt_model.ts'
import type { Trace } from './trace.ts'

/** What to take gradients of, and of what mean. */
export interface BackwardOptions {
  /** Also take gradients of every parameter. Default: activations only. */
  readonly parameters?: boolean
  /**
   * How many positions the mean of the loss is over. Default: those scored in this sequence; in a batch, those scored
   * in all of it, and then losses and gradients of the sequences add up to the batch's.
   */
  readonly scored?: number
}

/**
 * Gradients of the mean loss of one traced sequence. Give them back with `dispose`.
 * @param labels [T], the sequence's own tokens or -100 where a position is not scored; the shift happens inside
 * @throws UsageError TRACE for another model's trace, LABELS for another length or nothing scored, INDEX_RANGE for a
 *   label outside the vocabulary
 */
export function backward(
  model: OptModel,
  trace: Trace,
  labels: Int32Array,
  options: BackwardOptions = {},
): Gradients {
  if (trace.model !== model)
    throw new UsageError('TRACE', "trace: expected one of this model, got another model's")
  if (labels.length !== trace.length)
    throw new UsageError('LABELS', `labels: expected ${trace.length}, got ${labels.length}`)
  return new Gradients(trace, labels, options)
}

/** Gradients of the loss. Every reader returns a host copy. */
export class Gradients {
  /** Mean negative log-likelihood over the scored positions, in nats. */
  readonly loss: number
  /** Of each position, 0 where not scored: [T]. */
  readonly nll: Float32Array
  /** By Hugging Face name, in Hugging Face layout; empty unless asked for. */
  readonly parameters: ReadonlyMap<string, Float32Array>
  readonly #trace: Trace
  readonly #scope: BufferScope
  readonly #blocks: readonly BlockGradients[] // [L]

  /** See `backward`. */
  constructor(trace: Trace, labels: Int32Array, options: BackwardOptions) {
    this.#trace = trace
    this.#scope = new BufferScope(trace.model.backend)
    const run = new BackwardRun(trace, this.#scope, options.parameters ?? false)
    try {
      const scored = options.scored ?? countScored(labels)
      this.nll = run.score(labels)
      this.loss = meanLoss(this.nll, scored)
      this.#blocks = run.propagate(labels, scored)
      this.parameters = run.readParameters()
    } catch (error) {
      this.#scope.dispose()
      throw error
    } finally {
      run.dispose()
    }
  }

  /** d loss / d head outputs (before any mask), heads side by side: [T, D]. */
  headOut(layer: number): Float32Array {
    return this.#read(this.#block(layer).context)
  }

  /** d loss / d activations after ReLU (before any mask): [T, F]. Not zero where the activation is. */
  fc1Act(layer: number): Float32Array {
    return this.#read(this.#block(layer).activation)
  }

  /** d loss / d fc1's output before ReLU: [T, F]. */
  fc1Pre(layer: number): Float32Array {
    return this.#read(this.#block(layer).preActivation)
  }

  /** d loss / d mask of each head, at the mask of the trace (1 if it had none): [H]. */
  headMask(layer: number): Float32Array {
    const { heads, headSize } = this.#trace.model.config
    return perUnit(this.#trace.headOut(layer), this.#read(this.#block(layer).maskedContext), heads, headSize)
  }

  /** d loss / d mask of each neuron, at the mask of the trace (1 if it had none): [F]. */
  neuronMask(layer: number): Float32Array {
    const { neurons } = this.#trace.model.config
    return perUnit(this.#trace.fc1Act(layer), this.#read(this.#block(layer).maskedActivation), neurons, 1)
  }

  /** Frees the gradients. Safe to call twice. The trace stays. */
  dispose(): void {
    this.#scope.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  #block(layer: number): BlockGradients {
    const block = this.#blocks[layer]
    if (!block) throw new UsageError('LAYER', `layer: expected 0 to ${this.#blocks.length - 1}, got ${layer}`)
    return block
  }

  #read(buffer: Buffer): Float32Array {
    return this.#trace.model.backend.readF32(buffer)
  }
}

/** Sum over tokens of <a[t, u], g[t, u]>: striped over K, sequential over t. */
function perUnit(a: Float32Array, g: Float32Array, units: number, K: number): Float32Array {
  const sums = new Float32Array(units) // [U]
  for (let start = 0; start < a.length; start += units * K)
    for (let u = 0; u < units; u++) sums[u] += dot(a, start + u * K, g, start + u * K, K)
  return sums
}

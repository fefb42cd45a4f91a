/**
 * The backward pass: gradients of the loss with respect to every activation a criterion asks for and, when
 * wanted, every parameter.
 *
 * Gradients of parameters are added to buffers that stand beside the weights, in the layout weights are held in: a
 * trainer gives its own and nothing leaves the backend; without, there are some for this one sequence, and they are read,
 * with the names and in the layout of Hugging Face, out_proj and fc2 included.
 *
 * As in PyTorch, the row of the padding id in the token table receives nothing from the embedding; where the head is
 * tied it still receives its share as an output row.
 */
import type { Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { MAX_GRADIENT_CONTEXT } from '../ops/attention.ts'
import { UsageError } from '../tensor/errors.ts'
import type { HostTensor } from '../tensor/memory_source.ts'
import { BackwardRun, type LayerGradients } from './backward_run.ts'
import { checkParameters, readParameters, zeroParameters } from './weight_layout.ts'
import { countScored, meanLoss } from './loss.ts'
import type { LanguageModel } from './language_model.ts'
import { storageNamed, storages } from './storages/index.ts'
import type { Trace } from './trace.ts'

/** What to take gradients of, and of what mean. */
export interface BackwardOptions {
  /**
   * Also take gradients of every parameter: `true` reads them, buffers by Hugging Face name are added to and not read.
   * Default: activations only.
   */
  readonly parameters?: boolean | ReadonlyMap<string, Buffer>
  /**
   * How many positions the mean of the loss is over. Default: those scored in this sequence; in a batch, those scored
   * in all of it, and then losses and gradients of the sequences add up to the batch's.
   */
  readonly scored?: number
  /**
   * The gradient of another loss with respect to the logits: [T, V]. Default: that of the mean negative log-likelihood.
   * `loss` and `nll` stay those of the labels.
   */
  readonly logitsGradient?: Float32Array
}

/** Refuses a model whose weights have no gradients. @param asker what needs them, in errors @throws UsageError STORAGE */
export function expectGradients({ weights }: LanguageModel, asker: string): void {
  const exact = storages.filter((name) => !storageNamed(name).roundsActivations)
  if (exact.includes(weights.storage)) return
  throw new UsageError(
    'STORAGE',
    `${asker}: expected weights in ${exact.join(', ')}, which have gradients, got ${weights.storage}; --storage f32 or { storage: 'f32' } widens them`,
  )
}

/**
 * Gradients of the mean loss of one text by its activations and, if asked for, by the parameters. `traceForward` runs the text first
 * and shows both calls. Give the gradients back with `dispose`.
 * @param labels [T], the sequence's own tokens or -100 where a position is not scored; the shift happens inside
 * @throws UsageError CONTEXT_LENGTH for a trace of more than 8,192 tokens, its prompt included, TRACE for another model's trace, and for gradients of parameters after a prompt, to which they would not reach; STORAGE for int8 weights, LABELS for another length or nothing scored, INDEX_RANGE for a
 *   label outside the vocabulary, LOGITS for a gradient of another size, PARAMETERS for accumulators that are not there or not
 *   of their parameter's shape
 * @specified `gradients`
 */
export function backward(
  model: LanguageModel,
  trace: Trace,
  labels: Int32Array,
  options: BackwardOptions = {},
): Gradients {
  if (trace.model !== model)
    throw new UsageError('TRACE', "trace: expected one of this model, got another model's")
  const length = trace.past + trace.length
  if (length > MAX_GRADIENT_CONTEXT)
    throw new UsageError(
      'CONTEXT_LENGTH',
      `trace: expected at most ${MAX_GRADIENT_CONTEXT} tokens to take gradients of, got ${length}`,
    )
  if (trace.past > 0 && options.parameters)
    throw new UsageError(
      'TRACE',
      `gradients of parameters: expected the trace of a whole text, got one after ${trace.past} tokens`,
    )
  expectGradients(model, 'gradients')
  if (labels.length !== trace.length)
    throw new UsageError('LABELS', `labels: expected ${trace.length}, got ${labels.length}`)
  const { logitsGradient } = options
  const logits = trace.length * model.config.vocabulary
  if (logitsGradient && logitsGradient.length !== logits)
    throw new UsageError(
      'LOGITS',
      `logits gradient: expected ${logits} numbers, got ${logitsGradient.length}`,
    )
  return new Gradients(trace, labels, options)
}

/** Gradients of the loss. Every reader returns a host copy; `layer` counts from 0. */
export class Gradients {
  /** Mean negative log-likelihood over the scored positions, in nats. */
  readonly loss: number
  /** The negative log-likelihood of each position, 0 where not scored: [T]. */
  readonly nll: Float32Array
  /** By Hugging Face name, in Hugging Face layout; empty unless `parameters` was `true`. */
  readonly parameters: ReadonlyMap<string, Float32Array>
  readonly #trace: Trace
  readonly #scope: BufferScope
  readonly #layers: readonly LayerGradients[] // [L]

  /** See `backward`. */
  constructor(trace: Trace, labels: Int32Array, options: BackwardOptions) {
    this.#trace = trace
    this.#scope = new BufferScope(trace.model.backend)
    const { backend, config } = trace.model
    const own = new BufferScope(backend)
    try {
      const read = options.parameters === true
      const given = typeof options.parameters === 'object' ? options.parameters : null
      if (given) checkParameters(config, given)
      const into = read ? zeroParameters(config, own) : given
      const run = new BackwardRun(trace, this.#scope, own, into)
      const scored = options.scored ?? countScored(labels)
      this.nll = run.score(labels)
      this.loss = meanLoss(this.nll, scored)
      this.#layers = run.propagate(labels, scored, options.logitsGradient)
      this.parameters = into && read ? valuesOf(readParameters(config, backend, into)) : new Map()
    } catch (error) {
      this.#scope.dispose()
      throw error
    } finally {
      own.dispose()
    }
  }

  /** d loss / d head outputs (before any mask), heads side by side: [T, H K]. */
  headOut(layer: number): Float32Array {
    return this.#read(this.#layer(layer).context)
  }

  /** d loss / d activations (before any mask): [T, F]. Not zero where the activation is. */
  fc1Act(layer: number): Float32Array {
    return this.#read(this.#layer(layer).activation)
  }

  /**
   * d loss / d head outputs after the mask: [T, H K]. Not zero where the mask is: what the loss would do if a skipped head
   * were switched on. The same as `headOut` where the trace had no mask.
   */
  maskedHeadOut(layer: number): Float32Array {
    return this.#read(this.#layer(layer).maskedContext)
  }

  /** d loss / d activations after the mask: [T, F]; see `maskedHeadOut`. */
  maskedFc1Act(layer: number): Float32Array {
    return this.#read(this.#layer(layer).maskedActivation)
  }

  /** d loss / d fc1's output before the activation function: [T, F]. */
  fc1Pre(layer: number): Float32Array {
    return this.#read(this.#layer(layer).preActivation)
  }

  /** Frees the gradients. Safe to call twice. The trace stays. */
  dispose(): void {
    this.#scope.dispose()
  }

  /** As `dispose`. */
  [Symbol.dispose](): void {
    this.dispose()
  }

  #layer(layer: number): LayerGradients {
    const own = this.#layers[layer]
    if (!own) throw new UsageError('LAYER', `layer: expected 0 to ${this.#layers.length - 1}, got ${layer}`)
    return own
  }

  #read(buffer: Buffer): Float32Array {
    return this.#trace.model.backend.readF32(buffer)
  }
}

function valuesOf(tensors: ReadonlyMap<string, HostTensor>): Map<string, Float32Array> {
  return new Map([...tensors].map(([name, { values }]) => [name, values]))
}

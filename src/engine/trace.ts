/**
 * A forward pass that keeps everything the backward pass and the criteria look at.
 *
 * It runs the same steps as a sequence, in the same order, so its numbers are the same bits; only its buffers are fresh
 * for each layer. A mask is simulated (multiplied), never skipped: derivatives with respect to a mask need what a
 * skipped unit would have computed.
 *
 * A trace may begin after a prompt that another trace has run: then it runs the tokens that follow, over the keys and values
 * of the prompt, as a sequence does whose prompt runs dense.
 */
import type { Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import type { UnitMask } from '../masks/mask.ts'
import { UsageError } from '../tensor/errors.ts'
import {
  attend,
  embed,
  feedForward,
  finish,
  logitsOf,
  project,
  type BlockBuffers,
  type Pass,
} from './forward.ts'
import { activateBlock, denseBlock, type ActiveBlock } from './active_block.ts'
import { contextWidth } from './config.ts'
import type { LanguageModel } from './language_model.ts'
import { checkMask, layerMask, type LayerUnits } from './unit_lists.ts'

/** One layer of a trace. */
export interface TracedBlock {
  readonly buffers: BlockBuffers
  /** Keys and values in float32, those of a prompt before the trace included. */
  readonly cache: Readonly<Record<'key' | 'value', Buffer>> // [G, S, K]
  readonly units: LayerUnits
}

/** What a trace may be run under. */
export interface TraceOptions {
  /** Multiplied into the heads' outputs and the activations; any numbers. */
  readonly mask?: UnitMask | null
  /** The prompt that comes before: so many of the first tokens of another trace. Its activations are kept there. */
  readonly after?: { readonly trace: Trace; readonly length: number }
}

/** What `backward` reads of the ends of a pass. */
export interface TracedEnds {
  readonly tokens: Buffer // [T] i32
  readonly embedded: Buffer | null // [T, E], only with project_in
  readonly embeddings: Buffer // [T, D]
  readonly normed: Buffer | null // [T, D], only with a final norm
  readonly last: Buffer // [T, E], what the head reads
  readonly logits: Buffer // [T, V]
}

/**
 * Runs one unpadded sequence and keeps its activations. Give the trace back with `dispose`.
 * @param tokens [T], at least one: those after the prompt, if one comes before
 * @throws UsageError TOKENS, CONTEXT_LENGTH, MASK_SHAPE, TRACE for a prompt of another model or of more tokens than its trace, TRACE_SPLIT for a model that is held in several backends
 */
export function traceForward(model: LanguageModel, tokens: Int32Array, options: TraceOptions = {}): Trace {
  return new Trace(model, tokens, options)
}

/** The activations of one pass. Every reader returns a host copy. */
export class Trace {
  readonly model: LanguageModel
  readonly tokens: Int32Array // [T]
  readonly pass: Pass
  /** Tokens before the trace. */
  readonly past: number
  readonly blocks: readonly TracedBlock[] // [L]
  readonly ends: TracedEnds
  readonly #scope: BufferScope
  readonly #active: ActiveBlock[] = []

  /** See `traceForward`. */
  constructor(model: LanguageModel, tokens: Int32Array, { mask = null, after }: TraceOptions) {
    const past = after ? after.length : 0
    if (after) checkPrompt(model, after)
    model.checkTokens(tokens, past)
    if (model.weights.blocks.some(({ backend }) => backend !== model.backend))
      throw new UsageError(
        'TRACE_SPLIT',
        'model: expected one whose blocks are all in one backend, got one in several; load it in fewer bits, or with more bytesPerBackend',
      )
    if (mask) checkMask(mask, model.shape)
    const { backend, config } = model
    const T = tokens.length
    this.model = model
    this.tokens = tokens.slice()
    this.past = past
    this.pass = { backend, config, T, past, angles: model.angleRows(backend, past, T) }
    this.#scope = new BufferScope(backend)
    try {
      const start = this.#embed()
      this.blocks = this.#runBlocks(start.embeddings, mask, after?.trace ?? null)
      this.ends = { ...start, ...this.#finish() }
    } catch (error) {
      this.dispose()
      throw error
    }
  }

  /** T. */
  get length(): number {
    return this.tokens.length
  }

  /** Logits of every position: [T, V]. */
  logits(): Float32Array {
    return this.#read(this.ends.logits)
  }

  /** The stream in Hugging Face's order: 0 the embeddings, l after block l; L after the final norm and projection. */
  hidden(index: number): Float32Array {
    if (index === this.model.config.layers) return this.#read(this.ends.last) // [T, E]
    return this.#read(this.#block(index).buffers.input) // [T, D]
  }

  /** softmax(QK)V before the output matrix and before any mask, heads side by side: [T, H K]. */
  headOut(layer: number): Float32Array {
    return this.#read(this.#block(layer).buffers.context)
  }

  /** Queries, rotated and not yet scaled: [T, H, K]. */
  query(layer: number): Float32Array {
    return this.#read(this.#block(layer).buffers.query)
  }

  /** Keys, rotated, head-major, those of a prompt before the trace included: [G, S, K]. */
  key(layer: number): Float32Array {
    return this.#read(this.#block(layer).cache.key)
  }

  /** Values, head-major, those of a prompt before the trace included: [G, S, K]. */
  value(layer: number): Float32Array {
    return this.#read(this.#block(layer).cache.value)
  }

  /** fc1's output before the activation function; that of the gate in a gated block: [T, F]. */
  fc1Pre(layer: number): Float32Array {
    return this.#read(this.#block(layer).buffers.preActivation)
  }

  /** Activations of the neurons before any mask: [T, F]. */
  fc1Act(layer: number): Float32Array {
    return this.#read(this.#block(layer).buffers.activation)
  }

  /** What fc1 reads, the output of its norm: [T, D]. */
  fc1Input(layer: number): Float32Array {
    return this.#read(this.#block(layer).buffers.ffnInput)
  }

  /** Frees the activations. Safe to call twice. */
  dispose(): void {
    for (const active of this.#active) active.dispose()
    this.#scope.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  #block(layer: number): TracedBlock {
    const block = this.blocks[layer]
    if (!block) throw new UsageError('LAYER', `layer: expected 0 to ${this.blocks.length - 1}, got ${layer}`)
    return block
  }

  #read(buffer: Buffer): Float32Array {
    return this.model.backend.readF32(buffer)
  }

  #embed(): Pick<TracedEnds, 'tokens' | 'embedded' | 'embeddings'> {
    const { model, pass } = this
    const { T } = pass
    const { width: D, embeddingWidth: E } = model.config
    const tokens = this.#scope.upload(this.tokens)
    const embedded = E === D ? null : this.#scope.allocate('f32', [T, E])
    const position = this.#scope.allocate('f32', [T, D])
    const embeddings = this.#scope.allocate('f32', [T, D])
    embed(pass, model.weights, tokens, model.positionRows(pass.past, T), {
      embedded,
      position,
      output: embeddings,
    })
    return { tokens, embedded, embeddings }
  }

  #runBlocks(embeddings: Buffer, mask: UnitMask | null, prompt: Trace | null): TracedBlock[] {
    const { pass } = this
    const S = pass.past + pass.T
    const { layers, keyHeads: G, headSize: K } = this.model.config
    const blocks: TracedBlock[] = []
    let stream = embeddings
    for (let layer = 0; layer < layers; layer++) {
      const active = this.#activate(layer, mask)
      const buffers = this.#allocateBlock(stream, mask)
      const cache = {
        key: this.#cacheAfter(prompt?.key(layer), [G, S, K]),
        value: this.#cacheAfter(prompt?.value(layer), [G, S, K]),
      }
      attend(pass, active, cache, buffers, false)
      project(pass, active, buffers)
      feedForward(pass, active, buffers)
      blocks.push({ buffers, cache, units: active.units })
      stream = buffers.output
    }
    return blocks
  }

  /** Room for keys or values of S tokens, those of the prompt in it. @param prompt [G, S', K] */
  #cacheAfter(prompt: Float32Array | undefined, [G, S, K]: readonly [number, number, number]): Buffer {
    if (!prompt) return this.#scope.allocate('f32', [G, S, K])
    const rows = new Float32Array(G * S * K)
    const stride = prompt.length / G
    for (let g = 0; g < G; g++) rows.set(prompt.subarray(g * stride, g * stride + this.past * K), g * S * K)
    return this.#scope.upload(rows, [G, S, K])
  }

  #activate(layer: number, mask: UnitMask | null): ActiveBlock {
    const { config, weights } = this.model
    if (!mask) return denseBlock(weights.blocks[layer], config)
    const hints = {
      mode: 'simulate',
      T: this.length,
      steps: 0,
      changes: false,
      packsHeads: false,
    } as const
    const active = activateBlock(weights.blocks[layer], config, layerMask(mask, layer), hints)
    this.#active.push(active)
    return active
  }

  #allocateBlock(stream: Buffer, mask: UnitMask | null): BlockBuffers {
    const { config } = this.model
    const { width: D, neurons: F, keyHeads: G, headSize: K, preNorm, gated } = config
    const { T } = this.pass
    const rows = (width: number): Buffer => this.#scope.allocate('f32', [T, width])
    const wide = (): Buffer => rows(D)
    const context = rows(contextWidth(config))
    const middle = wide()
    const output = wide()
    const hidden = (): Buffer => rows(F)
    const activation = hidden()
    return {
      input: stream,
      attentionInput: preNorm ? wide() : stream,
      query: rows(contextWidth(config)),
      key: rows(G * K),
      value: rows(G * K),
      context,
      maskedContext: mask ? rows(contextWidth(config)) : context,
      branch: wide(),
      attentionSum: preNorm ? middle : wide(),
      middle,
      ffnInput: preNorm ? wide() : middle,
      preActivation: hidden(),
      up: gated ? hidden() : null,
      activation,
      maskedActivation: mask ? hidden() : activation,
      ffnSum: preNorm ? output : wide(),
      output,
    }
  }

  #finish(): Pick<TracedEnds, 'normed' | 'last' | 'logits'> {
    const { pass } = this
    const { T } = pass
    const { config, weights } = this.model
    const { width: D, embeddingWidth: E, vocabulary: V } = config
    const stream = this.blocks[this.blocks.length - 1].buffers.output
    const normed = config.finalNorm ? this.#scope.allocate('f32', [T, D]) : null
    const projected = E === D ? null : this.#scope.allocate('f32', [T, E])
    const last = finish(pass, weights, stream, { normed, projected })
    const logits = this.#scope.allocate('f32', [T, V])
    logitsOf(pass, weights, logits, last)
    return { normed, last, logits }
  }
}

/** @throws UsageError TRACE */
function checkPrompt(model: LanguageModel, { trace, length }: NonNullable<TraceOptions['after']>): void {
  if (trace.model !== model)
    throw new UsageError('TRACE', "trace: expected one of this model, got another model's")
  if (trace.past > 0 || !Number.isInteger(length) || length < 1 || length > trace.length)
    throw new UsageError(
      'TRACE',
      `trace: expected a prompt of 1 to ${trace.length} tokens from the start of a text, got ${length} tokens after ${trace.past}`,
    )
}

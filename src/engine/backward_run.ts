/**
 * The steps of the backward pass, from the loss to the embeddings, as ops of the catalogue.
 *
 * Every gradient of a linear layer is another op of the catalogue on the same matrix: through a row-major matrix back
 * goes linear_input_major, through an input-major one back goes linear; and a weight's gradient lies as the weight does,
 * so of an input-major one it is taken with input and output exchanged. The gradient of the stream lives in one place
 * and is moved block by block; what criteria look at is kept, everything else is scratch.
 */
import type { Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { attentionScale, EPSILON } from './forward.ts'
import { isInputMajor } from './weight_layout.ts'
import { shiftLabels, unshiftScores } from './loss.ts'
import { applyInputs, applyRows } from './matrix.ts'
import { moduleName, names, POSITION_OFFSET, type modules } from './names.ts'
import type { Trace, TracedBlock } from './trace.ts'
import { every } from './unit_lists.ts'
import type { Affine, BlockWeights } from './weights.ts'

/** What is kept of one layer. Where the trace had no mask, masked and unmasked are the same buffer. */
export interface BlockGradients {
  readonly context: Buffer // [T, D] of the heads' outputs before the mask
  readonly maskedContext: Buffer // [T, D] after it
  readonly preActivation: Buffer // [T, F]
  readonly activation: Buffer // [T, F] before the mask
  readonly maskedActivation: Buffer // [T, F] after it
}

/** One run of the backward pass: its temporaries, and where it adds. */
export class BackwardRun {
  readonly #trace: Trace
  /** Of what outlives the run. */
  readonly #kept: BufferScope
  /** Of what does not. */
  readonly #scope: BufferScope
  /** Gradient accumulators by Hugging Face name, laid out as the weights; null if only activations are wanted. */
  readonly #parameters: ReadonlyMap<string, Buffer> | null
  /** d loss / d stream at the point reached so far: [T, D]. */
  #stream: Buffer
  #branch: Buffer // [T, D]
  #term: Buffer // [T, D]

  constructor(
    trace: Trace,
    kept: BufferScope,
    scope: BufferScope,
    parameters: ReadonlyMap<string, Buffer> | null,
  ) {
    this.#trace = trace
    this.#kept = kept
    this.#scope = scope
    this.#parameters = parameters
    const wide = trace.length * trace.model.config.width
    this.#stream = this.#scope.allocate(wide)
    this.#branch = this.#scope.allocate(wide)
    this.#term = this.#scope.allocate(wide)
  }

  /** Negative log-likelihood of each position. */
  score(labels: Int32Array): Float32Array {
    const { backend } = this.#kept
    const { logits } = this.#trace.ends
    const scope = new BufferScope(backend)
    try {
      const scores = scope.allocate(labels.length)
      const targets = scope.upload(shiftLabels(labels))
      backend.ops.cross_entropy(scores, logits, targets, labels.length, this.#trace.model.config.vocabulary)
      return unshiftScores(backend.readF32(scores))
    } finally {
      scope.dispose()
    }
  }

  /** From the loss down to the embeddings. */
  propagate(labels: Int32Array, scored: number): BlockGradients[] {
    const { blocks, model } = this.#trace
    this.#fromLoss(labels, scored)
    const gradients: BlockGradients[] = []
    for (let layer = blocks.length - 1; layer >= 0; layer--) {
      const block = blocks[layer]
      const weights = model.weights.blocks[layer]
      const ffn = this.#feedForward(layer, block, weights)
      gradients[layer] = { ...ffn, ...this.#attention(layer, block, weights) }
    }
    this.#embedding()
    return gradients
  }

  /** The loss, the head, the projection and the final norm: leaves the gradient of the last block's stream. */
  #fromLoss(labels: Int32Array, scored: number): void {
    const { ends, length: T, model, blocks } = this.#trace
    const { backend, weights, config } = model
    const { width: D, embeddingWidth: E, vocabulary: V } = config
    const scope = new BufferScope(backend)
    try {
      const logitsGrad = scope.allocate(T * V)
      const each = scope.upload(new Float32Array(T).fill(1 / scored))
      backend.ops.cross_entropy_backward(
        logitsGrad,
        each,
        ends.logits,
        scope.upload(shiftLabels(labels)),
        T,
        V,
      )
      this.#weightGradient(config.tied ? names.tokenTable : names.head, logitsGrad, ends.last, V, E)
      const narrow = weights.projectOut ? scope.allocate(T * E) : this.#stream
      applyInputs(backend, narrow, logitsGrad, weights.head, null, every(V), T, E, V)
      const last = blocks[blocks.length - 1].buffers.output
      if (weights.projectOut) {
        this.#weightGradient(names.projectOut, narrow, ends.normed ?? last, E, D)
        applyInputs(backend, this.#stream, narrow, weights.projectOut, null, every(E), T, D, E)
      }
      if (weights.finalNorm) this.#normStream(names.finalNorm, weights.finalNorm, last)
    } finally {
      scope.dispose()
    }
  }

  /** The feed-forward half; the stream's gradient moves from the block's end to its middle. */
  #feedForward(
    layer: number,
    { buffers, units }: TracedBlock,
    weights: BlockWeights,
  ): Pick<BlockGradients, 'preActivation' | 'activation' | 'maskedActivation'> {
    const { length: T, model } = this.#trace
    const { backend } = model
    const { ops } = backend
    const { width: D, neurons: F, preNorm } = model.config
    const wide = (): Buffer => this.#kept.allocate(T * F)
    if (!preNorm) this.#normStream(moduleName(layer, 'ffnNorm'), weights.ffnNorm, buffers.ffnSum)
    this.#affineGradient(layer, 'fc2', this.#stream, buffers.maskedActivation, D, F)
    const maskedActivation = wide()
    applyRows(backend, maskedActivation, this.#stream, weights.fc2, null, every(F), T, F, D)
    const activation = units.neuronFactors ? wide() : maskedActivation
    if (units.neuronFactors) ops.mask_units(activation, maskedActivation, units.neuronFactors, T, F, 1)
    const preActivation = wide()
    ops.relu_backward(preActivation, activation, buffers.preActivation, T * F)
    this.#affineGradient(layer, 'fc1', preActivation, buffers.ffnInput, F, D)
    applyInputs(backend, this.#branch, preActivation, weights.fc1, null, every(F), T, D, F)
    if (preNorm) this.#normBranch(moduleName(layer, 'ffnNorm'), weights.ffnNorm, buffers.middle)
    ops.add(this.#stream, this.#stream, this.#branch, T * D)
    return { preActivation, activation, maskedActivation }
  }

  /** The attention half; the stream's gradient moves from the block's middle to its start. */
  #attention(
    layer: number,
    { buffers, units, cache }: TracedBlock,
    weights: BlockWeights,
  ): Pick<BlockGradients, 'context' | 'maskedContext'> {
    const { length: T, model } = this.#trace
    const { backend } = model
    const { ops } = backend
    const { width: D, heads: H, headSize: K, preNorm } = model.config
    const normName = moduleName(layer, 'attentionNorm')
    if (!preNorm) this.#normStream(normName, weights.attentionNorm, buffers.attentionSum)
    this.#affineGradient(layer, 'out', this.#stream, buffers.maskedContext, D, D)
    const maskedContext = this.#kept.allocate(T * D)
    applyRows(backend, maskedContext, this.#stream, weights.out, null, every(D), T, D, D)
    const context = units.headFactors ? this.#kept.allocate(T * D) : maskedContext
    if (units.headFactors) ops.mask_units(context, maskedContext, units.headFactors, T, H, K)
    this.#queryKeyValue(layer, { buffers, units, cache }, weights, context)
    if (preNorm) this.#normBranch(normName, weights.attentionNorm, buffers.input)
    ops.add(this.#stream, this.#stream, this.#branch, T * D)
    return { context, maskedContext }
  }

  /** From the heads' outputs to what q, k and v read; the sum of the three is left in the branch buffer. */
  #queryKeyValue(
    layer: number,
    { buffers, cache }: TracedBlock,
    weights: BlockWeights,
    context: Buffer,
  ): void {
    const { length: T, model } = this.#trace
    const { backend, config } = model
    const { width: D, heads: H, headSize: K } = config
    const scope = new BufferScope(backend)
    try {
      const query = scope.allocate(T * D)
      const key = scope.allocate(T * D)
      const value = scope.allocate(T * D)
      const scale = attentionScale(config)
      backend.ops.attention_backward(
        query,
        key,
        value,
        context,
        buffers.query,
        cache.key.numbers,
        cache.value.numbers,
        scale,
        T,
        T,
        H,
        K,
      )
      const input = buffers.attentionInput
      this.#affineGradient(layer, 'query', query, input, D, D)
      this.#affineGradient(layer, 'key', key, input, D, D)
      this.#affineGradient(layer, 'value', value, input, D, D)
      applyInputs(backend, this.#branch, query, weights.query, null, every(D), T, D, D)
      applyInputs(backend, this.#term, key, weights.key, null, every(D), T, D, D)
      backend.ops.add(this.#branch, this.#branch, this.#term, T * D)
      applyInputs(backend, this.#term, value, weights.value, null, every(D), T, D, D)
      backend.ops.add(this.#branch, this.#branch, this.#term, T * D)
    } finally {
      scope.dispose()
    }
  }

  /** The tables and the projection into the model's width. */
  #embedding(): void {
    if (this.#parameters === null) return
    const { ends, length: T, model, tokens } = this.#trace
    const { backend, weights, config } = model
    const { width: D, embeddingWidth: E, vocabulary: V, padId } = config
    const positions = model.positionRows(0, T)
    const positionTable = this.#parameters.get(names.positionTable) as Buffer
    backend.ops.embedding_backward(
      positionTable,
      this.#stream,
      positions,
      T,
      config.positions + POSITION_OFFSET,
      D,
    )
    let token = this.#stream
    if (weights.projectIn && ends.embedded) {
      this.#weightGradient(names.projectIn, this.#stream, ends.embedded, D, E)
      token = this.#scope.allocate(T * E)
      applyInputs(backend, token, this.#stream, weights.projectIn, null, every(D), T, E, D)
    }
    const nothing = new Float32Array(E)
    tokens.forEach((id, t) => {
      if (id === padId) backend.write(token, nothing, t * E)
    })
    const tokenTable = this.#parameters.get(names.tokenTable) as Buffer
    backend.ops.embedding_backward(tokenTable, token, ends.tokens, T, V, E)
  }

  /** The stream's gradient goes back through a layer norm that stands on the stream. */
  #normStream(name: string, weights: Affine, input: Buffer): void {
    const passed = this.#norm(name, weights, input, this.#stream)
    this.#term = this.#stream
    this.#stream = passed
  }

  /** The branch's gradient goes back through the layer norm at its start. */
  #normBranch(name: string, weights: Affine, input: Buffer): void {
    const passed = this.#norm(name, weights, input, this.#branch)
    this.#term = this.#branch
    this.#branch = passed
  }

  /** Writes the gradient of a layer norm's input into the spare buffer and returns that. */
  #norm(name: string, { weight }: Affine, input: Buffer, yGrad: Buffer): Buffer {
    const { length: T, model } = this.#trace
    const { width: D } = model.config
    const weightGrad = this.#parameters?.get(`${name}.weight`) ?? null
    const biasGrad = this.#parameters?.get(`${name}.bias`) ?? null
    const { ops } = model.backend
    ops.layer_norm_backward(this.#term, weightGrad, biasGrad, yGrad, input, weight, EPSILON, T, D)
    return this.#term
  }

  /** weight ([O, I] or, held input-major, [I, O]) and bias [O] of a block's linear layer, from the gradient of its output [T, O] and its input. */
  #affineGradient(
    layer: number,
    module: keyof typeof modules,
    yGrad: Buffer,
    x: Buffer,
    O: number,
    I: number,
  ): void {
    const name = moduleName(layer, module)
    if (isInputMajor(`${name}.weight`)) this.#weightGradient(`${name}.weight`, x, yGrad, I, O)
    else this.#weightGradient(`${name}.weight`, yGrad, x, O, I)
    const bias = this.#parameters?.get(`${name}.bias`)
    if (bias) this.#trace.model.backend.ops.linear_backward_bias(bias, yGrad, null, this.#trace.length, O, O)
  }

  #weightGradient(name: string, yGrad: Buffer, x: Buffer, O: number, I: number): void {
    const weight = this.#parameters?.get(name)
    if (weight)
      this.#trace.model.backend.ops.linear_backward_weight(
        weight,
        yGrad,
        x,
        null,
        this.#trace.length,
        O,
        I,
        O,
      )
  }
}

/**
 * The steps of the backward pass, from the loss to the embeddings, as ops of the catalogue.
 *
 * Every gradient of a linear layer is another op of the catalogue on the same matrix: through a row-major matrix back
 * goes linear_input_major, through an input-major one back goes linear; and a weight's gradient lies as the weight does,
 * so of an input-major one it is taken with input and output exchanged. The gradient of the stream lives in one place
 * and is moved block by block; what criteria look at is kept, everything else is scratch.
 *
 * Where a prompt came before the trace, its keys and values are constants: nothing is passed on to the prompt.
 */
import type { Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { contextWidth } from './config.ts'
import { attentionScale } from './forward.ts'
import { shiftLabels, unshiftScores } from './loss.ts'
import { moduleName, namesOf, readsUnits, type Module } from './names.ts'
import type { Trace, TracedBlock } from './trace.ts'
import type { Affine, BlockWeights } from './weights.ts'

/** What is kept of one layer. Where the trace had no mask, masked and unmasked are the same buffer. */
export interface BlockGradients {
  readonly context: Buffer // [T, H K] of the heads' outputs before the mask
  readonly maskedContext: Buffer // [T, H K] after it
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
    this.#stream = this.#wide(this.#scope)
    this.#branch = this.#wide(this.#scope)
    this.#term = this.#wide(this.#scope)
  }

  /** Negative log-likelihood of each position. */
  score(labels: Int32Array): Float32Array {
    const { backend } = this.#kept
    const { logits } = this.#trace.ends
    const scope = new BufferScope(backend)
    try {
      const scores = scope.allocate('f32', [labels.length])
      backend.ops.cross_entropy(scores, logits, scope.upload(shiftLabels(labels)))
      return unshiftScores(backend.readF32(scores))
    } finally {
      scope.dispose()
    }
  }

  /** From the loss down to the embeddings. @param given the gradient of the logits, in place of that of the labels: [T, V] */
  propagate(labels: Int32Array, scored: number, given?: Float32Array): BlockGradients[] {
    const { blocks, model } = this.#trace
    this.#fromLoss(labels, scored, given)
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
  #fromLoss(labels: Int32Array, scored: number, given?: Float32Array): void {
    const { ends, length: T, model, blocks } = this.#trace
    const { backend, weights, config } = model
    const { ops } = backend
    const { embeddingWidth: E, vocabulary: V } = config
    const names = namesOf(config)
    const scope = new BufferScope(backend)
    try {
      const logitsGrad = given ? scope.upload(given, [T, V]) : scope.allocate('f32', [T, V])
      if (!given) {
        const each = scope.upload(new Float32Array(T).fill(1 / scored))
        ops.cross_entropy_backward(logitsGrad, each, ends.logits, scope.upload(shiftLabels(labels)))
      }
      this.#weightGradient(config.tied ? names.tokenTable : names.head, logitsGrad, ends.last)
      const narrow = weights.projectOut ? scope.allocate('f32', [T, E]) : this.#stream
      ops.linear_input_major(narrow, logitsGrad, weights.head, null, null)
      const last = blocks[blocks.length - 1].buffers.output
      if (weights.projectOut) {
        this.#weightGradient(names.projectOut, narrow, ends.normed ?? last)
        ops.linear_input_major(this.#stream, narrow, weights.projectOut, null, null)
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
    const { config } = model
    const { ops } = model.backend
    const { neurons: F, preNorm } = config
    const hidden = (): Buffer => this.#kept.allocate('f32', [T, F])
    const normName = moduleName(config, layer, 'ffnNorm')
    if (!preNorm) this.#normStream(normName, weights.ffnNorm, buffers.ffnSum)
    this.#affineGradient(layer, 'fc2', this.#stream, buffers.maskedActivation)
    const maskedActivation = hidden()
    ops.linear(maskedActivation, this.#stream, weights.fc2.weight, null, null)
    const activation = units.neuronFactors ? hidden() : maskedActivation
    if (units.neuronFactors) ops.mask_units(activation, maskedActivation, units.neuronFactors)
    const preActivation = hidden()
    const { up } = buffers
    const upGrad = up && this.#scope.allocate('f32', [T, F])
    if (up && upGrad) ops.silu_gate_backward(preActivation, upGrad, activation, buffers.preActivation, up)
    else ops.relu_backward(preActivation, activation, buffers.preActivation)
    this.#affineGradient(layer, 'fc1', preActivation, buffers.ffnInput)
    ops.linear_input_major(this.#branch, preActivation, weights.fc1.weight, null, null)
    if (weights.up && upGrad) {
      this.#affineGradient(layer, 'up', upGrad, buffers.ffnInput)
      ops.linear_input_major(this.#term, upGrad, weights.up.weight, null, null)
      ops.add(this.#branch, this.#branch, this.#term)
      this.#scope.free(upGrad)
    }
    if (preNorm) this.#normBranch(normName, weights.ffnNorm, buffers.middle)
    ops.add(this.#stream, this.#stream, this.#branch)
    return { preActivation, activation, maskedActivation }
  }

  /** The attention half; the stream's gradient moves from the block's middle to its start. */
  #attention(
    layer: number,
    { buffers, units, cache }: TracedBlock,
    weights: BlockWeights,
  ): Pick<BlockGradients, 'context' | 'maskedContext'> {
    const { backend, config } = this.#trace.model
    const { ops } = backend
    const { preNorm } = config
    const normName = moduleName(config, layer, 'attentionNorm')
    if (!preNorm) this.#normStream(normName, weights.attentionNorm, buffers.attentionSum)
    this.#affineGradient(layer, 'out', this.#stream, buffers.maskedContext)
    const wide = (): Buffer => this.#kept.allocate('f32', [this.#trace.length, contextWidth(config)])
    const maskedContext = wide()
    ops.linear(maskedContext, this.#stream, weights.out.weight, null, null)
    const context = units.headFactors ? wide() : maskedContext
    if (units.headFactors) ops.mask_units(context, maskedContext, units.headFactors)
    this.#queryKeyValue(layer, { buffers, units, cache }, weights, context)
    if (preNorm) this.#normBranch(normName, weights.attentionNorm, buffers.input)
    ops.add(this.#stream, this.#stream, this.#branch)
    return { context, maskedContext }
  }

  /** From the heads' outputs to what q, k and v read; the sum of the three is left in the branch buffer. */
  #queryKeyValue(
    layer: number,
    { buffers, cache }: TracedBlock,
    weights: BlockWeights,
    context: Buffer,
  ): void {
    const { backend } = this.#trace.model
    const { ops } = backend
    const scope = new BufferScope(backend)
    try {
      const [query, key, value] = this.#attentionGradients(scope, { buffers, cache }, context)
      const { angles } = this.#trace.pass
      if (angles) for (const grad of [query, key]) ops.rotary_backward(grad, grad, angles)
      const input = buffers.attentionInput
      this.#affineGradient(layer, 'query', query, input)
      this.#affineGradient(layer, 'key', key, input)
      this.#affineGradient(layer, 'value', value, input)
      ops.linear_input_major(this.#branch, query, weights.query.weight, null, null)
      ops.linear_input_major(this.#term, key, weights.key.weight, null, null)
      ops.add(this.#branch, this.#branch, this.#term)
      ops.linear_input_major(this.#term, value, weights.value.weight, null, null)
      ops.add(this.#branch, this.#branch, this.#term)
    } finally {
      scope.dispose()
    }
  }

  /** The gradients of queries, keys and values of the trace's tokens, before these were rotated. @param context [T, H K] */
  #attentionGradients(
    scope: BufferScope,
    { buffers, cache }: Pick<TracedBlock, 'buffers' | 'cache'>,
    context: Buffer,
  ): Buffer[] {
    const { past, length: T, model } = this.#trace
    const { backend } = model
    const S = past + T
    // The op is of whole sequences: the queries of a prompt are zeros there, and so is what comes back to them.
    const whole = (buffer: Buffer): Buffer => scope.allocate('f32', [S, buffer.shape[1]])
    const rest = (buffer: Buffer): Buffer =>
      backend.view(buffer, [T, buffer.shape[1]], past * buffer.shape[1])
    const padded = (buffer: Buffer): Buffer => {
      if (past === 0) return buffer
      const room = whole(buffer)
      backend.ops.copy_rows(room, buffer, scope.upload(rowsFrom(past, T)), scope.upload(rowsFrom(0, T)))
      return room
    }
    const gradients = [buffers.query, buffers.key, buffers.value].map(whole)
    const [query, key, value] = gradients
    const [given, asked] = [padded(context), padded(buffers.query)]
    backend.ops.attention_backward(
      query,
      key,
      value,
      given,
      asked,
      cache.key,
      cache.value,
      attentionScale(model.config),
    )
    return gradients.map(rest)
  }

  /** The tables and the projection into the model's width. */
  #embedding(): void {
    if (this.#parameters === null) return
    const { ends, length: T, model, tokens } = this.#trace
    const { backend, weights, config } = model
    const { ops } = backend
    const { embeddingWidth: E, padId } = config
    const names = namesOf(config)
    const positionTable = this.#parameters.get(names.positionTable)
    const positions = model.positionRows(0, T)
    if (positionTable && positions) ops.embedding_backward(positionTable, this.#stream, positions)
    let token = this.#stream
    if (weights.projectIn && ends.embedded) {
      this.#weightGradient(names.projectIn, this.#stream, ends.embedded)
      token = this.#scope.allocate('f32', [T, E])
      ops.linear_input_major(token, this.#stream, weights.projectIn, null, null)
    }
    const nothing = new Float32Array(E)
    tokens.forEach((id, t) => {
      if (id === padId) backend.write(token, nothing, t * E)
    })
    const tokenTable = this.#parameters.get(names.tokenTable) as Buffer
    ops.embedding_backward(tokenTable, token, ends.tokens)
  }

  /** The stream's gradient goes back through a norm that stands on the stream. */
  #normStream(name: string, weights: Affine, input: Buffer): void {
    const passed = this.#norm(name, weights, input, this.#stream)
    this.#term = this.#stream
    this.#stream = passed
  }

  /** The branch's gradient goes back through the norm at its start. */
  #normBranch(name: string, weights: Affine, input: Buffer): void {
    const passed = this.#norm(name, weights, input, this.#branch)
    this.#term = this.#branch
    this.#branch = passed
  }

  /** Writes the gradient of a norm's input into the spare buffer and returns that. */
  #norm(name: string, { weight, bias }: Affine, input: Buffer, yGrad: Buffer): Buffer {
    const { backend, config } = this.#trace.model
    const { ops } = backend
    const weightGrad = this.#parameters?.get(`${name}.weight`) ?? null
    const biasGrad = this.#parameters?.get(`${name}.bias`) ?? null
    const { epsilon } = config
    if (bias) ops.layer_norm_backward(this.#term, weightGrad, biasGrad, yGrad, input, weight, epsilon)
    else ops.rms_norm_backward(this.#term, weightGrad, yGrad, input, weight, epsilon)
    return this.#term
  }

  /** Weight and bias of a block's linear layer, from the gradient of its output [T, O] and its input [T, I]. */
  #affineGradient(layer: number, module: Module, yGrad: Buffer, x: Buffer): void {
    const name = moduleName(this.#trace.model.config, layer, module)
    if (readsUnits(`${name}.weight`)) this.#weightGradient(`${name}.weight`, x, yGrad)
    else this.#weightGradient(`${name}.weight`, yGrad, x)
    const bias = this.#parameters?.get(`${name}.bias`)
    if (bias) this.#trace.model.backend.ops.linear_backward_bias(bias, yGrad, null)
  }

  /** weight [O, I], or held input-major [I, O] with its input and the gradient of its output exchanged. */
  #weightGradient(name: string, yGrad: Buffer, x: Buffer): void {
    const weight = this.#parameters?.get(name)
    if (weight) this.#trace.model.backend.ops.linear_backward_weight(weight, yGrad, x, null)
  }

  #wide(scope: BufferScope): Buffer {
    return scope.allocate('f32', [this.#trace.length, this.#trace.model.config.width])
  }
}

/** The numbers of rows one after another. */
function rowsFrom(first: number, count: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => first + i)
}

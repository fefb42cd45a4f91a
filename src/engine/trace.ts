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
import type { Estimate } from '../masks/compensation.ts'
import type { UnitKind, UnitMask } from '../masks/mask.ts'
import type { AttentionStep } from '../spec/program.ts'
import { UsageError } from '../tensor/errors.ts'
import { denseLayer, type ActiveLayer } from './active_layer.ts'
import type { LanguageModel } from './language_model.ts'
import { siteIn, type HeadSite, type Section, type Step, type UnitSite } from './plan.ts'
import { passOf, runStep, type Frame, type Pass } from './run_step.ts'
import { checkMask, layerMask } from './unit_lists.ts'

/** What kept units say of all units of a site. */
export interface EstimatedUnits {
  /** As `Estimate` has it. */
  readonly matrix: Buffer // [N, N]
  /** The estimates of the activations. */
  readonly values: Buffer // [T, N]
  /** What the mask leaves to them: 1 less the mask. */
  readonly factors: Buffer // [units]
}

/** The steps of a trace from one stream to the next. */
export interface TracedSection {
  readonly section: Section
  readonly frame: Frame
  readonly active: ActiveLayer
  /** Keys and values in float32, those of a prompt before the trace included; null without attention. */
  readonly cache: Readonly<Record<'key' | 'value', Buffer>> | null // [G, S, K]
  /** By the places of masked units; none without `estimate`. */
  readonly estimated: ReadonlyMap<number, EstimatedUnits>
}

/** The options of a trace. */
export interface TraceOptions {
  /** Multiplied into the heads' outputs and the activations; any numbers. */
  readonly mask?: UnitMask | null
  /**
   * What is put in the place of what the mask m takes away: units become m a + (1 - m) of their estimates, as compensated weights have
   * it (masks/compensation.ts). Default: zeros.
   */
  readonly estimate?: Estimate | null
  /** The prompt that comes before: so many of the first tokens of another trace. Its activations are kept there. */
  readonly after?: { readonly trace: Trace; readonly length: number }
}

/**
 * Runs one text and keeps its activations: to read what heads and neurons give out, and for `backward`, which needs them. Give the
 * trace back with `dispose`. Without activations, `LanguageModel.begin` needs less memory.
 * @param tokens [T], at least one: those after the prompt, if one comes before
 * @throws UsageError TOKENS, CONTEXT_LENGTH, MASK_SHAPE, TRACE for a prompt of another model or of more tokens than its trace, TRACE_SPLIT for a model that is held in several backends
 * @example
 * ```ts
 * import { ShadowModel } from 'shadowllm'
 * import { backward, traceForward } from 'shadowllm/model'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const ids = Int32Array.from(opt.encode('Once upon a time, there was a little girl', { prefix: true }))
 * const trace = traceForward(opt.model, ids)
 * const neurons = trace.fc1Act(3) // [T, F]: the activations of layer 3
 * const active = neurons.reduce((sum, value) => sum + Number(value > 0), 0) / neurons.length
 * console.log(`${(100 * active).toFixed(0)} % of the activations are above 0`)
 *
 * const gradients = backward(opt.model, trace, ids)
 * console.log(gradients.fc1Act(3).length === neurons.length)
 * gradients.dispose()
 * trace.dispose()
 * await opt.dispose()
 * ```
 */
export function traceForward(model: LanguageModel, tokens: Int32Array, options: TraceOptions = {}): Trace {
  return new Trace(model, tokens, options)
}

/** The activations of one pass. Every reader returns a host copy; `layer` counts from 0. */
export class Trace {
  readonly model: LanguageModel
  readonly tokens: Int32Array // [T]
  readonly pass: Pass
  /** Tokens before the trace. */
  readonly past: number
  readonly sections: readonly TracedSection[] // [L + 2]
  readonly #scope: BufferScope

  /** See `traceForward`. */
  constructor(
    model: LanguageModel,
    tokens: Int32Array,
    { mask = null, estimate = null, after }: TraceOptions,
  ) {
    const past = after ? after.length : 0
    if (after) checkPrompt(model, after)
    model.checkTokens(tokens, past)
    if (model.weights.layers.some((backend) => backend !== model.backend))
      throw new UsageError(
        'TRACE_SPLIT',
        'model: expected one whose blocks are all in one backend, got one in several; load it in fewer bits, or with more bytesPerBackend',
      )
    if (mask) checkMask(mask, model.shape)
    const { backend } = model
    this.model = model
    this.tokens = tokens.slice()
    this.past = past
    this.#scope = new BufferScope(backend)
    const sections: TracedSection[] = []
    this.sections = sections
    try {
      this.pass = passOf(model, backend, past, tokens.length, this.#scope.upload(this.tokens))
      for (const section of model.plan.sections)
        sections.push(
          this.#run(section, sections.at(-1)?.frame.at(-1) ?? null, mask, estimate, after?.trace ?? null),
        )
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
    return this.#read(this.logitsBuffer)
  }

  /** The same, where they lie. */
  get logitsBuffer(): Buffer {
    return this.sections[this.sections.length - 1].frame.at(-1) as Buffer
  }

  /**
   * The stream in Hugging Face's order: 0 the embeddings, l after layer l; L after the final norm and projection.
   * @param index from 0 to L
   */
  hidden(index: number): Float32Array {
    if (index === this.model.config.layers) {
      const { section, frame } = this.sections[index + 1]
      // What the head reads; logits may be capped after it.
      const head = section.steps.findLast(({ value }) => value.op === 'linear') as Step
      return this.#read(frame[head.of[0]]) // [T, E]
    }
    return this.#read(this.#layer(index).frame[0]) // [T, D]
  }

  /** softmax(QK)V before the output matrix and before any mask, heads side by side: [T, H K]. */
  headOut(layer: number): Float32Array {
    return this.#readAt(layer, (at) => at.heads.inner)
  }

  /** Queries, rotated and not yet scaled: [T, H, K]. */
  query(layer: number): Float32Array {
    return this.#readAt(layer, (at) => (at.heads.attention as HeadSite).step.of[0])
  }

  /** Keys, rotated, head-major, those of a prompt before the trace included: [G, S, K]. */
  key(layer: number): Float32Array {
    return this.#readCache(layer, 'key')
  }

  /** Values, head-major, those of a prompt before the trace included: [G, S, K]. */
  value(layer: number): Float32Array {
    return this.#readCache(layer, 'value')
  }

  /** fc1's output before the activation function; that of the gate in a gated layer: [T, F]. */
  fc1Pre(layer: number): Float32Array {
    return this.#readAt(layer, (at) => (at.neurons.gate as Step).place)
  }

  /** How attention of a layer scores. */
  attention(layer: number): AttentionStep {
    const { step } = siteIn(this.#layer(layer).section, 'heads').attention as HeadSite
    return step.value as AttentionStep
  }

  /** Activations of the neurons before any mask: [T, F]. */
  fc1Act(layer: number): Float32Array {
    return this.#readAt(layer, (at) => at.neurons.inner)
  }

  /**
   * What a unit gives that its estimate does not say, before any mask: without `estimate`, all that it gives. [T, H K] or [T, F].
   * This times the gradient after the mask is the derivative by the mask.
   * @param kind which units of the layer
   */
  residual(layer: number, kind: UnitKind): Float32Array {
    const { section, frame, estimated } = this.#layer(layer)
    const { inner, place } = siteIn(section, kind)
    const a = this.#read(frame[inner])
    const known = estimated.get(place)
    if (!known) return a
    const values = this.#read(known.values)
    return a.map((value, i) => value - values[i])
  }

  /** The input of fc1, which is the output of its norm: [T, D]. */
  fc1Input(layer: number): Float32Array {
    return this.#readAt(layer, (at) => (at.neurons.gate as Step).of[0])
  }

  /** Frees the activations. Safe to call twice. */
  dispose(): void {
    for (const { active } of this.sections) active.dispose()
    this.#scope.dispose()
  }

  /** As `dispose`. */
  [Symbol.dispose](): void {
    this.dispose()
  }

  #layer(layer: number): TracedSection {
    const { layers } = this.model.config
    if (!Number.isInteger(layer) || layer < 0 || layer >= layers)
      throw new UsageError('LAYER', `layer: expected 0 to ${layers - 1}, got ${layer}`)
    return this.sections[layer + 1]
  }

  #read(buffer: Buffer): Float32Array {
    return this.model.backend.readF32(buffer)
  }

  /** A value by its place in a layer, which follows from where units are masked. */
  #readAt(layer: number, placeIn: (sites: Record<UnitKind, UnitSite>) => number): Float32Array {
    const { section, frame } = this.#layer(layer)
    const [heads, neurons] = [siteIn(section, 'heads'), siteIn(section, 'neurons')]
    return this.#read(frame[placeIn({ heads, neurons })])
  }

  #readCache(layer: number, part: 'key' | 'value'): Float32Array {
    const { cache } = this.#layer(layer)
    return this.#read((cache as NonNullable<typeof cache>)[part])
  }

  /** @param entering the stream */
  #run(
    section: Section,
    entering: Buffer | null,
    mask: UnitMask | null,
    estimate: Estimate | null,
    prompt: Trace | null,
  ): TracedSection {
    const { backend, weights } = this.model
    const { pass } = this
    const { layer } = section
    const own = mask && layer !== null ? layerMask(mask, layer) : null
    const active = denseLayer(section, { backend, matrices: weights.matrices }, own)
    try {
      const frame: Frame = entering ? [entering] : []
      let cache: TracedSection['cache'] = null
      const estimated = new Map<number, EstimatedUnits>()
      for (const instruction of active.instructions) {
        const { step, factors } = instruction
        // Where nothing is changed, or the operand is never asked for, the result takes its place.
        const isSame = step.value.op === 'rotate' || (step.value.op === 'units' && !factors)
        frame[step.place] = isSame
          ? frame[step.of[0]]
          : this.#scope.allocate('f32', [pass.T, step.value.width], 'anything')
        runStep(pass, instruction, frame, (G) => {
          const K = (step.value as AttentionStep).headSize
          const [key, value] = (['key', 'value'] as const).map((part) =>
            this.#cacheAfter(layer !== null ? prompt?.[part](layer) : undefined, [G, pass.past + pass.T, K]),
          )
          cache = { key, value }
          return { ...cache, room: (row, count) => ({ row, count }) }
        })
        const site = own && estimate && section.sites.find(({ place }) => place === step.place)
        const added = site && this.#addEstimates(site, layer as number, own[site.step.kind], estimate, frame)
        if (added) estimated.set(step.place, added)
      }
      return { section, frame, active, cache, estimated }
    } catch (error) {
      active.dispose()
      throw error
    }
  }

  /** Adds to masked units what the mask leaves to their estimates. @param mask [units] */
  #addEstimates(
    { step, size, inner, place }: UnitSite,
    layer: number,
    mask: Float32Array,
    estimate: Estimate,
    frame: Frame,
  ): EstimatedUnits | null {
    const { backend } = this.model
    const matrix = estimate({ backend, layer, kind: step.kind, size, mask })
    if (!matrix) return null
    const [a, masked] = [frame[inner], frame[place]]
    const N = step.width
    const added = {
      matrix: this.#scope.upload(matrix, [N, N]),
      values: this.#scope.allocate('f32', a.shape, 'anything'),
      factors: this.#scope.upload(mask.map((value) => 1 - value)),
    }
    backend.ops.linear(added.values, a, added.matrix, null, null)
    BufferScope.within(backend, (scope) => {
      const part = scope.allocate('f32', a.shape, 'anything')
      backend.ops.mask_units(part, added.values, added.factors)
      backend.ops.add(masked, masked, part)
    })
    return added
  }

  /** Room for keys or values of S tokens, those of the prompt in it. @param prompt [G, S', K] */
  #cacheAfter(prompt: Float32Array | undefined, [G, S, K]: readonly [number, number, number]): Buffer {
    if (!prompt) return this.#scope.allocate('f32', [G, S, K])
    const rows = new Float32Array(G * S * K)
    const stride = prompt.length / G
    for (let g = 0; g < G; g++) rows.set(prompt.subarray(g * stride, g * stride + this.past * K), g * S * K)
    return this.#scope.upload(rows, [G, S, K])
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

/**
 * The backward pass, from the loss to the embeddings: each step passes the gradient of its result on to what it read, by one rule
 * for each operation, as ops of the catalogue (src/spec/gradients.ts defines them on plain arrays).
 *
 * Every gradient of a product is another op of the catalogue on the same matrix: through a row-major matrix back
 * goes linear_input_major, through an input-major one back goes linear; and a weight's gradient lies as the weight does,
 * so of an input-major one it is taken with input and output exchanged. What criteria look at is kept; everything else is
 * freed when it has been passed on.
 *
 * Where a prompt came before the trace, its keys and values are constants: nothing is passed on to the prompt.
 */
import type { Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import type { Instruction } from './active_layer.ts'
import { shiftLabels, unshiftScores } from './loss.ts'
import { parametersOf, siteIn } from './plan.ts'
import { scoring, type AttentionStep } from '../spec/program.ts'
import { inParts } from './run_step.ts'
import type { EstimatedUnits, Trace, TracedSection } from './trace.ts'

/** What is kept of one layer. Where the trace had no mask, masked and unmasked are the same buffer. */
export interface LayerGradients {
  readonly context: Buffer // [T, H K] of the heads' outputs before the mask
  readonly maskedContext: Buffer // [T, H K] after it
  readonly preActivation: Buffer // [T, F]
  readonly activation: Buffer // [T, F] before the mask
  readonly maskedActivation: Buffer // [T, F] after it
}

/** What a step has at hand: its instruction, and the section it stands in. */
interface Traced extends TracedSection {
  readonly instruction: Instruction
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
  /** How many places of a section a gradient stands for. */
  readonly #uses = new Map<Buffer, number>()

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
  }

  /** Negative log-likelihood of each position. */
  score(labels: Int32Array): Float32Array {
    const { backend } = this.#kept
    return BufferScope.within(backend, (scope) => {
      const scores = scope.allocate('f32', [labels.length])
      backend.ops.cross_entropy(scores, this.#trace.logitsBuffer, scope.upload(shiftLabels(labels)))
      return unshiftScores(backend.readF32(scores))
    })
  }

  /** From the loss down to the embeddings. @param given the gradient of the logits, in place of that of the labels: [T, V] */
  propagate(labels: Int32Array, scored: number, given?: Float32Array): LayerGradients[] {
    const { sections } = this.#trace
    const gradients: LayerGradients[] = []
    let leaving = this.#ofLogits(labels, scored, given)
    for (const traced of sections.toReversed()) {
      const { layer } = traced.section
      // Before the layers there are no activations.
      if (traced === sections[0] && this.#parameters === null) break
      const kept = layer === null ? null : new Map<number, Buffer>()
      const entering = this.#section(traced, leaving, kept)
      if (kept) gradients[layer as number] = this.#keep(traced, kept)
      if (entering) leaving = entering
    }
    return gradients
  }

  #ofLogits(labels: Int32Array, scored: number, given?: Float32Array): Buffer {
    const { logitsBuffer, length: T } = this.#trace
    const { backend } = this.#kept
    if (given) return this.#scope.upload(given, logitsBuffer.shape)
    const gradient = this.#scope.allocate('f32', logitsBuffer.shape, 'anything')
    return BufferScope.within(backend, (scope) => {
      const each = scope.upload(new Float32Array(T).fill(1 / scored))
      backend.ops.cross_entropy_backward(gradient, each, logitsBuffer, scope.upload(shiftLabels(labels)))
      return gradient
    })
  }

  /**
   * From the stream that leaves a section to the one that enters it, whose gradient it returns.
   * @param kept the gradient of every place, unless these are freed
   */
  #section(traced: TracedSection, leaving: Buffer, kept: Map<number, Buffer> | null): Buffer | null {
    const { section, active } = traced
    const last = section.steps.length
    /** What later steps pass to a place, the last of them first. */
    const passed: Buffer[][] = Array.from({ length: last + 1 }, () => [])
    passed[last].push(leaving)
    this.#uses.set(leaving, 1)
    const sites = new Set(section.sites.flatMap(({ place, inner, gate }) => [place, inner, gate?.place]))
    for (let place = last; place > 0; place--) {
      const gradient = this.#sum(passed[place])
      // Nothing comes back to ids.
      if (gradient === null) continue
      const { of } = section.steps[place - 1]
      const isKept = kept !== null && sites.has(place)
      if (isKept) kept.set(place, gradient)
      const parts = this.#back({ ...traced, instruction: active.instructions[place - 1] }, gradient)
      for (const [i, part] of parts.entries()) {
        passed[of[i]].push(part)
        this.#uses.set(part, (this.#uses.get(part) ?? 0) + 1)
      }
      if (!isKept) this.#release(gradient)
    }
    return this.#sum(passed[0])
  }

  /** What several steps passed to a value, added up in their order. */
  #sum(parts: readonly Buffer[]): Buffer | null {
    if (parts.length === 0) return null
    return parts.toReversed().reduce((a, b) => {
      const sum = this.#like(a)
      this.#kept.backend.ops.add(sum, a, b)
      for (const part of [a, b]) this.#release(part)
      this.#uses.set(sum, 1)
      return sum
    })
  }

  #release(gradient: Buffer): void {
    const uses = (this.#uses.get(gradient) ?? 1) - 1
    this.#uses.set(gradient, uses)
    if (uses > 0) return
    this.#uses.delete(gradient)
    this.#scope.free(gradient)
  }

  #like({ shape }: Buffer): Buffer {
    return this.#scope.allocate('f32', shape, 'anything')
  }

  /** The gradients of what a step read, from that of its result [T, width]. Parameters get theirs. */
  #back({ instruction, frame, cache, estimated }: Traced, gradient: Buffer): Buffer[] {
    const { pass } = this.#trace
    const { ops } = this.#kept.backend
    const { value, of } = instruction.step
    const weight = instruction.weight as Buffer
    const [x, y] = of.map((place) => frame[place])
    const [weightGradient = null, biasGradient = null] = parametersOf(value).map(
      ({ name }) => this.#parameters?.get(name) ?? null,
    )
    switch (value.op) {
      case 'tokens':
      case 'positions':
        return []
      case 'embedding':
        if (weightGradient) this.#embedding(weightGradient, gradient, x, value.of[0].op === 'tokens')
        return []
      case 'layerNorm': {
        const back = this.#like(x)
        ops.layer_norm_backward(back, weightGradient, biasGradient, gradient, x, weight, value.epsilon)
        return [back]
      }
      case 'rmsNorm': {
        const back = this.#like(x)
        const [to, from, read] = [back, gradient, x].map((one) =>
          inParts(this.#kept.backend, one, weight.length),
        )
        ops.rms_norm_backward(to, weightGradient, from, read, weight, value.epsilon)
        return [back]
      }
      case 'linear':
      case 'combine': {
        const isTurned = value.op === 'combine'
        const [rows, columns] = isTurned ? [x, gradient] : [gradient, x]
        if (weightGradient) ops.linear_backward_weight(weightGradient, rows, columns, null)
        if (biasGradient) ops.linear_backward_bias(biasGradient, gradient, null)
        const back = this.#like(x)
        if (isTurned) ops.linear(back, gradient, weight, null, null)
        else ops.linear_input_major(back, gradient, weight, null, null)
        return [back]
      }
      case 'rotate': {
        const back = this.#like(x)
        const [to, from] = [back, gradient].map((one) => inParts(this.#kept.backend, one, value.headSize))
        ops.rotary_backward(to, from, pass.angles(value.rotary))
        return [back]
      }
      case 'attention':
        return this.#attention(gradient, [x, y, frame[of[2]]], cache as NonNullable<typeof cache>, value)
      case 'units': {
        if (!instruction.factors) return [gradient]
        const back = this.#like(x)
        ops.mask_units(back, gradient, instruction.factors)
        const known = estimated.get(instruction.step.place)
        if (known) this.#addEstimated(back, gradient, known)
        return [back]
      }
      case 'add':
        return [gradient, gradient]
      case 'scale': {
        const back = this.#like(x)
        ops.mask_units(back, gradient, pass.factor(value.factor))
        return [back]
      }
      case 'cap': {
        const back = this.#like(x)
        ops.soft_cap_backward(back, gradient, x, value.cap)
        return [back]
      }
      case 'relu': {
        const back = this.#like(x)
        ops.relu_backward(back, gradient, x)
        return [back]
      }
      case 'gate': {
        const back = [x, y].map((one) => this.#like(one))
        ops[`${value.activation}_gate_backward`](back[0], back[1], gradient, x, y)
        return back
      }
    }
  }

  /** Adds what comes back to units through the estimates that are made of them. */
  #addEstimated(back: Buffer, gradient: Buffer, { matrix, factors }: EstimatedUnits): void {
    BufferScope.within(this.#kept.backend, (scope) => {
      const { ops } = scope.backend
      const [part, through] = [0, 1].map(() => scope.allocate('f32', gradient.shape, 'anything'))
      ops.mask_units(part, gradient, factors)
      ops.linear_input_major(through, part, matrix, null, null)
      ops.add(back, back, through)
    })
  }

  /** The gradients of queries, keys and values of the trace's tokens. @param gradient [T, H K] */
  #attention(
    gradient: Buffer,
    operands: readonly Buffer[],
    cache: NonNullable<TracedSection['cache']>,
    step: AttentionStep,
  ): Buffer[] {
    const { past, length: T } = this.#trace
    const { backend } = this.#kept
    const S = past + T
    const { scale, cap, window } = scoring(step, S)
    const scope = past === 0 ? this.#scope : new BufferScope(backend)
    // The op is of whole sequences: the queries of a prompt are zeros there, and so is what comes back to them.
    const whole = (of: Buffer): Buffer => scope.allocate('f32', [S, of.shape[1]])
    const padded = (of: Buffer): Buffer => {
      if (past === 0) return of
      const room = whole(of)
      backend.ops.copy_rows(room, of, scope.upload(rowsFrom(past, T)), scope.upload(rowsFrom(0, T)))
      return room
    }
    try {
      const back = operands.map(whole)
      const [query, key, value] = back
      const [given, asked] = [padded(gradient), padded(operands[0])]
      backend.ops.attention_backward(
        query,
        key,
        value,
        given,
        asked,
        cache.key,
        cache.value,
        scale,
        cap,
        window,
      )
      if (past === 0) return back
      const rest = [scope.upload(rowsFrom(0, T)), scope.upload(rowsFrom(past, T))] as const
      return back.map((own, i) => {
        const part = this.#like(operands[i])
        backend.ops.copy_rows(part, own, ...rest)
        return part
      })
    } finally {
      if (past > 0) scope.dispose()
    }
  }

  /** The rows of a table. As in PyTorch, that of the padding id receives nothing. */
  #embedding(table: Buffer, gradient: Buffer, ids: Buffer, isOfTokens: boolean): void {
    const { tokens, model } = this.#trace
    const { backend, config } = model
    const [, E] = table.shape
    const nothing = new Float32Array(E)
    const isShared = (this.#uses.get(gradient) ?? 1) > 1
    const own = isShared ? this.#scope.upload(backend.readF32(gradient), gradient.shape) : gradient
    if (isOfTokens)
      tokens.forEach((id, t) => {
        if (id === config.padId) backend.write(own, nothing, t * E)
      })
    backend.ops.embedding_backward(table, own, ids)
  }

  /** What criteria look at leaves the run. */
  #keep({ section }: TracedSection, gradients: ReadonlyMap<number, Buffer>): LayerGradients {
    const at = (place: number): Buffer => this.#kept.adopt(gradients.get(place) as Buffer)
    const [heads, neurons] = [siteIn(section, 'heads'), siteIn(section, 'neurons')]
    const kept = {
      context: at(heads.inner),
      maskedContext: at(heads.place),
      preActivation: at(neurons.gate?.place ?? neurons.inner),
      activation: at(neurons.inner),
      maskedActivation: at(neurons.place),
    }
    for (const buffer of Object.values(kept)) this.#scope.release(buffer)
    return kept
  }
}

/** The numbers of rows one after another. */
function rowsFrom(first: number, count: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => first + i)
}

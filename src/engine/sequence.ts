/**
 * One sequence being read or written: its cache, its mask, its position.
 *
 * A feed runs new tokens after those already fed. Feeding a text at once, token by token or in any parts gives the same
 * bits. The first feed is the prompt: a planner is asked during it, and the mask it gives holds from that point on, for
 * the rest of the sequence or until the planner is asked again (`every`, see masks/planner.ts). A planner may leave the
 * prompt dense: its mask then holds from the first token after the prompt on. Where it is asked again, the keys and values
 * of all heads are kept, so that a head chosen later finds no holes in its past: it reads what it would have written had
 * only its own output been skipped, that is, keys and values of the masked stream of their time.
 *
 * Sequences are unpadded and start at position 0 (batch.ts takes padding away).
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { channelSites, type ChannelMask, type ChannelSite } from '../masks/channels.ts'
import {
  checkTable,
  denseMask,
  makeMask,
  sameMask,
  unitKinds,
  type UnitKind,
  type UnitMask,
} from '../masks/mask.ts'
import { isDensePrompt, type LayerMask, type MaskPlanner } from '../masks/planner.ts'
import { relu } from '../ops/relu.ts'
import { silu_gate } from '../ops/silu_gate.ts'
import { UsageError } from '../tensor/errors.ts'
import { recordOf } from '../tensor/records.ts'
import { activateBlock, denseBlock, type ActiveBlock, type CostHints, type MaskMode } from './active_block.ts'
import { contextWidth, type ModelConfig } from './config.ts'
import {
  attend,
  embed,
  feedForward,
  finish,
  logitsOf,
  project,
  type BlockBuffers,
  type ChooseChannels,
  type GateChoice,
  type Pass,
} from './forward.ts'
import { KeyValueCache } from './kv_cache.ts'
import { defaultCache, type CacheStorage } from './layer_cache.ts'
import type { ExecutionStrategy } from './mask_cost.ts'
import type { LoadedModel } from './loaded_model.ts'
import { PlannerSchedule, type Segment } from './planner_schedule.ts'
import { RunState } from './run_state.ts'
import { checkMask, checkSwitch, checkSwitches, chosenUnits, layerMask } from './unit_lists.ts'

/** How a sequence begins. */
export interface SequenceOptions {
  /** Positions to make room for at once; the cache grows by itself. Default: twice the prompt, at least 64. */
  readonly capacity?: number
  /** A mask known beforehand. Not together with a planner. */
  readonly mask?: UnitMask | null
  /** Who decides the mask during the first feed. */
  readonly planner?: MaskPlanner | null
  /** How a mask is carried out; default `auto`. Every mode gives the same numbers. */
  readonly mode?: MaskMode
  /**
   * What keys and values are stored as; default `int8` where weights are, else `f32`. Every law of sequences holds exactly
   * for either; the numbers of `int8` are near those of `f32`, not equal.
   */
  readonly cache?: CacheStorage
  /** Tokens expected after the first feed, one at a time: what `auto` weighs packing against. Default 0. */
  readonly expectedTokens?: number
}

/** How many halves of blocks (heads of a layer, neurons of a layer) are run by each strategy. */
export type StrategyCounts = Readonly<Record<ExecutionStrategy, number>>

/** Which positions' logits a feed hands back. */
export type LogitsWanted = 'all' | 'last' | 'none'

/** A sequence in the making. Made by `LanguageModel.begin`; give it back with `dispose`. */
export class Sequence {
  readonly model: LoadedModel
  readonly mode: MaskMode
  readonly #schedule: PlannerSchedule | null
  readonly #capacity: number | undefined
  readonly #cache: KeyValueCache
  /** Scratch, in each backend that holds a part of the model. */
  readonly #states = new Map<Backend, RunState>()
  readonly #expectedTokens: number
  readonly #blocks: ActiveBlock[] // [L]
  /** The same without a mask. */
  readonly #whole: readonly ActiveBlock[] // [L]
  #mask: UnitMask | null = null
  /** Layers whose neurons were chosen by their gate. */
  readonly #gathered = new Set<number>()
  #length = 0
  /** Tokens of the first feed. */
  #prompt = 0
  #preparing = 0
  #decisions = 0
  #disposed = false

  /** @throws UsageError MASK_SHAPE, MASK_VALUE, PLACEMENT, EVERY, or PLANNER if both a mask and a planner are given */
  constructor(model: LoadedModel, options: SequenceOptions = {}) {
    const { mask = null, planner = null, mode = 'auto' } = options
    if (mask && planner) throw new UsageError('PLANNER', 'sequence: expected a mask or a planner, got both')
    this.model = model
    this.mode = mode
    this.#schedule = planner && new PlannerSchedule(planner, model.config)
    this.#capacity = options.capacity
    this.#expectedTokens = options.expectedTokens ?? 0
    this.#cache = new KeyValueCache(model.config, options.cache ?? defaultCache(model.weights.storage))
    this.#whole = model.weights.blocks.map((block) => denseBlock(block, model.config))
    this.#blocks = [...this.#whole]
    if (mask) this.#adopt(mask, { T: 1, steps: this.#expectedTokens })
  }

  /** Tokens fed so far. */
  get length(): number {
    return this.#length
  }

  /** The mask in force: given, or what the planner decided last; null is dense. */
  get mask(): UnitMask | null {
    return this.#mask
  }

  /** How the mask in force is carried out. */
  get strategies(): StrategyCounts {
    const counts: Record<ExecutionStrategy, number> = { dense: 0, gather: 0, packed: 0 }
    for (const [layer, { strategies }] of this.#blocks.entries()) {
      counts[strategies.heads]++
      counts[this.#gathered.has(layer) ? 'gather' : strategies.neurons]++
    }
    return counts
  }

  /** How many times the planner has decided so far. */
  get decisions(): number {
    return this.#decisions
  }

  /** Milliseconds spent so far on making masks ready: lists of units, and packing. */
  get preparing(): number {
    return this.#preparing
  }

  /**
   * Runs tokens after those already fed.
   * @param tokens [T], at least one
   * @returns logits [T, V], or of the last position [V], or nothing
   * @throws UsageError TOKENS for none or an id outside the vocabulary, CONTEXT_LENGTH past the last position;
   *   PLANNER_MASK, MASK_SHAPE or MASK_VALUE for a planner's mask. Segments that ran before the planner failed stay fed.
   */
  feed(tokens: Int32Array, logits: LogitsWanted = 'last'): Float32Array {
    return this.#feed(tokens, logits, false)
  }

  /**
   * Runs tokens dense after those already fed, whatever mask is in force. The mask stays in force for the next feed, and
   * the planner is not asked. After `rewind`, tokens that ran under the mask run again as if there were none.
   * @param tokens [T], at least one
   * @returns as `feed`
   * @throws UsageError PREFILL if the tokens so far did not begin with a dense prompt, as `feed`
   */
  feedDense(tokens: Int32Array, logits: LogitsWanted = 'last'): Float32Array {
    const isDense = this.#schedule ? isDensePrompt(this.#schedule.planner) : this.#mask === null
    if (!isDense || this.#length === 0)
      throw new UsageError(
        'PREFILL',
        'dense feed: expected a prompt that ran dense before it, so that the cache has all heads, got another',
      )
    return this.#feed(tokens, logits, true)
  }

  #feed(tokens: Int32Array, logits: LogitsWanted, unmasked: boolean): Float32Array {
    const { vocabulary: V } = this.model.config
    const T = tokens.length
    let rows: Float32Array = new Float32Array(logits === 'all' ? T * V : 0)
    const read = (stream: Buffer, start: number, count: number): void => {
      if (logits === 'all')
        this.#eachChunk(count, (at, some) => rows.set(this.#logits(stream, at, some), (start + at) * V))
      else if (logits === 'last' && start + count === T) rows = this.#logits(stream, count - 1, 1)
    }
    this.#run(tokens, read, unmasked)
    return rows
  }

  /**
   * Runs tokens and scores what follows each of them, without handing logits to the host.
   * @param tokens [T]
   * @param targets [T], the id that follows each token, or -100 for "not scored"
   * @returns negative log-likelihoods in nats [T], 0 where not scored
   * @throws UsageError as `feed`; LABELS if the lists differ in length
   */
  score(tokens: Int32Array, targets: Int32Array): Float32Array {
    if (targets.length !== tokens.length)
      throw new UsageError('LABELS', `targets: expected ${tokens.length}, got ${targets.length}`)
    const { backend } = this.model
    const scores = new Float32Array(tokens.length)
    const scoreChunk = (stream: Buffer, from: number, rows: number, start: number): void => {
      const logits = this.#headOf(stream, from, rows)
      const labels = backend.upload(targets.slice(start, start + rows))
      const nll = backend.allocate('f32', [rows])
      try {
        backend.ops.cross_entropy(nll, logits, labels)
        scores.set(backend.readF32(nll), start)
      } finally {
        backend.free(labels)
        backend.free(nll)
      }
    }
    this.#run(tokens, (stream, start, count) =>
      this.#eachChunk(count, (from, rows) => scoreChunk(stream, from, rows, start + from)),
    )
    return scores
  }

  /**
   * Forgets what was fed after the first `length` tokens, so that a text can go on from there in another way. The mask in
   * force stays; a planner that decides at every token is asked again as ever.
   * @param decided the mask that is decided for the whole text to come, null for dense. It must be the one
   *   in force, and then lengths inside the first feed are allowed: all that is kept ran under it, except
   *   layers that run dense in any case.
   * @throws UsageError REWIND for a length inside the first feed, by which masks are decided, or past what was fed, and
   *   under a planner that is asked now and then: its earlier masks are gone
   */
  rewind(length: number, decided?: UnitMask | null): void {
    const { every = 1, shift, name } = this.#schedule?.planner ?? {}
    const isSame = decided !== undefined
    if (isSame && !(this.#schedule?.decidesOnce ?? true))
      throw new UsageError(
        'REWIND',
        `planner ${name}: expected one that decides once, for the prompt too, got another`,
      )
    if (isSame && !sameMask(decided, this.#mask))
      throw new UsageError('REWIND', 'rewind: expected the mask in force, got another')
    const asked = shift === undefined ? `after every ${every}` : 'when attention shifts'
    if (every > 1 || shift !== undefined)
      throw new UsageError(
        'REWIND',
        `planner ${name}: expected one that decides once or at every token, got one asked ${asked}`,
      )
    const least = isSame ? Math.min(1, this.#prompt) : this.#prompt
    if (!Number.isInteger(length) || length < least || length > this.#length)
      throw new UsageError('REWIND', `rewind: expected ${least} to ${this.#length} tokens, got ${length}`)
    this.#length = length
    this.#prompt = Math.min(this.#prompt, length)
    this.#schedule?.cutPrompt(length)
  }

  /** Frees the cache, the scratch and the mask. Safe to call twice. */
  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    this.#cache.dispose()
    for (const state of this.#states.values()) state.dispose()
    for (const block of this.#blocks) block.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  /**
   * Runs new tokens segment by segment.
   * @param each is given a segment's stream [count, D], which stays in scratch, and its place
   * @param unmasked whether no mask applies to them
   */
  #run(
    tokens: Int32Array,
    each: (stream: Buffer, start: number, count: number) => void,
    unmasked = false,
  ): void {
    const T = tokens.length
    const past = this.#length
    if (this.#disposed) throw new UsageError('DISPOSED', 'the sequence has been disposed')
    this.model.checkTokens(tokens, past)
    this.#cache.reserve(past + T, past, this.#capacity ?? Math.max(64, 2 * T))
    const segments = unmasked ? null : this.#schedule?.segments(past, T)
    for (const segment of segments ?? [{ past, T, asks: false }]) {
      const start = segment.past - past
      each(this.#runSegment(segment, tokens.subarray(start, start + segment.T), unmasked), start, segment.T)
      if (segment.asks) this.#decisions++
    }
    if (past === 0) this.#prompt = T
  }

  /** The blocks over a segment; returns the stream leaving the last one, in the model's first backend. */
  #runSegment(segment: Segment, tokens: Int32Array, unmasked: boolean): Buffer {
    const { model } = this
    const { config, weights } = model
    const { past, T } = segment
    const { backend: home } = model
    const passIn = (backend: Backend): Pass => {
      return { backend, config, T, past, angles: model.angleRows(backend, past, T) }
    }
    const { embedding, stream } = this.#stateIn(home).ends(T)
    const ids = home.upload(tokens)
    try {
      embed(passIn(home), weights, ids, model.positionRows(past, T), embedding)
    } finally {
      home.free(ids)
    }
    const schedule = this.#schedule
    const everyKey = schedule?.keepsEveryKey ?? false
    const isDense = schedule?.runsDense(segment) ?? false
    const summarizes = schedule?.summarizes(segment) ?? false
    const gates = schedule?.planner.afterGate !== undefined && !unmasked
    const channels = schedule?.planner.chooseChannels !== undefined && !unmasked
    const blocks = unmasked ? this.#whole : this.#blocks
    let decided: UnitMask | null = null
    if (isDense) this.#unmask()
    let backend = home
    let pass = passIn(home)
    for (let layer = 0; layer < config.layers; layer++) {
      const next = weights.blocks[layer].backend
      if (next !== backend) {
        this.#moveStream(backend, next, T)
        backend = next
        pass = passIn(next)
      }
      this.#askBefore(segment, layer, isDense)
      const active = blocks[layer]
      const block = this.#stateIn(backend).block(layer, T, active)
      const channelsOf = channels ? this.#channelsOf(segment, layer, backend) : null
      attend(pass, active, this.#cache.layer(layer, backend, active.keyHeads), block, everyKey, channelsOf)
      if (layer === schedule?.placement) {
        decided = this.#askAfter(segment, tokens, block)
        if (decided && !isDense) this.#adopt(decided, this.#passesUnder(segment, isDense))
      }
      project(pass, blocks[layer], block, channelsOf)
      if (gates) this.#feedByGate(segment, layer, pass, block)
      else feedForward(pass, blocks[layer], block, null, channelsOf)
      if (summarizes) schedule?.summarize(layer, backend.readF32(block.activation), T)
    }
    this.#moveStream(backend, home, T)
    if (isDense && !gates && !channels) {
      const mask = decided ?? schedule?.afterPrompt(tokens) ?? this.#mask
      if (mask) this.#adopt(mask, this.#passesUnder(segment, isDense))
    }
    this.#length = past + T
    return stream
  }

  #stateIn(backend: Backend): RunState {
    let state = this.#states.get(backend)
    if (!state) this.#states.set(backend, (state = new RunState(backend, this.model.config)))
    return state
  }

  /** The stream goes where the next block's weights are: T rows, through the host. */
  #moveStream(from: Backend, to: Backend, T: number): void {
    if (from === to) return
    to.write(this.#stateIn(to).ends(T).stream, from.readF32(this.#stateIn(from).ends(T).stream))
  }

  /**
   * Brings one layer under its row of a mask; null is dense.
   * @param passes what runs under it
   */
  #activate(layer: number, mask: LayerMask | null, passes: Pick<CostHints, 'T' | 'steps'>): void {
    const { config, weights } = this.model
    const last = this.#blocks[layer]
    this.#blocks[layer] = denseBlock(weights.blocks[layer], config)
    if (!mask) return last.dispose()
    const changes = this.#schedule?.keepsEveryKey ?? false
    this.#blocks[layer] = activateBlock(
      weights.blocks[layer],
      config,
      mask,
      {
        mode: this.mode,
        ...passes,
        changes,
        packsHeads: !changes && !this.#cache.has(layer),
      },
      last,
    )
  }

  /**
   * The passes that run under a mask that is decided in a segment: the rest of that, and single tokens until the planner is
   * asked again or the text ends. When attention will shift is not known, so it is taken to stay.
   */
  #passesUnder({ past, T }: Segment, isDense: boolean): Pick<CostHints, 'T' | 'steps'> {
    const { every = Infinity, shift } = this.#schedule?.planner ?? {}
    const isPrompt = past === 0
    const fedAfterPrompt = isPrompt ? 0 : past + T - this.#prompt
    const expected = Math.max(0, this.#expectedTokens - fedAfterPrompt)
    // The first mask is decided at the last token of the prompt, a later one at the first token of its segment.
    const left = shift === undefined ? every - (isPrompt ? 1 : T) : Infinity
    const steps = Math.min(left, expected)
    // A dense prompt is not under the mask: the first pass is that of the next token.
    return isDense ? { T: 1, steps: Math.max(0, steps - 1) } : { T, steps }
  }

  /** Brings every layer back to dense, where a prompt that failed has left a mask. */
  #unmask(): void {
    if (!this.#mask) return
    for (let layer = 0; layer < this.model.config.layers; layer++)
      this.#activate(layer, null, { T: 1, steps: 0 })
    this.#mask = null
  }

  #adopt(mask: UnitMask, passes: Pick<CostHints, 'T' | 'steps'>): void {
    checkMask(mask, this.model.shape, this.mode !== 'simulate')
    const start = performance.now()
    for (let layer = 0; layer < this.model.config.layers; layer++)
      this.#activate(layer, layerMask(mask, layer), passes)
    this.#mask = mask
    this.#preparing += performance.now() - start
  }

  /** The whole-model decision, from the heads' outputs of the layer it is made after. */
  #askAfter(segment: Segment, tokens: Int32Array, block: BlockBuffers): UnitMask | null {
    const { backend } = this.model.weights.blocks[this.#schedule?.placement ?? 0]
    return this.#schedule?.afterAttention(segment, tokens, () => backend.readF32(block.context)) ?? null
  }

  /** One layer's decision, from the stream entering it. @param isDense the decision is kept, and the layer stays as it is */
  #askBefore(segment: Segment, layer: number, isDense: boolean): void {
    const { config, shape, weights } = this.model
    const { backend } = weights.blocks[layer]
    const decided = this.#schedule?.beforeLayer(segment, layer, (rows) => {
      const { stream } = this.#stateIn(backend).ends(segment.T)
      return backend.readF32(backend.view(stream, [rows, config.width]))
    })
    if (decided === undefined) return
    if (decided) {
      checkTable(decided.heads, 'head mask', 1, shape.heads)
      checkTable(decided.neurons, 'neuron mask', 1, shape.neurons)
    }
    const kept = this.#noteRow(layer, decided ?? { heads: null, neurons: null })
    if (isDense) return
    const start = performance.now()
    this.#activate(layer, decided && kept, this.#passesUnder(segment, isDense))
    this.#preparing += performance.now() - start
  }

  /** The feed-forward half of a layer whose neurons are chosen by their gate; the prompt is run whole. */
  #feedByGate(segment: Segment, layer: number, pass: Pass, block: BlockBuffers): void {
    const { backend, config } = pass
    const scope = new BufferScope(backend)
    this.#gathered.delete(layer)
    const choose = (): GateChoice | null => {
      const gate = backend.readF32(block.preActivation)
      applyGate(gate, config.gated)
      const mask = this.#schedule?.afterGate(segment, layer, gate) as Float32Array
      const kept = this.#noteRow(layer, { heads: null, neurons: mask })
      const start = performance.now()
      const chosen = chosenUnits(kept.neurons)
      if (segment.past === 0 || (this.mode !== 'simulate' && chosen.length === mask.length)) return null
      const isSimulated = this.mode === 'simulate'
      if (!isSimulated) this.#gathered.add(layer)
      const choice = {
        neurons: isSimulated ? null : scope.upload(chosen),
        factors: isSimulated ? scope.upload(kept.neurons.slice()) : null,
      }
      this.#preparing += performance.now() - start
      return choice
    }
    try {
      feedForward(pass, this.#blocks[layer], block, choose)
    } finally {
      scope.dispose()
    }
  }

  /** Asks the planner what the sites of a layer are to read; the prompt reads all. */
  #channelsOf(segment: Segment, layer: number, backend: Backend): ChooseChannels {
    return (site, x) => {
      const [T, C] = x.shape
      const read = (rows: number): Float32Array => backend.readF32(backend.view(x, [rows, C], (T - rows) * C))
      const mask = this.#schedule?.chooseChannels(segment, layer, site, read) as Float32Array
      if (this.mode !== 'simulate') checkSwitch('channel mask', mask)
      this.#noteChannels(layer, site, mask)
      if (segment.past === 0) return null
      const factors = this.#stateIn(backend).factors(C)
      backend.write(factors, mask)
      return factors
    }
  }

  /** Writes the decision for one site into the mask in force. */
  #noteChannels(layer: number, site: ChannelSite, mask: Float32Array): void {
    const { shape, config } = this.model
    const last = this.#mask?.channels
    const isFirst = layer === 0 && site === channelSites[0]
    if (isFirst || !last) {
      const channels = recordOf(channelSites, (of) => last?.[of].slice() ?? allChannels(config, of))
      this.#mask = { ...denseMask(shape), channels }
    }
    const { channels } = this.#mask as UnitMask & { readonly channels: ChannelMask }
    channels[site].set(mask, layer * mask.length)
  }

  /** Writes one layer's decision into the mask in force; null is all units. */
  #noteRow(layer: number, decided: { [Kind in UnitKind]: Float32Array | null }): LayerMask {
    const { shape } = this.model
    if (layer === 0 || !this.#mask) this.#mask = copyMask(this.#mask ?? denseMask(shape))
    const kept = layerMask(this.#mask, layer)
    for (const kind of unitKinds)
      if (decided[kind]) kept[kind].set(decided[kind])
      else kept[kind].fill(1)
    if (this.mode !== 'simulate') checkSwitches(kept)
    return kept
  }

  #eachChunk(T: number, work: (start: number, rows: number) => void): void {
    const most = this.#stateIn(this.model.backend).logitsRows
    for (let start = 0; start < T; start += most) work(start, Math.min(most, T - start))
  }

  #logits(stream: Buffer, start: number, rows: number): Float32Array {
    return this.model.backend.readF32(this.#headOf(stream, start, rows))
  }

  /** The logits of some rows of the stream, in scratch: [rows, V]. */
  #headOf(stream: Buffer, start: number, rows: number): Buffer {
    const { backend, config, weights } = this.model
    const { width: D } = config
    const pass: Pass = { backend, config, T: rows, past: 0, angles: null }
    const chosen = backend.view(stream, [rows, D], start * D)
    const state = this.#stateIn(backend)
    const logits = state.logits(rows)
    logitsOf(pass, weights, logits, finish(pass, weights, chosen, state.ends(rows).end))
    return logits
  }
}

function copyMask({ shape, heads, neurons }: UnitMask): UnitMask {
  return makeMask(shape, heads.slice(), neurons.slice())
}

/** A mask [L, C] that keeps all channels of a site. */
function allChannels(config: ModelConfig, site: ChannelSite): Float32Array {
  const { layers, width, neurons } = config
  const widths = { attention: width, heads: contextWidth(config), ffn: width, activations: neurons }
  return new Float32Array(layers * widths[site]).fill(1)
}

/** The activation function on a gate [T, F], in place: silu, of OPT relu. */
function applyGate(gate: Float32Array, gated: boolean): void {
  if (gated) silu_gate(gate, gate, new Float32Array(gate.length).fill(1), gate.length)
  else relu(gate, gate, gate.length)
}

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
import { denseMask, makeMask, sameMask, unitKinds, type UnitKind, type UnitMask } from '../masks/mask.ts'
import type { Compensation } from '../masks/compensation.ts'
import { isDensePrompt, type LayerMask, type MaskPlanner, type PlannerBy } from '../masks/planner.ts'
import { gates, relu } from '../ops/activations.ts'
import { InputError, UsageError } from '../tensor/errors.ts'
import { recordOf, remembered } from '../tensor/records.ts'
import {
  activateLayer,
  denseLayer,
  type ActiveLayer,
  type CostHints,
  type Instruction,
  type MaskMode,
} from './active_layer.ts'
import { expectFinite } from './finite_logits.ts'
import { KeyValueCache } from './kv_cache.ts'
import { defaultCache, type CacheStorage, type HeldRows, type LayerCache } from './layer_cache.ts'
import type { ExecutionStrategy } from './mask_cost.ts'
import type { LoadedModel } from './loaded_model.ts'
import type { HeldWeights } from './packing.ts'
import { neededParts } from './needs.ts'
import { layerOf, siteIn, type Section, type Step, type UnitSite } from './plan.ts'
import { PlannerSchedule, type PlannerState, type Segment } from './planner_schedule.ts'
import { RunState } from './run_state.ts'
import { passOf, runStep, type Pass, type ReadChannels } from './run_step.ts'
import { checkMask, chosenUnits, layerMask } from './unit_lists.ts'

/** How a sequence begins. */
export interface SequenceOptions {
  /** Positions to make room for at once; the cache grows by itself. Default: twice the prompt, at least 64. */
  readonly capacity?: number
  /** A mask known beforehand. Not together with a planner. */
  readonly mask?: UnitMask | null
  /** Who decides the mask during the first feed. */
  readonly planner?: MaskPlanner | null
  /** What takes the place of what `mask` skips; default zeros. A planner has its own. */
  readonly compensation?: Compensation | null
  /** How a mask is carried out; default `auto`. Every mode gives the same numbers. */
  readonly mode?: MaskMode
  /**
   * What keys and values are stored as; default `int8` where weights are, else `f32`. Every law of sequences holds exactly
   * for either; the numbers of `int8` are near those of `f32`, not equal.
   */
  readonly cache?: CacheStorage
  /** Whether `rewind` can go back to any token: then layers with windows keep all positions. Default false. */
  readonly rewinds?: boolean
  /** Tokens expected after the first feed, one at a time: what `auto` weighs packing against. Default 0. */
  readonly expectedTokens?: number
}

/** How a sequence goes on from a state, which has its mask and the storage of its cache. */
export type ResumeOptions = Omit<SequenceOptions, 'mask' | 'cache' | 'rewinds'>

/** All that a sequence goes on from: numbers on the host. */
export interface SequenceState {
  /** S, tokens fed so far; at least one. */
  readonly length: number
  /** Tokens of the first feed. */
  readonly prompt: number
  readonly decisions: number
  /** The mask in force. */
  readonly mask: UnitMask | null
  readonly storage: CacheStorage
  /** Whether layers with windows hold all positions. */
  readonly rewinds: boolean
  readonly cache: readonly HeldRows[] // [L]
  /** Null without a planner. */
  readonly planner: PlannerState | null
}

/** How many masks of layers (one of heads, one of neurons) are carried out by each strategy. */
export type StrategyCounts = Readonly<Record<ExecutionStrategy, number>>

/** Which positions' logits a feed hands back. */
export type LogitsWanted = 'all' | 'last' | 'none'

/** Whether tokens run dense whatever mask is in force: as they are, or as more of the prompt. */
type Unmasked = 'dense' | 'prompt' | null

/** The most tokens of a prompt that a compensation is shown: its last ones. */
const SHOWN_TOKENS = 1024

/** The most tokens that run without a pause in a layer. */
const AT_ONCE = 32

/** A sequence in the making. Made by `LanguageModel.begin`; give it back with `dispose`. */
export class Sequence {
  readonly model: LoadedModel
  readonly mode: MaskMode
  /** What takes the place of skipped units; null: zeros. */
  readonly compensation: Compensation | null
  readonly #schedule: PlannerSchedule | null
  readonly #capacity: number | undefined
  readonly #cache: KeyValueCache
  /** Scratch, in each backend that holds a part of the model. */
  readonly #states = new Map<Backend, RunState>()
  readonly #expectedTokens: number
  /** The sections without a mask. */
  readonly #whole: readonly ActiveLayer[] // [L + 2]
  /** The layers under the mask in force. */
  readonly #layers: ActiveLayer[] // [L]
  #mask: UnitMask | null = null
  /** What the matrices of each layer read over a dense prompt, if the compensation sees it. */
  readonly #shown: Record<UnitKind, Float32Array>[] = [] // [L] of [T, N]
  /** Layers whose neurons were chosen by their gate. */
  readonly #gathered = new Set<number>()
  #length = 0
  /** Tokens of the first feed. */
  #prompt = 0
  /** Whether `decide` has put a mask in force, behind tokens that ran dense. */
  #decidedLate = false
  #preparing = 0
  #decisions = 0
  /** Whether a feed has begun and not ended. */
  #isFed = false
  #disposed = false

  /**
   * @param from a state of a sequence of the same model, with the same planner
   * @throws UsageError COMPENSATE for a compensation that this planner or mask cannot have; MASK_SHAPE, MASK_VALUE, PLACEMENT, EVERY, or PLANNER if both a mask and a planner are given; MissingError
   *   BACKEND_MEMORY if there is no room for a state; InputError SESSION for a state under another planner
   */
  constructor(model: LoadedModel, options: SequenceOptions = {}, from: SequenceState | null = null) {
    const { mask = null, planner = null, mode = 'auto' } = options
    if (mask && planner) throw new UsageError('PLANNER', 'sequence: expected a mask or a planner, got both')
    this.model = model
    this.mode = mode
    this.#schedule = planner && new PlannerSchedule(planner, model.config, mode !== 'simulate')
    this.compensation = planner?.compensation ?? options.compensation ?? null
    expectCompensable(this.compensation, planner)
    this.#capacity = options.capacity
    this.#expectedTokens = options.expectedTokens ?? 0
    const storage = from?.storage ?? options.cache ?? defaultCache(model.weights.storage)
    this.#cache = new KeyValueCache(model.config, storage, from?.rewinds ?? options.rewinds)
    this.#whole = model.plan.sections.map((section) => denseLayer(section, this.#heldBy(section.layer)))
    this.#layers = this.#whole.slice(1, -1)
    if (mask) this.#adoptGiven(mask, this.#expectedTokens)
    if (from) this.#resume(from)
  }

  #resume({ length, prompt, decisions, mask, cache, planner }: SequenceState): void {
    const { layers } = this.model.weights
    const schedule = this.#schedule
    try {
      if (
        (planner === null) !== (schedule === null) ||
        !mask?.channels !== (schedule?.planner.by !== 'channels')
      )
        throw new InputError(
          'SESSION',
          `sequence: expected the state of one ${schedule ? `under planner ${schedule.planner.name}` : 'without a planner'}, got another`,
        )
      if (planner) schedule?.restore(planner, length, prompt)
      this.#cache.reserve(length, 0, this.#capacity ?? 2 * length)
      layers.forEach((backend, layer) => this.#cache.fill(layer, backend, length, cache[layer]))
      // A mask of single tokens is in no layer.
      if (mask && !mask.channels && schedule?.planner.by !== 'gate')
        this.#adoptGiven(mask, this.#expectedTokens)
    } catch (error) {
      this.dispose()
      throw error
    }
    this.#mask = mask
    this.#length = length
    this.#prompt = prompt
    this.#decisions = decisions
  }

  /**
   * All that `LanguageModel.resume` goes on from with the bits that this sequence would give: strategies may be others (see
   * `mode`). A copy.
   * @throws UsageError TOKENS before the first feed, BUSY during a feed
   */
  state(): SequenceState {
    this.#expectIdle()
    const length = this.#length
    if (length === 0) throw new UsageError('TOKENS', 'sequence: expected at least one token fed, got none')
    if (this.compensation?.seesPrompt)
      throw new UsageError(
        'SESSION',
        'sequence: expected a compensation without a share of the prompt, whose activations are not saved, got one with it',
      )
    const { layers, heads, keyHeads } = this.model.config
    const heldHeads = (layer: number): Int32Array => {
      const kept = this.#mask ? layerMask(this.#mask, layer).heads : new Float32Array(heads).fill(1)
      return neededParts(chosenUnits(kept), heads, keyHeads).needed
    }
    return {
      length,
      prompt: this.#prompt,
      decisions: this.#decisions,
      mask: this.#mask && copyWhole(this.#mask),
      storage: this.#cache.storage,
      rewinds: this.#cache.keepsAll,
      cache: Array.from({ length: layers }, (_, layer) => this.#cache.held(layer, length, heldHeads(layer))),
      planner: this.#schedule?.state(length) ?? null,
    }
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
    for (const [layer, { strategies }] of this.#layers.entries())
      for (const [i, { step }] of this.#sectionOf(layer).sites.entries())
        counts[step.kind === 'neurons' && this.#gathered.has(layer) ? 'gather' : strategies[i]]++
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
   * @param logits of every position, of the last one, or of none
   * @returns logits [T, V], or of the last position [V], or nothing
   * @throws UsageError TOKENS for none or an id outside the vocabulary, CONTEXT_LENGTH past the last position, BUSY during another feed;
   *   PLANNER_MASK, MASK_SHAPE or MASK_VALUE for a planner's mask. Segments that ran before the planner failed stay fed.
   */
  feed(tokens: Int32Array, logits: LogitsWanted = 'last'): Float32Array {
    return finish(this.#feed(tokens, logits))
  }

  /**
   * Runs tokens as `feed` does, and yields null after each operation on more than a few of them, so that a long prompt, which runs as a
   * whole where a planner is asked for it, does not hold up what else is to be done. A sequence that is left in between is of
   * no further use.
   * @param tokens [T], at least one
   * @param logits as in `feed`
   * @throws as `feed`
   */
  feedInSteps(tokens: Int32Array, logits: LogitsWanted = 'last'): Generator<null, Float32Array, void> {
    return this.#feed(tokens, logits)
  }

  /**
   * Runs tokens dense after those already fed, whatever mask is in force. The mask stays in force for the next feed, and
   * the planner is not asked. After `rewind`, tokens that ran under the mask run again as if there were none.
   * @param tokens [T], at least one
   * @param logits as in `feed`
   * @returns as `feed`
   * @throws UsageError PREFILL if the tokens so far did not begin with a dense prompt, as `feed`
   */
  feedDense(tokens: Int32Array, logits: LogitsWanted = 'last'): Float32Array {
    if (!this.#isPromptDense || this.#length === 0)
      throw new UsageError(
        'PREFILL',
        'dense feed: expected a prompt that ran dense before it, so that the cache has all heads, got another',
      )
    return finish(this.#feed(tokens, logits, 'dense'))
  }

  /** Whether the tokens of the first feed ran dense. */
  get #isPromptDense(): boolean {
    if (this.#decidedLate) return true
    return this.#schedule ? isDensePrompt(this.#schedule.planner) : this.#mask === null
  }

  *#feed(
    tokens: Int32Array,
    logits: LogitsWanted,
    unmasked: Unmasked = null,
  ): Generator<null, Float32Array, void> {
    const { vocabulary: V } = this.model.config
    const T = tokens.length
    let rows: Float32Array = new Float32Array(logits === 'all' ? T * V : 0)
    const read = (stream: Buffer, start: number, count: number): void => {
      if (logits === 'all')
        this.#eachChunk(count, (at, some) => rows.set(this.#logits(stream, at, some), (start + at) * V))
      else if (logits === 'last' && start + count === T) rows = this.#logits(stream, count - 1, 1)
    }
    yield* this.#run(tokens, read, unmasked)
    return rows
  }

  /**
   * Runs tokens and scores what follows each of them, without handing logits to the host.
   * @param tokens [T]
   * @param targets [T], the id that follows each token, or -100 for "not scored"
   * @returns negative log-likelihoods in nats [T], 0 where not scored
   * @throws UsageError as `feed`; LABELS if the lists differ in length; InputError LOGITS_NOT_FINITE
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
    const read = (stream: Buffer, start: number, count: number): void =>
      this.#eachChunk(count, (from, rows) => scoreChunk(stream, from, rows, start + from))
    finish(this.#run(tokens, read))
    scores.forEach(expectFinite)
    return scores
  }

  /**
   * Forgets what was fed after the first `length` tokens, so that a text can go on from there in another way. The mask in
   * force stays; a planner that decides at every token is asked again as ever.
   * @param decided the mask that is decided for the whole text to come, null for dense. It must be the one
   *   in force, and then lengths inside the first feed are allowed: all that is kept ran under it, except
   *   layers that run dense in any case.
   * @throws UsageError REWIND for a length inside the first feed, by which masks are decided, or past what was fed, and
   *   under a planner that is asked now and then: its earlier masks are gone; and for a length that `canRewind` denies; BUSY during a feed
   */
  rewind(length: number, decided?: UnitMask | null): void {
    this.#expectIdle()
    const { every = 1, shift, name } = this.#schedule?.planner ?? {}
    const isSame = decided !== undefined
    // Where no mask was in force, all ran dense, whoever was to decide later.
    if (isSame && this.#mask && !(this.#schedule?.decidesOnce ?? true))
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
    if (!this.canRewind(length))
      throw new UsageError(
        'REWIND',
        `rewind: expected a length whose window is still held, got ${length} of ${this.#length} tokens; begin with rewinds`,
      )
    this.#length = length
    this.#prompt = Math.min(this.#prompt, length)
    this.#schedule?.cutPrompt(length)
  }

  /**
   * Forgets the mask, and what was fed under it after a prompt that ran dense: a dense sequence of the prompt remains. Where no mask is
   * in force, or the prompt ran under it, nothing changes.
   * @returns whether it can: false where a window slid past the end of the prompt
   */
  forgetMask(): boolean {
    if (!this.#mask || !this.#isPromptDense) return true
    if (!this.canRewind(this.#prompt)) return false
    this.rewind(this.#prompt)
    this.#unmask()
    this.#decidedLate = false
    this.#decisions = 0
    return true
  }

  /** Tokens from the first on after which `lengthenPrompt` can go on under a planner by prompt; 0 if it cannot. */
  summedFor(planner: MaskPlanner): number {
    return this.#schedule?.summedFor(planner) ?? 0
  }

  /**
   * Takes all tokens so far, which ran dense, for the beginning of a prompt: runs the rest dense, and puts in force what is decided over the
   * whole, as a planner that decides once does at the end of a dense prompt. Yields as `feedInSteps`.
   * @param prompt [T], with the tokens so far, as many as `summedFor` tells where a planner is given
   * @param decided the mask, of the model's shape, or the planner by prompt that is asked at the end
   * @returns the logits of the last token: [V]
   * @throws UsageError PREFILL where a mask is in force, MASK_SHAPE, and as `feed`
   */
  *lengthenPrompt(
    prompt: Int32Array,
    decided: UnitMask | PlannerBy<'prompt'>,
  ): Generator<null, Float32Array, void> {
    if (this.#mask)
      throw new UsageError('PREFILL', 'sequence: expected tokens that ran dense, got some under a mask')
    const logits = yield* this.#feed(prompt.subarray(this.#length), 'last', 'prompt')
    const mask = 'by' in decided ? this.#schedule?.afterPrompt(prompt, decided) : decided
    this.#adoptGiven(mask as UnitMask, Math.max(0, this.#expectedTokens - 1))
    this.#decidedLate = true
    this.#prompt = this.#length
    this.#decisions = 1
    return logits
  }

  /** Whether the caches still hold what tokens after the first `length` see: those over which a window slid may not. */
  canRewind(length: number): boolean {
    return this.#cache.holds(length)
  }

  /** Bytes of its cache and of the weights that were made for its mask; the scratch is not among them. */
  get bytes(): number {
    return this.#layers.reduce((total, { bytes }) => total + bytes, this.#cache.bytes)
  }

  /** Frees the scratch, which grows with the longest feed; the next feed makes its own. */
  freeScratch(): void {
    for (const state of this.#states.values()) state.dispose()
    this.#states.clear()
  }

  /** Frees the cache, the scratch and the mask. Safe to call twice. */
  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    this.#cache.dispose()
    this.freeScratch()
    for (const layer of [...this.#layers, ...this.#whole]) layer.dispose()
  }

  /** As `dispose`. */
  [Symbol.dispose](): void {
    this.dispose()
  }

  /**
   * Runs new tokens segment by segment.
   * @param each is given a segment's stream [count, D], which stays in scratch, and its place
   */
  *#run(
    tokens: Int32Array,
    each: (stream: Buffer, start: number, count: number) => void,
    unmasked: Unmasked = null,
  ): Generator<null, void, void> {
    const T = tokens.length
    const past = this.#length
    if (this.#disposed) throw new UsageError('DISPOSED', 'the sequence has been disposed')
    this.#expectIdle()
    this.model.checkTokens(tokens, past)
    this.#cache.reserve(past + T, past, this.#capacity ?? Math.max(64, 2 * T))
    const segments = unmasked ? null : this.#schedule?.segments(past, T)
    this.#isFed = true
    try {
      for (const segment of segments ?? [{ past, T, asks: false }]) {
        const start = segment.past - past
        each(
          yield* this.#runSegment(segment, tokens.subarray(start, start + segment.T), unmasked),
          start,
          segment.T,
        )
        if (segment.asks) this.#decisions++
      }
    } finally {
      this.#isFed = false
    }
    if (past === 0) this.#prompt = T
  }

  /** Refuses a call during a feed in steps, or of a planner that is asked in one. @throws UsageError BUSY */
  #expectIdle(): void {
    if (this.#isFed)
      throw new UsageError(
        'BUSY',
        'sequence: expected one call at a time, got another while a feed is still writing to it',
      )
  }

  /** The layers over a segment; returns the stream leaving the last one, in the model's first backend. */
  *#runSegment(segment: Segment, tokens: Int32Array, unmasked: Unmasked): Generator<null, Buffer, void> {
    const { model } = this
    const { past, T } = segment
    const { backend: home } = model
    const schedule = this.#schedule
    const isDense = schedule?.runsDense(segment) ?? false
    const decides = schedule !== null && !unmasked
    const gates = decides && schedule.planner.by === 'gate'
    const channels = decides && schedule.planner.by === 'channels'
    const shows = isDense && this.compensation?.seesPrompt === true
    if (isDense) this.#unmask()
    this.#runStart(segment, tokens)
    let decided: UnitMask | null = null
    let pass = passOf(model, home, past, T)
    const asks: Asks = {
      context: (layer, context) => {
        if (shows) this.#show(layer, 'heads', pass.backend, context)
        if (layer !== schedule?.sourceLayer) return
        decided = schedule.afterAttention(segment, tokens, () => pass.backend.readF32(context))
        if (decided && !isDense) this.#adopt(decided, this.#passesUnder(segment, isDense))
      },
      gate: gates ? (...shown) => this.#askGate(segment, ...shown) : null,
      activation: (layer, activation) => {
        if (shows) this.#show(layer, 'neurons', pass.backend, activation)
        if (schedule?.summarizes && (isDense || unmasked === 'prompt'))
          schedule.summarize(segment, layer, pass.backend.readF32(activation))
      },
    }
    for (let layer = 0; layer < model.config.layers; layer++) {
      const { backend } = pass
      const next = model.weights.layers[layer]
      if (next !== backend) {
        this.#moveStream(layer, backend, next, T)
        pass = passOf(model, next, past, T)
      }
      this.#askBefore(segment, layer, isDense)
      const read = channels ? this.#channelsOf(segment, layer, pass) : null
      yield* this.#runLayer(pass, layer, unmasked, read, asks)
    }
    const end = model.config.layers
    if (pass.backend !== home) this.#moveStream(end, pass.backend, home, T)
    if (isDense && !gates && !channels) {
      const mask = decided ?? schedule?.afterPrompt(tokens) ?? this.#mask
      if (mask) this.#adopt(mask, this.#passesUnder(segment, isDense))
    }
    this.#length = past + T
    return this.#stream(end, home, T)
  }

  /** The steps before the layers. */
  #runStart({ past, T }: Segment, tokens: Int32Array): void {
    const { plan, backend } = this.model
    const [section] = plan.sections
    const { instructions } = this.#whole[0]
    const ids = backend.upload(tokens)
    try {
      const pass = passOf(this.model, backend, past, T, ids)
      const frame = this.#stateIn(backend).frame(section, T, instructions)
      for (const instruction of instructions) runStep(pass, instruction, frame, noCache)
    } finally {
      backend.free(ids)
    }
  }

  /** The steps of a layer. What asks is called when its value is there, and may bring the layer under a mask. */
  *#runLayer(
    pass: Pass,
    layer: number,
    unmasked: Unmasked,
    read: ReadChannels | null,
    asks: Asks,
  ): Generator<null, void, void> {
    const { backend, T } = pass
    const section = this.#sectionOf(layer)
    const active = (): ActiveLayer => (unmasked ? this.#whole[layer + 1] : this.#layers[layer])
    let { instructions } = active()
    const state = this.#stateIn(backend)
    const frame = state.frame(section, T, instructions)
    const cacheOf = (keyHeads: number, window: number | null): LayerCache =>
      this.#cache.layer(layer, backend, keyHeads, window)
    const heads = siteIn(section, 'heads')
    const neurons = siteIn(section, 'neurons')
    const scope = asks.gate && new BufferScope(backend)
    try {
      const runSteps = (from: number, to: number): void => {
        for (let i = from; i < to; i++) runStep(pass, instructions[i], frame, cacheOf, read)
      }
      // What reads channels or chooses by the gate is another for each token.
      const isRecorded = T === 1 && !read && !scope
      for (let i = 0, place = 0; i < instructions.length; i = place) {
        place = isRecorded ? section.stretches[i] : i + 1
        if (place > i + 1) state.stretch(section, i, instructions, () => runSteps(i, place))
        else runSteps(i, place)
        if (T > AT_ONCE) yield null
        if (place === heads.inner) {
          asks.context(layer, frame[place])
          ;({ instructions } = active())
        } else if (scope && place === neurons.gate?.place) {
          const choice = asks.gate?.(layer, neurons, frame[place], scope)
          if (choice) instructions = chooseLate(instructions, neurons, choice)
        } else if (place === neurons.inner) asks.activation(layer, frame[place])
      }
    } finally {
      scope?.dispose()
    }
  }

  #sectionOf(layer: number): Section {
    return layerOf(this.model.plan, layer)
  }

  #heldBy(layer: number | null): HeldWeights {
    const { backend, weights } = this.model
    return { backend: layer === null ? backend : weights.layers[layer], matrices: weights.matrices }
  }

  #stateIn(backend: Backend): RunState {
    return remembered(this.#states, backend, () => new RunState(backend, this.model.plan))
  }

  /** The stream that enters a layer, or what stands behind the last: [T, D]. */
  #stream(layer: number, backend: Backend, T: number): Buffer {
    return this.#stateIn(backend).entering(this.#sectionOf(layer), T)
  }

  /** The stream goes where the next section's weights are: T rows, through the host. */
  #moveStream(layer: number, from: Backend, to: Backend, T: number): void {
    to.write(this.#stream(layer, to, T), from.readF32(this.#stream(layer, from, T)))
  }

  /**
   * Brings one layer under its row of a mask; null is dense.
   * @param passes what runs under it
   */
  #activate(layer: number, mask: LayerMask | null, passes: Pick<CostHints, 'T' | 'steps'>): void {
    const held = this.#heldBy(layer)
    const section = this.#sectionOf(layer)
    const whole = this.#whole[layer + 1]
    const last = this.#layers[layer] === whole ? null : this.#layers[layer]
    this.#layers[layer] = whole
    if (!mask) return last?.dispose()
    const changes = this.#schedule?.keepsEveryKey ?? false
    const packsHeads = !changes && !this.#cache.has(layer)
    const hints = { mode: this.mode, ...passes, changes, packsHeads }
    const by = this.compensation
    const compensation = by && { by, layer, prompt: this.#shown[layer] ?? null }
    this.#layers[layer] = activateLayer(section, held, mask, hints, last, compensation)
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

  /** Keeps what a matrix reads over the last tokens of a dense prompt. @param x [T, N] */
  #show(layer: number, kind: UnitKind, backend: Backend, x: Buffer): void {
    const [T, N] = x.shape
    const rows = Math.min(T, SHOWN_TOKENS)
    const values = backend.readF32(backend.view(x, [rows, N], (T - rows) * N))
    this.#shown[layer] = { ...this.#shown[layer], [kind]: values }
  }

  /** Brings every layer back to dense, where a prompt that failed has left a mask. */
  #unmask(): void {
    if (!this.#mask) return
    for (const layer of this.#layers.keys()) this.#activate(layer, null, { T: 1, steps: 0 })
    this.#mask = null
  }

  /** Brings single tokens to come under a mask that no answer of the planner has been checked for. */
  #adoptGiven(mask: UnitMask, steps: number): void {
    checkMask(mask, this.model.shape, this.mode !== 'simulate')
    this.#adopt(mask, { T: 1, steps })
  }

  #adopt(mask: UnitMask, passes: Pick<CostHints, 'T' | 'steps'>): void {
    const start = performance.now()
    for (const layer of this.#layers.keys()) this.#activate(layer, layerMask(mask, layer), passes)
    this.#mask = mask
    this.#preparing += performance.now() - start
  }

  /** One layer's decision, from the stream entering it. @param isDense the decision is kept, and the layer stays as it is */
  #askBefore(segment: Segment, layer: number, isDense: boolean): void {
    const { config, weights } = this.model
    const backend = weights.layers[layer]
    const decided = this.#schedule?.beforeLayer(segment, layer, (rows) => {
      return backend.readF32(backend.view(this.#stream(layer, backend, segment.T), [rows, config.width]))
    })
    if (decided === undefined) return
    const kept = this.#noteRow(layer, decided ?? { heads: null, neurons: null })
    if (isDense) return
    const start = performance.now()
    this.#activate(layer, decided && kept, this.#passesUnder(segment, isDense))
    this.#preparing += performance.now() - start
  }

  /** The neurons of a layer by their gate, which has been computed; null keeps all: the prompt is run whole. */
  #askGate(
    segment: Segment,
    layer: number,
    site: UnitSite,
    gate: Buffer,
    scope: BufferScope,
  ): GateChoice | null {
    const values = scope.backend.readF32(gate)
    activate(values, this.#sectionOf(layer), site)
    this.#gathered.delete(layer)
    const mask = this.#schedule?.afterGate(segment, layer, values) as Float32Array
    const kept = this.#noteRow(layer, { heads: null, neurons: mask })
    const start = performance.now()
    const chosen = chosenUnits(kept.neurons)
    const isSimulated = this.mode === 'simulate'
    if (segment.past === 0 || (!isSimulated && chosen.length === mask.length)) return null
    if (!isSimulated) this.#gathered.add(layer)
    const choice = {
      neurons: isSimulated ? null : scope.upload(chosen),
      factors: isSimulated ? scope.upload(kept.neurons.slice()) : null,
    }
    this.#preparing += performance.now() - start
    return choice
  }

  /** Asks the planner what the sites of a layer are to read; the prompt reads all. */
  #channelsOf(segment: Segment, layer: number, { backend, T }: Pass): ReadChannels {
    let masked: Buffer | null = null
    const state = this.#stateIn(backend)
    return ({ step }, x) => {
      const [, C] = x.shape
      if (step.reads === null) return x
      if (!step.reads.isFirst) return masked ?? x
      const { site } = step.reads
      const read = (rows: number): Float32Array => backend.readF32(backend.view(x, [rows, C], (T - rows) * C))
      const mask = this.#schedule?.chooseChannels(segment, layer, site, read) as Float32Array
      this.#noteChannels(layer, site, mask)
      masked = null
      if (segment.past === 0) return x
      const factors = state.factors(C)
      backend.write(factors, mask)
      masked = state.masked(T, C)
      backend.ops.mask_units(masked, x, factors)
      return masked
    }
  }

  /** Writes the decision for one site into the mask in force. */
  #noteChannels(layer: number, site: ChannelSite, mask: Float32Array): void {
    const { shape } = this.model
    const last = this.#mask?.channels
    const isFirst = layer === 0 && site === channelSites[0]
    if (isFirst || !last) {
      const channels = recordOf(channelSites, (of) => last?.[of].slice() ?? allChannels(this.model, of))
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
    const { backend, config } = this.model
    const section = this.#sectionOf(config.layers)
    const { instructions } = this.#whole[config.layers + 1]
    const state = this.#stateIn(backend)
    const frame = state.frame(section, rows, instructions).slice()
    frame[0] = backend.view(stream, [rows, config.width], start * config.width)
    frame[section.steps.length] = state.logits(rows)
    const pass = passOf(this.model, backend, 0, rows)
    for (const instruction of instructions) runStep(pass, instruction, frame, noCache)
    return frame[section.steps.length]
  }
}

/** @throws UsageError COMPENSATE */
function expectCompensable(compensation: Compensation | null, planner: MaskPlanner | null): void {
  if (!compensation) return
  const refuse = (expected: string, got: string): never => {
    throw new UsageError('COMPENSATE', `compensation: expected ${expected}, got ${got}`)
  }
  if (planner && (planner.by === 'gate' || planner.by === 'channels'))
    refuse('a planner whose mask holds for more than a token', `planner ${planner.name}`)
  if (compensation.seesPrompt && !(planner && isDensePrompt(planner)))
    refuse(
      'a prompt that runs dense, because it has a share',
      planner ? 'a masked one' : 'a mask known beforehand',
    )
}

/** What a generator returns. */
function finish<Value>(steps: Generator<null, Value, void>): Value {
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
  }
}

/** Who is asked in the middle of a layer, and what they are shown. */
interface Asks {
  /** The heads' outputs. */
  readonly context: (layer: number, value: Buffer) => void
  /** The result of the product before the activation function. */
  readonly gate:
    | ((layer: number, site: UnitSite, gate: Buffer, scope: BufferScope) => GateChoice | null)
    | null
  /** The activations, before any mask. */
  readonly activation: (layer: number, value: Buffer) => void
}

/** The neurons that are chosen by their gate, in buffers that outlive the layer. */
interface GateChoice {
  /** Those that are computed, ascending; null for all. */
  readonly neurons: Buffer | null // below F
  /** The factors of activations, where all are computed. */
  readonly factors: Buffer | null // [F]
}

/** The instructions of a layer whose neurons are chosen when their gate has been computed. */
function chooseLate(
  instructions: readonly Instruction[],
  { place, gate, makers, readers }: UnitSite,
  { neurons, factors }: GateChoice,
): Instruction[] {
  const choosing = new Set([...makers, ...readers].filter((step) => step !== gate).map((step) => step.place))
  return instructions.map((one) => {
    if (one.step.place === place) return { ...one, factors }
    return choosing.has(one.step.place) ? { ...one, rows: neurons } : one
  })
}

function noCache(): never {
  throw new RangeError('program: expected attention inside layers, got it outside')
}

/** A copy of a mask, that of channels included. */
function copyWhole(mask: UnitMask): UnitMask {
  const { channels } = mask
  return {
    ...copyMask(mask),
    ...(channels && { channels: recordOf(channelSites, (site) => channels[site].slice()) }),
  }
}

function copyMask({ shape, heads, neurons }: UnitMask): UnitMask {
  return makeMask(shape, heads.slice(), neurons.slice())
}

/** A mask [L, C] that keeps all channels of a site. */
function allChannels({ plan, config }: LoadedModel, site: ChannelSite): Float32Array {
  const reading = layerOf(plan, 0).steps.find(({ reads }) => reads?.site === site)
  return new Float32Array(config.layers * (reading?.value.of[0].width ?? 0)).fill(1)
}

/** The activation function on a gate [T, F], in place: that of what reads it, without what it is multiplied by. */
function activate(gate: Float32Array, { steps }: Section, site: UnitSite): void {
  const { value } = steps.find(({ of }) => of[0] === site.gate?.place) as Step
  const N = gate.length
  if (value.op === 'gate') gates[value.activation].forward(gate, gate, new Float32Array(N).fill(1), N)
  else relu(gate, gate, N)
}

/**
 * When a sequence asks its planner, and what it shows it (the rules are in masks/planner.ts).
 *
 * The first feed is the prompt and is never cut. A later feed is cut where the planner is asked again, so that each segment
 * runs under one mask whoever feeds it, token by token or at once.
 */
import { channelSites, type ChannelSite } from '../masks/channels.ts'
import type { UnitMask, UnitShape } from '../masks/mask.ts'
import {
  expectFields,
  isDensePrompt,
  isOneMask,
  everyTokens,
  prefillOption,
  ways,
  type LayerMask,
  type MaskPlanner,
  type PlannerBy,
} from '../masks/planner.ts'
import { AttentionShift, type ShiftState } from '../masks/shift.ts'
import { describeValue } from '../tensor/arguments.ts'
import { InputError, UsageError } from '../tensor/errors.ts'
import { expectOption } from '../tensor/option.ts'
import type { RandomState } from '../tensor/random.ts'
import { contextWidth, type ModelConfig } from './config.ts'
import { expectLayerMask, expectModelMask, expectRow, expectSummary } from './planner_answers.ts'

/** A run of tokens under one mask. */
export interface Segment {
  /** Where it begins in the sequence. */
  readonly past: number
  /** Tokens. */
  readonly T: number
  /** Whether the planner is asked in it. */
  readonly asks: boolean
}

/** What a planner is yet to be shown, and the random numbers that it is yet to draw. */
export interface PlannerState {
  /** Ids so far, where the planner is shown them again; else none. */
  readonly ids: Int32Array // [S]
  /** Heads' outputs of the source layer so far, under the same condition. */
  readonly contexts: Float32Array // [S, H K]
  /** What it made of the gates of each layer, or of what each site of each layer read; empty for other planners. */
  readonly summaries: readonly Float32Array[] // [L] or [4 L]
  readonly shift: ShiftState | null
  readonly random: RandomState | null
}

/** What a planner object that decides at every token has to say. */
const EVERY_TOKEN = '; set every: 1'
const everyOfPlanner: typeof everyTokens = {
  ...everyTokens,
  hint: () => `${EVERY_TOKEN} to decide at every token`,
}

/** The planner of one sequence, and what it is yet to be shown. */
export class PlannerSchedule {
  readonly planner: MaskPlanner
  /** The layer after whose attention the planner is asked; null where it is asked before each layer or after the prompt. */
  readonly sourceLayer: number | null
  readonly #width: number
  readonly #shape: UnitShape
  /** Whether units are to be skipped by its masks. */
  readonly #skips: boolean
  readonly #shift: AttentionShift | null
  /** Ids so far, as far as the planner may be shown them. */
  readonly #ids: number[] = []
  /** Heads' outputs of layer `sourceLayer` so far: [S, H K], and room. */
  #contexts: Float32Array = new Float32Array(0)
  #prompt = 0
  /** What the planner made of the layers' activations over the prompt: [L, F]. */
  #summaries: Float32Array = new Float32Array(0)
  /** What it left for the tokens to come, of each layer, and after how many tokens. */
  readonly #sums: Float64Array[] = [] // [L] of [F]
  #summed = 0
  /** What it made of their gates. */
  readonly #gates: Float32Array[] = [] // [L]
  /** What it made of what the sites of layers read. */
  readonly #channels: Float32Array[] = [] // [4 L]

  /**
   * @param skips whether units are to be skipped by its masks
   * @throws UsageError PLANNER for one that decides in no way, has a misspelled field, or is to be shown the answer; PREFILL,
   *   PLACEMENT, EVERY
   */
  constructor(planner: MaskPlanner, config: ModelConfig, skips: boolean) {
    expectWay(planner)
    const { name, every, shift, prefill } = planner
    const sourceLayer = planner.by === 'attention' ? (planner.sourceLayer ?? 0) : null
    const { layers } = config
    if (prefill !== undefined) expectOption(`planner ${name}, prefill`, prefill, prefillOption)
    expectSeesPrompt(planner)
    if (planner.leaky)
      throw new UsageError(
        'PLANNER',
        `planner ${name}: expected one that sees the prompt only, got a leaky one`,
      )
    if (sourceLayer !== null && (!Number.isInteger(sourceLayer) || sourceLayer < 0 || sourceLayer >= layers))
      throw new UsageError(
        'PLACEMENT',
        `planner ${name}: expected a source layer from 0 to ${layers - 1}, got ${sourceLayer}`,
      )
    if (every !== undefined) expectOption(`planner ${name}, every`, every, everyOfPlanner)
    if (shift !== undefined && (Number.isNaN(shift) || every === undefined || sourceLayer === null))
      throw new UsageError(
        'EVERY',
        `planner ${name}: expected one that decides again after the attention of its source layer, got another with a shift of ${shift}${every === undefined ? EVERY_TOKEN : ''}`,
      )
    this.planner = planner
    this.sourceLayer = sourceLayer
    this.#width = contextWidth(config)
    this.#shape = config
    this.#skips = skips
    this.#shift =
      shift === undefined || every === undefined ? null : new AttentionShift(this.#width, every, shift)
  }

  /** What is kept of it besides the mask in force, after `length` tokens. */
  state(length: number): PlannerState {
    const isShown = this.planner.by === 'attention' && this.keepsEveryKey
    return {
      ids: Int32Array.from(isShown ? this.#ids.slice(0, length) : []),
      contexts: this.#contexts.slice(0, isShown ? length * this.#width : 0),
      summaries: [...this.#gates, ...this.#channels].map((summary) => summary.slice()),
      shift: this.#shift?.state ?? null,
      random: this.planner.random?.state ?? null,
    }
  }

  /**
   * Goes on from a state of a planner like this one.
   * @param length tokens so far
   * @param prompt those of the first feed
   * @throws InputError SESSION for a state of another planner
   */
  restore(state: PlannerState, length: number, prompt: number): void {
    const { ids, contexts, summaries, shift, random } = state
    const { planner } = this
    const shown = planner.by === 'attention' && this.keepsEveryKey ? length : 0
    const kept = planner.by === 'gate' ? 1 : planner.by === 'channels' ? channelSites.length : 0
    const isAlike =
      ids.length === shown &&
      contexts.length === shown * this.#width &&
      summaries.length === kept * this.#shape.layers &&
      (shift === null) === (this.#shift === null) &&
      (random === null) === (planner.random === undefined)
    if (!isAlike)
      throw new InputError(
        'SESSION',
        `planner ${planner.name}: expected the state of one like it, got another`,
      )
    this.#prompt = prompt
    this.#ids.push(...ids)
    this.#contexts = contexts.slice()
    if (planner.by === 'gate') this.#gates.push(...summaries)
    if (planner.by === 'channels') this.#channels.push(...summaries)
    if (this.#shift && shift) this.#shift.state = shift
    if (planner.random && random) planner.random.state = random
  }

  /** Whether keys and values of all heads are kept: one that is skipped now may be chosen later. */
  get keepsEveryKey(): boolean {
    return this.planner.every !== undefined
  }

  /** Whether one mask, decided during the prompt, holds for all tokens. */
  get decidesOnce(): boolean {
    return isOneMask(this.planner)
  }

  /** Whether a segment runs dense to its end, whatever is decided in it. */
  runsDense({ past }: Segment): boolean {
    return past === 0 && isDensePrompt(this.planner)
  }

  /** Whether the planner is to be shown the activations of the prompt. */
  get summarizes(): boolean {
    return this.planner.by === 'prompt'
  }

  /** Tokens from the first on after whose sums a planner can go on; 0 if it cannot. */
  summedFor(planner: MaskPlanner): number {
    const own = this.planner
    const isAlike =
      own.by === 'prompt' &&
      planner.by === 'prompt' &&
      own.sumsUp === true &&
      planner.sumsUp === true &&
      own.summarize === planner.summarize
    return isAlike ? this.#summed : 0
  }

  /**
   * The activations of a prompt, or of more of it, have left a layer: keeps what the planner makes of them.
   * @param activations [T, F]
   * @throws UsageError SCORE_SHAPE for what is not a number for each neuron
   */
  summarize({ past, T }: Segment, layer: number, activations: Float32Array): void {
    const planner = this.planner as PlannerBy<'prompt'>
    const { layers, neurons: F } = this.#shape
    if (past === 0) this.#sums[layer] = new Float64Array(F)
    const summary = planner.summarize(activations, T, this.#sums[layer])
    expectSummary({ planner, name: 'summarize', layer }, summary, F)
    if (layer === 0) this.#summaries = new Float32Array(layers * F)
    this.#summaries.set(summary, layer * F)
    this.#summed = layer === layers - 1 ? past + T : 0
  }

  /**
   * The neurons of a layer by the gate of a token; of a prompt, by that of its last token.
   * @param gate [T, F], of the whole prompt or of one later token
   * @throws UsageError MASK_SHAPE, MASK_VALUE, SCORE_SHAPE
   */
  afterGate(segment: Segment, layer: number, gate: Float32Array): Float32Array {
    const planner = this.planner as PlannerBy<'gate'>
    const { neurons: F } = this.#shape
    if (segment.past === 0) {
      const summary = planner.summarize(layer, gate, segment.T)
      expectSummary({ planner, name: 'summarize', layer }, summary)
      this.#gates[layer] = summary
    }
    const mask = planner.choose(layer, gate.subarray(gate.length - F), this.#gates[layer])
    expectRow({ planner, name: 'choose', layer }, mask, 'neuron mask', F, this.#skips)
    return mask
  }

  /**
   * The input channels of a site by what it would read of a token; of a prompt, of its last token.
   * @param read gives so many of the last rows of that: [rows, C]
   * @throws UsageError MASK_SHAPE, MASK_VALUE, SCORE_SHAPE
   */
  chooseChannels(
    { past, T }: Segment,
    layer: number,
    site: ChannelSite,
    read: (rows: number) => Float32Array,
  ): Float32Array {
    const planner = this.planner as PlannerBy<'channels'>
    const place = channelSites.length * layer + channelSites.indexOf(site)
    if (past === 0) {
      const summary = planner.summarize ? planner.summarize(layer, site, read(T), T) : new Float32Array(0)
      expectSummary({ planner, name: 'summarize', layer, site }, summary)
      this.#channels[place] = summary
    }
    const x = read(1)
    const mask = planner.choose(layer, site, x, this.#channels[place])
    expectRow({ planner, name: 'choose', layer, site }, mask, 'channel mask', x.length, this.#skips)
    return mask
  }

  /**
   * The prompt has run: the decision of a planner that waited for that, else null.
   * @param planner another one that goes on from the sums of this
   * @throws UsageError MASK_SHAPE, MASK_VALUE
   */
  afterPrompt(tokens: Int32Array, planner: MaskPlanner = this.planner): UnitMask | null {
    if (planner.by !== 'prompt') return null
    const summaries = this.#summaries
    this.#summaries = new Float32Array(0)
    const mask = planner.choose({ tokens: tokens.length, ids: tokens.slice(), summaries })
    expectModelMask(planner, mask, this.#shape, this.#skips)
    return mask
  }

  /** The sequence was rewound: a prompt that was longer ends here, and what follows is no part of it. */
  cutPrompt(length: number): void {
    this.#prompt = Math.min(this.#prompt, length)
  }

  /** The segments of T tokens fed after `past`. Each is made when the one before has run. */
  *segments(past: number, T: number): Generator<Segment, void, void> {
    if (past === 0) {
      this.#prompt = T
      yield { past, T, asks: true }
      return
    }
    const { every = Infinity } = this.planner
    for (let start = past; start < past + T;) {
      // Tokens since the last of the prompt, at which the first mask was decided.
      const age = start - (this.#prompt - 1)
      const next = start + every - (age % every)
      const end = Math.min(past + T, next)
      const isTime = age % every === 0
      yield { past: start, T: end - start, asks: isTime && this.#hasShifted(start, every) }
      start = end
    }
  }

  /**
   * The heads' outputs of a segment have left layer `sourceLayer`: remembers what may be shown later, and asks if it is time.
   * @param context [T, H K], read when it is needed
   * @throws UsageError MASK_SHAPE, MASK_VALUE, PLANNER_MASK if a layer that has run dense is not dense in it
   */
  afterAttention(segment: Segment, tokens: Int32Array, context: () => Float32Array): UnitMask | null {
    const planner = this.planner as PlannerBy<'attention'>
    if (!segment.asks && !this.keepsEveryKey) return null
    this.#remember(segment, tokens, context())
    if (!segment.asks) return null
    const count = this.#asked(segment)
    const mask = planner.choose({
      context: this.#contexts.subarray(0, count * this.#width),
      tokens: count,
      ids: Int32Array.from(this.#ids.slice(0, count)),
    })
    // One that is asked once is shown nothing more.
    if (!this.keepsEveryKey) this.#contexts = new Float32Array(0)
    expectModelMask(planner, mask, this.#shape, this.#skips)
    this.#shift?.decide(this.#contexts.subarray(0, count * this.#width))
    return mask
  }

  /**
   * The decision for one layer, or undefined where none is made.
   * @param stream [T, D], read when it is needed
   * @throws UsageError MASK_SHAPE, MASK_VALUE
   */
  beforeLayer(
    segment: Segment,
    layer: number,
    stream: (rows: number) => Float32Array,
  ): LayerMask | null | undefined {
    const { planner } = this
    if (!segment.asks || planner.by !== 'layer') return undefined
    const rows = this.#asked(segment) - segment.past
    const mask = planner.choose(layer, stream(rows), rows)
    expectLayerMask({ planner, name: 'choose', layer }, mask, this.#shape, this.#skips)
    return mask
  }

  /** Whether the `every` tokens before `end` call for another mask. */
  #hasShifted(end: number, every: number): boolean {
    const window = this.#contexts.subarray((end - every) * this.#width, end * this.#width)
    return this.#shift?.hasShifted(window) ?? true
  }

  /** Tokens up to the one at which the planner is asked: the whole prompt, or the first of a later segment. */
  #asked({ past, T }: Segment): number {
    return past === 0 ? T : past + 1
  }

  #remember({ past, T }: Segment, tokens: Int32Array, context: Float32Array): void {
    const used = past * this.#width
    if (past === 0) this.#contexts = context
    else {
      if (this.#contexts.length < used + context.length) {
        const wider = new Float32Array(2 * (used + context.length))
        wider.set(this.#contexts.subarray(0, used))
        this.#contexts = wider
      }
      this.#contexts.set(context, used)
    }
    this.#ids.length = past
    for (let t = 0; t < T; t++) this.#ids.push(tokens[t])
  }
}

/** Refuses a planner that does not decide in one of the ways, or has a misspelled field. */
function expectWay(planner: MaskPlanner): void {
  const { name, by } = planner
  if (!Object.hasOwn(ways, by))
    throw new UsageError(
      'PLANNER',
      `planner ${name}: expected to decide by ${Object.keys(ways).join(', ')}, got ${describeValue(by)}`,
    )
  expectFields(planner)
  const { choose, summarize }: { choose?: unknown; summarize?: unknown } = planner as object
  const needed = [choose, ...(by === 'prompt' || by === 'gate' ? [summarize] : [])]
  if (needed.every((ask) => typeof ask === 'function')) return
  throw new UsageError(
    'PLANNER',
    `planner ${name}: expected ${needed.length > 1 ? 'functions choose and summarize' : 'a function choose'} to decide by ${by}, got ${needed.map(describeValue).join(' and ')}`,
  )
}

/** Refuses a planner that is shown what the prompt computes and is to mask it, or to decide at other tokens than it does. */
function expectSeesPrompt({ name, by, every, prefill }: MaskPlanner): void {
  if (!ways[by].seesPrompt) return
  if (prefill === 'masked')
    throw new UsageError(
      'PREFILL',
      `planner ${name}: expected a dense prefill, after which it decides, got a masked one`,
    )
  const needed = by === 'prompt' ? undefined : 1
  if (every === needed) return
  const [wanted, hint] =
    by === 'prompt'
      ? ['one decision, when the prompt has run', '; leave every out']
      : [`a decision at every token, because it decides by ${by}`, EVERY_TOKEN]
  throw new UsageError(
    'EVERY',
    `planner ${name}: expected ${wanted}, got ${every === undefined ? 'one' : `one every ${every} tokens`}${hint}`,
  )
}

/**
 * The file of a session: all that a text or a chat goes on from, as safetensors. The same session gives the same bytes.
 *
 *   tokens                        I32 [N]        of the text; those from S on have not run yet, at most one
 *   logits                        F32 [V]        what the next token is chosen from, if all have run and the text goes on
 *   key.<layer> value.<layer>     F32 or I8 [G, R, K]   and, of I8, scales: key.<layer>.scales F32 [G, R]; R = S, under a window fewer
 *   mask.heads mask.neurons       F32 [L, H] [L, F]     the mask in force, if there is one: zeros and ones
 *   mask.<site>                   F32 [L, C]     input channels, under a planner of channels
 *   planner.ids planner.contexts  I32 [S] F32 [S, H K]  what a planner by attention is shown again
 *   planner.summary.<i>           F32 [n]        what it made of the prompt, for each layer or site
 *   planner.shift                 F64 [H K + 1]  what it watches: m and mu (masks/shift.ts)
 *
 * The metadata entry `shadowllm.session` has the rest as JSON (`aboutSchema`). The file is untrusted: it is of this model by its hash,
 * and every tensor has the type and the shape that follow from the model and from S, or is refused before it is read.
 */
import * as v from 'valibot'
import { maskModes, type MaskMode } from '../engine/active_layer.ts'
import { contextWidth, type ModelConfig } from '../engine/config.ts'
import type { ConversationState } from '../engine/conversation.ts'
import type { TextState } from '../engine/kept_text.ts'
import { cacheStorages, type CacheStorage, type HeldRows, type HostRows } from '../engine/layer_cache.ts'
import { mayHold } from '../engine/kv_cache.ts'
import type { PlannerState } from '../engine/planner_schedule.ts'
import type { SequenceState } from '../engine/sequence.ts'
import type { ChatMessage } from '../io/chat_prompt.ts'
import { openOwnFile } from '../io/open_own.ts'
import { readIntegers } from '../io/safetensors.ts'
import { writeSafetensors, type TensorToWrite } from '../io/safetensors_writer.ts'
import { refusal } from '../io/refusal.ts'
import { numberBetween, parseBySchema, seedNumber, sha256Text, wholeNumber } from '../io/schema.ts'
import { channelSites, type ChannelSite } from '../masks/channels.ts'
import { makeMask, type UnitMask } from '../masks/mask.ts'
import { UsageError } from '../tensor/errors.ts'
import type { RandomState } from '../tensor/random.ts'
import { recordOf } from '../tensor/records.ts'
import { samplingNames, samplingOptions, type SamplerOptions } from '../engine/sampling.ts'
import { generationPlanners, type GenerationPlanner, type PlannerChoice } from './planner_options.ts'
import type { RawTensorSource, SourceDtype } from '../tensor/tensor_source.ts'

/** The settings in which a session and what goes on from it must be equal. */
export const sessionSettings = ['storage', 'cache', 'backend', 'planner'] as const
/** Each in words. A chat decides its mask anew in each turn, so that its planner may change. */
export type SessionSettings = Readonly<Record<(typeof sessionSettings)[number], string>>

/** The planner of an answer, the shares that it skipped, its limit, and how its tokens were drawn, by which a chat goes on. */
export interface ChatChoice
  extends Pick<PlannerChoice, 'sparsity' | 'headSparsity' | 'neuronSparsity'>, SamplerOptions {
  readonly planner: GenerationPlanner
  /** Tokens of an answer at most; undefined for the default. */
  readonly maxTokens?: number
}

/** A session as its file has it. */
export interface SavedSession {
  /** The SHA-256 of the model. */
  readonly model: string
  readonly settings: SessionSettings
  readonly content: SessionContent
}

/** A text, or a chat with what its next turn may use again. */
type SessionContent =
  | { readonly kind: 'text'; readonly state: TextState }
  | {
      readonly kind: 'chat'
      readonly messages: readonly ChatMessage[]
      readonly state: ConversationState | null
      /** Of the last answer; null for a planner object, and in older files. */
      readonly choice: ChatChoice | null
    }

/** The model whose session is read. */
export interface SessionModel {
  readonly config: ModelConfig
  readonly hash: string
}

const entry = 'shadowllm.session'
/** Numbers that a planner may keep of a layer's prompt. */
const MAX_SUMMARY = 2 ** 20
/** The longest words of a setting. */
const MAX_WORDS = 1000

const words = v.pipe(v.string(), v.maxLength(MAX_WORDS, `at most ${MAX_WORDS} characters`))
const random = v.nullable(v.tuple([seedNumber, seedNumber, seedNumber, seedNumber]))
const count = wholeNumber(0, 2 ** 31 - 1)
const share = v.optional(numberBetween(0, 1))
/** How tokens are drawn. */
const drawing = Object.fromEntries(
  samplingNames.map((name) => {
    const { holds, words } = samplingOptions[name]
    return [name, v.optional(v.custom<unknown>(holds, words))]
  }),
) as unknown as {
  readonly [Name in keyof SamplerOptions]-?: v.OptionalSchema<
    v.GenericSchema<NonNullable<SamplerOptions[Name]>>,
    undefined
  >
}

const aboutSchema = v.strictObject({
  version: v.literal(1),
  model: sha256Text,
  settings: v.strictObject(recordOf(sessionSettings, () => words)),
  kind: v.picklist(['text', 'chat']),
  /** Of a chat. */
  messages: v.array(v.strictObject({ role: v.string(), content: v.string() })),
  /** Of a chat. */
  choice: v.optional(
    v.strictObject({
      planner: v.picklist(generationPlanners),
      sparsity: share,
      headSparsity: share,
      neuronSparsity: share,
      maxTokens: v.optional(count),
      ...drawing,
    }),
  ),
  /** Null for a chat of which nothing is used again. */
  sequence: v.nullable(
    v.strictObject({
      length: count,
      prompt: count,
      decisions: count,
      storage: v.picklist(cacheStorages),
      rewinds: v.boolean(),
      /** Under which a chat ran; null for a text. */
      mode: v.nullable(v.picklist(maskModes)),
      /** The streams of the sampler and of the planner. */
      random,
      plannerRandom: random,
      hasPlanner: v.boolean(),
    }),
  ),
})
type About = v.InferOutput<typeof aboutSchema>
type SequenceAbout = NonNullable<About['sequence']>

/**
 * Writes a session atomically.
 * @throws UsageError SESSION for what a file cannot hold: a mask of other numbers than 0 and 1, and what a planner keeps beyond
 *   a million numbers for a layer; the system's error if the file cannot be written
 */
export async function writeSession(path: string, session: SavedSession, config: ModelConfig): Promise<void> {
  const { tensors, about } = encodeSession(session, config)
  await writeSafetensors(path, tensors, { [entry]: about })
}

/** The tensors of a session, and its metadata entry. @throws UsageError as `writeSession` */
function encodeSession(
  { model, settings, content }: SavedSession,
  config: ModelConfig,
): { tensors: Map<string, TensorToWrite>; about: string } {
  const tensors = new Map<string, TensorToWrite>()
  const { kind, state } = content
  if (state) addState(tensors, state, config)
  const about: About = {
    version: 1,
    model,
    settings: recordOf(sessionSettings, (name) => settings[name].slice(0, MAX_WORDS)),
    kind,
    messages: kind === 'chat' ? content.messages.map(({ role, content }) => ({ role, content })) : [],
    ...(kind === 'chat' && content.choice && { choice: content.choice }),
    sequence: state && {
      length: state.sequence.length,
      prompt: state.sequence.prompt,
      decisions: state.sequence.decisions,
      storage: state.sequence.storage,
      rewinds: state.sequence.rewinds,
      mode: 'mode' in state ? state.mode : null,
      random: 'random' in state ? tupleOf(state.random) : null,
      plannerRandom: tupleOf(state.sequence.planner?.random ?? null),
      hasPlanner: state.sequence.planner !== null,
    },
  }
  return { tensors, about: JSON.stringify(about) }
}

function tupleOf(state: RandomState | null): [number, number, number, number] | null {
  return state && [...state]
}

function addState(
  tensors: Map<string, TensorToWrite>,
  { tokens, sequence, ...state }: TextState | ConversationState,
  config: ModelConfig,
): void {
  const add = (
    name: string,
    dtype: SourceDtype,
    shape: readonly number[],
    data: TensorToWrite['data'],
  ): void => void tensors.set(name, { dtype, shape, data })
  const { layers, heads, neurons, keyHeads: G, headSize: K } = config
  const { mask, cache, planner } = sequence
  add('tokens', 'I32', [tokens.length], Int32Array.from(tokens))
  if ('logits' in state && state.logits) add('logits', 'F32', [state.logits.length], state.logits)
  cache.forEach((held, layer) => {
    for (const part of ['key', 'value'] as const) {
      const { values, scales } = held[part]
      const R = values.length / (G * K)
      add(`${part}.${layer}`, scales ? 'I8' : 'F32', [G, R, K], values)
      if (scales) add(`${part}.${layer}.scales`, 'F32', [G, R], scales)
    }
  })
  if (mask) {
    expectSwitches(mask)
    add('mask.heads', 'F32', [layers, heads], mask.heads)
    add('mask.neurons', 'F32', [layers, neurons], mask.neurons)
    for (const site of mask.channels ? channelSites : [])
      add(
        `mask.${siteName(site)}`,
        'F32',
        [layers, siteWidth(config, site)],
        (mask.channels as NonNullable<UnitMask['channels']>)[site],
      )
  }
  if (planner) addPlanner(add, planner, config)
}

function addPlanner(
  add: (name: string, dtype: SourceDtype, shape: readonly number[], data: TensorToWrite['data']) => void,
  { ids, contexts, summaries, shift }: PlannerState,
  config: ModelConfig,
): void {
  const width = contextWidth(config)
  if (ids.length > 0) {
    add('planner.ids', 'I32', [ids.length], ids)
    add('planner.contexts', 'F32', [ids.length, width], contexts)
  }
  summaries.forEach((summary, i) => {
    if (summary.length > MAX_SUMMARY)
      throw new UsageError(
        'SESSION',
        `planner: expected to keep at most ${MAX_SUMMARY} numbers of a layer, to be saved, got ${summary.length}`,
      )
    add(`planner.summary.${i}`, 'F32', [summary.length], summary)
  })
  if (shift) add('planner.shift', 'F64', [shift.mean.length + 1], Float64Array.of(...shift.mean, shift.usual))
}

function expectSwitches({ heads, neurons, channels }: UnitMask): void {
  for (const table of [heads, neurons, ...(channels ? channelSites.map((site) => channels[site]) : [])])
    if (!isSwitches(table))
      throw new UsageError('SESSION', 'mask: expected zeros and ones, to be saved, got other numbers')
}

function isSwitches(table: Float32Array): boolean {
  return table.every((value) => value === 0 || value === 1)
}

/** The site of heads has the name of a kind of unit. */
function siteName(site: ChannelSite): string {
  return `channels.${site}`
}

function siteWidth(config: ModelConfig, site: ChannelSite): number {
  if (site === 'activations') return config.neurons
  return site === 'heads' ? contextWidth(config) : config.width
}

/**
 * Reads a session of a model.
 * @throws InputError SESSION_MODEL for one of another model; SESSION for metadata and tensors of another form; FILE_*, SAFETENSORS_*,
 *   TENSOR_*, JSON_* as `openSafetensors`
 */
export async function readSession(path: string, model: SessionModel): Promise<SavedSession> {
  const { source, about } = await openFile(path)
  try {
    if (about.model !== model.hash)
      throw refusal(
        'SESSION_MODEL',
        path,
        'a session of this model',
        `one of another, whose files have the SHA-256 ${about.model.slice(0, 12)}`,
      )
    const { kind, messages, choice = null, sequence } = about
    const reader = new SessionReader(path, source, model.config)
    const state = sequence && (await reader.state(sequence, kind))
    reader.expectNoMore()
    if (kind === 'chat') {
      if (!state) return { ...identity(about), content: { kind, messages, state, choice } }
      const { tokens, sequence } = state
      return {
        ...identity(about),
        content: { kind, messages, state: { tokens, mode: state.mode, sequence }, choice },
      }
    }
    if (!state) throw refusal('SESSION', path, 'the sequence of a text', 'none')
    if (messages.length > 0) throw refusal('SESSION', path, 'no messages in a text', `${messages.length}`)
    if (choice) throw refusal('SESSION', path, 'no choice of a chat in a text', choice.planner)
    const { tokens, logits, random } = state
    return {
      ...identity(about),
      content: { kind, state: { tokens, logits, random, sequence: state.sequence } },
    }
  } finally {
    await source.close()
  }
}

/** Refuses a file that is no session, before its model is there. @throws InputError as `readSession`, but for the model and tensors */
export async function checkSessionFile(path: string): Promise<void> {
  await (await openFile(path)).source.close()
}

async function openFile(path: string): Promise<{ readonly source: RawTensorSource; readonly about: About }> {
  const source = await openOwnFile(path, 'SESSION', 'a session, as --session writes it', ({ metadata }) =>
    metadata.has(entry),
  )
  try {
    const text = source.metadata.get(entry)
    return {
      source,
      about: parseBySchema(aboutSchema, text, { code: 'SESSION', subject: `${path} ${entry}` }),
    }
  } catch (error) {
    await source.close()
    throw error
  }
}

function identity({ model, settings }: About): Pick<SavedSession, 'model' | 'settings'> {
  return { model, settings }
}

/** The state of a text or a chat, whichever it is. */
interface ReadState extends TextState {
  readonly mode: MaskMode
}

class SessionReader {
  readonly #path: string
  readonly #source: RawTensorSource
  readonly #config: ModelConfig
  readonly #read = new Set<string>()

  constructor(path: string, source: RawTensorSource, config: ModelConfig) {
    this.#path = path
    this.#source = source
    this.#config = config
  }

  /** @throws InputError SESSION for a tensor that was not read */
  expectNoMore(): void {
    for (const name of this.#source.tensors.keys())
      if (!this.#read.has(name)) throw this.#refuse(name, 'no such tensor', 'one')
  }

  async state(about: SequenceAbout, kind: About['kind']): Promise<ReadState> {
    const { length: S, prompt, decisions, storage, rewinds, mode } = about
    const { positions, vocabulary, layers } = this.#config
    if (S < 1 || S > positions) throw this.#refuse('length', `from 1 to ${positions}`, `${S}`)
    if (prompt < 1 || prompt > S) throw this.#refuse('prompt', `from 1 to ${S}`, `${prompt}`)
    if ((mode === null) !== (kind === 'text'))
      throw this.#refuse('mode', kind === 'text' ? 'none' : 'one', mode ?? 'none')
    const [N] = this.#source.tensors.get('tokens')?.shape ?? [0]
    if (N < S || N > S + (kind === 'text' ? 1 : 0) || N > positions)
      throw this.#refuse('tokens', `as many as have run, ${S}, or in a text one more`, `${N}`)
    const tokens = await this.#ids('tokens', N)
    const logits = N === S && kind === 'text' ? await this.#floats('logits', [vocabulary]) : null
    const cache: HeldRows[] = []
    for (let layer = 0; layer < layers; layer++) {
      const name = `key.${layer}`
      const [, R = 0] = this.#source.tensors.get(name)?.shape ?? []
      const window = rewinds ? null : (this.#config.layerWindow?.[layer] ?? null)
      if (!mayHold(R, S, window))
        throw this.#refuse(
          name,
          window === null ? `${S} positions` : `those in a window of ${window}`,
          `${R}`,
        )
      cache.push({
        key: await this.#rows(name, R, storage),
        value: await this.#rows(`value.${layer}`, R, storage),
      })
    }
    const mask = await this.#mask()
    const planner = about.hasPlanner ? await this.#planner(about) : null
    const sequence: SequenceState = { length: S, prompt, decisions, mask, storage, rewinds, cache, planner }
    return { tokens: [...tokens], logits, random: this.#random(about.random), mode: mode ?? 'auto', sequence }
  }

  /** A generator is never in the state of zeros. */
  #random(state: RandomState | null): RandomState | null {
    if (state?.every((word) => word === 0)) throw this.#refuse('random', 'a state', 'zeros')
    return state
  }

  async #rows(name: string, R: number, storage: CacheStorage): Promise<HostRows> {
    const { keyHeads: G, headSize: K } = this.#config
    if (storage === 'f32') return { values: await this.#floats(name, [G, R, K]), scales: null }
    const bytes = await this.#raw(name, 'I8', [G, R, K])
    return { values: new Int8Array(bytes.buffer), scales: await this.#floats(`${name}.scales`, [G, R]) }
  }

  async #mask(): Promise<UnitMask | null> {
    const { layers, heads, neurons } = this.#config
    if (!this.#has('mask.heads')) return null
    const table = async (name: string, units: number): Promise<Float32Array> => {
      const values = await this.#floats(name, [layers, units])
      if (!isSwitches(values)) throw this.#refuse(name, 'zeros and ones', 'other numbers')
      return values
    }
    const mask = makeMask(
      { layers, heads, neurons },
      await table('mask.heads', heads),
      await table('mask.neurons', neurons),
    )
    if (!this.#has(`mask.${siteName(channelSites[0])}`)) return mask
    const channels = {} as Record<ChannelSite, Float32Array>
    for (const site of channelSites)
      channels[site] = await table(`mask.${siteName(site)}`, siteWidth(this.#config, site))
    return { ...mask, channels }
  }

  async #planner({ length: S, plannerRandom }: SequenceAbout): Promise<PlannerState> {
    const width = contextWidth(this.#config)
    const isShown = this.#has('planner.ids')
    const ids = isShown ? await this.#ids('planner.ids', S) : new Int32Array(0)
    const contexts = isShown ? await this.#floats('planner.contexts', [S, width]) : new Float32Array(0)
    const summaries: Float32Array[] = []
    const most = channelSites.length * this.#config.layers
    while (summaries.length < most && this.#has(`planner.summary.${summaries.length}`)) {
      const name = `planner.summary.${summaries.length}`
      const [length = 0] = this.#source.tensors.get(name)?.shape ?? []
      if (length > MAX_SUMMARY) throw this.#refuse(name, `at most ${MAX_SUMMARY} numbers`, `${length}`)
      summaries.push(await this.#floats(name, [length]))
    }
    const random = this.#random(plannerRandom)
    if (!this.#has('planner.shift')) return { ids, contexts, summaries, shift: null, random }
    const shift = new Float64Array((await this.#raw('planner.shift', 'F64', [width + 1])).buffer)
    return {
      ids,
      contexts,
      summaries,
      shift: { mean: shift.slice(0, width), usual: shift[width] },
      random,
    }
  }

  #has(name: string): boolean {
    return this.#source.tensors.has(name)
  }

  async #ids(name: string, length: number): Promise<Int32Array> {
    const { vocabulary } = this.#config
    this.#expect(name, 'I32', [length])
    const ids = await readIntegers(this.#source, name)
    const outside = ids.find((id) => id < 0 || id >= vocabulary)
    if (outside !== undefined) throw this.#refuse(name, `ids from 0 to ${vocabulary - 1}`, `${outside}`)
    return ids
  }

  async #floats(name: string, shape: readonly number[]): Promise<Float32Array> {
    return new Float32Array((await this.#raw(name, 'F32', shape)).buffer)
  }

  #raw(name: string, dtype: SourceDtype, shape: readonly number[]): Promise<Uint8Array<ArrayBuffer>> {
    this.#expect(name, dtype, shape)
    return this.#source.readRaw(name)
  }

  /** @throws InputError SESSION if a tensor is missing, or of another type or shape */
  #expect(name: string, dtype: SourceDtype, shape: readonly number[]): void {
    const form = (type: SourceDtype, sizes: readonly number[]): string => `${type} [${sizes.join(', ')}]`
    const info = this.#source.tensors.get(name)
    const got = info ? form(info.dtype, info.shape) : 'none'
    if (got !== form(dtype, shape)) throw this.#refuse(name, form(dtype, shape), got)
    this.#read.add(name)
  }

  #refuse(part: string, expected: string, got: string): Error {
    return refusal('SESSION', `${this.#path} ${part}`, expected, got)
  }
}

/**
 * A planner decides masks while a sequence runs. There are five ways of deciding:
 *
 *   by           is asked                               answers
 *   attention    after the attention of `sourceLayer`   a mask of the whole model
 *   prompt       when the prompt has run                a mask of the whole model
 *   layer        before each layer                      the mask of that layer
 *   gate         after the gate of a token in a layer   the neurons of that token
 *   channels     before a matrix reads a token          the input channels of that token (channels.ts)
 *
 * The first feed of a sequence is the prompt. By attention and by layer a mask is decided while the prompt runs. It applies to the
 * rest of that pass and to every later token, so that skipped heads leave no holes in the KV cache. Layers 0 to `sourceLayer`
 * have run by then: those rows of a mask are ones, unless it is decided once in a prompt that runs dense.
 *
 * The prompt may run dense (`prefill`); the mask then applies to the tokens after the prompt. By prompt, gate and channels the
 * prompt always runs dense: `summarize` is shown the activations that each layer computes, and `choose` is shown its results.
 *
 * With `every` = R a planner decides again: a mask decided at token p applies to tokens p to p + R - 1, and the first mask
 * is decided at the last token of the prompt. Keys and values of all heads are cached then, because a head may be selected
 * later. By gate and by channels R is 1: the planner is asked at every token after the prompt, and at the last token of the prompt,
 * whose answer changes no number. With `shift` a planner decides only after attention has shifted (shift.ts).
 */
import { describeValue, isObject, spelledLike } from '../tensor/arguments.ts'
import { UsageError } from '../tensor/errors.ts'
import type { ChannelSite } from './channels.ts'
import type { Compensation } from './compensation.ts'
import { expectMask, type UnitMask } from './mask.ts'
import { nameOption, orWord, wholeOption, type NameOption, type OptionRecord } from '../tensor/option.ts'
import type { Random } from '../tensor/random.ts'

/** The mask of one layer. */
export interface LayerMask {
  readonly heads: Float32Array // [H]
  readonly neurons: Float32Array // [F]
}

/** What a planner by attention is shown: the text so far, up to its source layer. Read-only. */
export interface PromptView {
  /**
   * Attention output of layer `sourceLayer` for all tokens so far, heads concatenated, before out_proj: [T, D]. The layers
   * up to there run dense, so it equals that of a dense pass over the same tokens.
   */
  readonly context: Float32Array
  /** T, all tokens of the sequence so far, the one being run included. */
  readonly tokens: number
  /** Their ids: [T]. */
  readonly ids: Int32Array
}

/** What a planner by prompt is shown. Read-only. */
export interface PromptEnd extends Pick<PromptView, 'tokens' | 'ids'> {
  /** What `summarize` returned for each layer: [L, F]. */
  readonly summaries: Float32Array
}

/** Whether the prompt runs dense, or under the mask that is decided while it runs. */
export const prefills = [
  /** All units are computed for the prompt; the mask holds for the tokens that follow it. */
  'dense',
  /** The prompt runs under the mask too, from the layer on in which it is decided. */
  'masked',
] as const
/** How the prompt runs: dense or masked. */
export type Prefill = (typeof prefills)[number]
export const prefillOption: NameOption<Prefill> = nameOption('PREFILL', prefills)

/** From one decision to the next: tokens. */
export const everyTokens: OptionRecord<number> = wholeOption('EVERY', 1)
/** The same, or wherever attention has shifted. */
export const everyOption: OptionRecord<number | 'auto'> = orWord('auto', everyTokens)

/**
 * Decides for the whole model, from the heads' outputs of one early layer. Take it for a mask that the prompt runs under too: it is
 * there before the layers that it masks. `shadow`, `static` and `random` decide so; one that goes by nothing but the tokens can too.
 */
export interface ByAttention {
  readonly by: 'attention'
  /** The source layer, after whose attention it is asked; default 0. Layers 0 to this one run dense. */
  readonly sourceLayer?: number
  /** @returns a mask whose rows 0 to `sourceLayer` are ones, unless it decides once, in a dense prompt */
  choose(view: PromptView): UnitMask
}

/**
 * Decides for the whole model when the prompt has run, which it does dense; once. Take it for a choice by what the neurons of all
 * layers do over the prompt, as `griffin` and `glass`: only the tokens after the prompt cost less.
 */
export interface ByPrompt {
  readonly by: 'prompt'
  /**
   * Makes a number for each neuron of a layer from its activations over the prompt; nothing else is kept of these.
   * @param activations what fc2 reads, of every token of the prompt: [T, F], read-only; of the tokens that a chat added to it, if the
   *   planner sums
   * @param tokens T
   * @param sums zeros, or what it left here after the tokens before these: [F]
   * @returns [F]
   */
  summarize(activations: Float32Array, tokens: number, sums: Float64Array): Float32Array
  /**
   * Whether `summarize` adds up over tokens: it leaves in `sums` all that it needs of them, and returns the bits of a call over the whole
   * prompt. Then a chat reads its last prompt once. Planners of one function `summarize` go on from each other's sums, so it
   * uses nothing but its arguments.
   */
  readonly sumsUp?: boolean
  /** @param view what the prompt left behind */
  choose(view: PromptEnd): UnitMask
}

/**
 * Decides layer by layer, from what enters each. Take it for a small predictor in every layer, as `dejavu`: it sees the newest
 * activations, and is asked at every token.
 */
export interface ByLayer {
  readonly by: 'layer'
  /**
   * Null keeps the layer dense.
   * @param layer from 0
   * @param x the residual stream entering the layer: of the prompt [T, D], later of one token [1, D]
   * @param tokens how many rows x has
   */
  choose(layer: number, x: Float32Array, tokens: number): LayerMask | null
}

/**
 * Decides the neurons of each token; all heads are computed. Take it where neurons differ from token to token, as `cats`: the gates of
 * all neurons are computed, and what else a skipped neuron would read is not.
 */
export interface ByGate {
  readonly by: 'gate'
  /**
   * Makes numbers of a layer's gate over the prompt.
   * @param layer from 0
   * @param gate silu(gate x), in OPT relu(fc1 x), of every token of the prompt: [T, F], read-only
   * @param tokens T
   */
  summarize(layer: number, gate: Float32Array, tokens: number): Float32Array
  /**
   * Nothing but the gate is computed of a neuron that is skipped.
   * @param layer from 0
   * @param gate of the token: [F], read-only
   * @param summary what `summarize` returned for the layer
   * @returns ones and zeros: [F]
   */
  choose(layer: number, gate: Float32Array, summary: Float32Array): Float32Array
}

/**
 * Decides what matrices read of each token; all units are computed. Take it to leave out inputs rather than units, as `teal` and
 * `wina`: only matrices with a row for each input read less.
 */
export interface ByChannels {
  readonly by: 'channels'
  /**
   * Makes numbers of what a site of a layer reads over the prompt.
   * @param layer from 0
   * @param site whose input it is
   * @param x of every token of the prompt: [T, C], read-only
   * @param tokens T
   */
  summarize?(layer: number, site: ChannelSite, x: Float32Array, tokens: number): Float32Array
  /**
   * Activations are masked before matrices round them.
   * @param layer from 0
   * @param site whose input it is
   * @param x what the site would read of the token: [C], read-only
   * @param summary what `summarize` returned for the site; empty without it
   * @returns ones and zeros: [C]
   */
  choose(layer: number, site: ChannelSite, x: Float32Array, summary: Float32Array): Float32Array
}

/** When a planner is asked, and what is done with the prompt. */
export interface PlannerSettings {
  /** The name of the planner in reports. */
  readonly name: string
  /** Decide again after this many tokens; without it the mask of the prompt stays. By gate and by channels it must be 1, by prompt it has no place. */
  readonly every?: number
  /**
   * By attention: only where attention has shifted by more than this since the last decision (shift.ts); with `every`, whose tokens
   * are the windows that are watched.
   */
  readonly shift?: number
  /** Default `masked`; by prompt, gate and channels `dense`. */
  readonly prefill?: Prefill
  /**
   * It decides from prompt and answer. A sequence knows only the prompt and refuses it; evaluation computes its mask
   * beforehand (`leakyMask` in planners/leaky.ts) and runs under that mask.
   */
  readonly leaky?: boolean
  /**
   * The stream that it draws from, if it draws. Besides this a planner that is asked more than once remembers nothing, so that a
   * saved sequence goes on with the masks that it would have had.
   */
  readonly random?: Random
  /** What takes the place of what it skips; default zeros. Not of a planner that is asked for the neurons or channels of each token. */
  readonly compensation?: Compensation
}

/**
 * A way of deciding, and its settings: what `planner` takes besides a name. A planner of your own is an object of this type: `by`
 * `attention` for a mask of the whole model from the heads' outputs of an early layer, as ShadowLLM has it, or from nothing but the tokens;
 * `prompt` for one from the neurons' activations over the whole prompt; `layer` for each layer from what enters it, as DejaVu;
 * `gate` for the neurons of each token from their gates; `channels` for what matrices read of each token. The page of each way says
 * when to take it. What there is already has a name: `PlannerName`.
 * @example
 * ```ts
 * import { collectText, makeBudget, selectMask, ShadowModel, type MaskPlanner } from 'shadowllm'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const { shape } = opt.model
 * const { layers, heads: H, neurons: F } = shape
 * // Keeps in each layer the heads that are loudest in the first one at the last token, and every second neuron.
 * const loudest: MaskPlanner = {
 *   name: 'loudest',
 *   by: 'attention',
 *   choose({ context, tokens }) {
 *     const K = context.length / tokens / H
 *     const last = context.subarray((tokens - 1) * H * K)
 *     const loudness = Array.from({ length: H }, (_, h) => Math.hypot(...last.subarray(h * K, (h + 1) * K)))
 *     const heads = Float32Array.from({ length: layers * H }, (_, i) => loudness[i % H] ?? 0)
 *     const neurons = Float32Array.from({ length: layers * F }, (_, i) => i % 2)
 *     return selectMask({ shape, heads, neurons }, makeBudget(0.5, { scope: 'per-layer' }))
 *   },
 * }
 * const { text } = await collectText(opt.generate('Once upon a time', { planner: loudest, maxTokens: 12 }))
 * console.log(text)
 * await opt.dispose()
 * ```
 * ```text
 *  there wastea boy, in a little boy and my
 * ```
 */
export type MaskPlanner = PlannerSettings & (ByAttention | ByPrompt | ByLayer | ByGate | ByChannels)

/** Planners of one way. */
export type PlannerBy<By extends MaskPlanner['by']> = Extract<MaskPlanner, { by: By }>

/** The ways of deciding, and whether the prompt always runs dense. */
export const ways: Readonly<Record<MaskPlanner['by'], { readonly seesPrompt: boolean }>> = {
  attention: { seesPrompt: false },
  prompt: { seesPrompt: true },
  layer: { seesPrompt: false },
  gate: { seesPrompt: true },
  channels: { seesPrompt: true },
}

/** Whether the prompt of a sequence under this planner runs dense. */
export function isDensePrompt({ by, prefill }: MaskPlanner): boolean {
  return ways[by].seesPrompt || prefill === 'dense'
}

/** Whether one mask, decided during the prompt, holds for all tokens, those of the prompt included. */
export function isOneMask(planner: MaskPlanner): boolean {
  return planner.every === undefined && planner.by === 'attention' && !isDensePrompt(planner)
}

/**
 * Whether one mask holds for all tokens after a prompt that runs dense, and a longer prompt needs no second look at this one: its keys and
 * values are those of a dense text, and it is judged by its source layer or by sums.
 */
export function isMaskAfterPrompt(planner: MaskPlanner): boolean {
  return (
    (planner.by === 'attention' || (planner.by === 'prompt' && planner.sumsUp === true)) &&
    planner.every === undefined &&
    isDensePrompt(planner) &&
    planner.compensation?.seesPrompt !== true
  )
}

/**
 * A planner that always answers with this mask, so that a mask that was read or changed can run again: pass it to `generate` as
 * `planner`. Under an unchanged mask the text is the one that `planner` gave: the prompt runs dense or masked as it did there, and the
 * same takes the place of skipped units.
 * @param mask what `planner` decided for a prompt; another mask runs as if it had
 * @param planner which decided once; null is dense
 * @throws UsageError MASK_SHAPE; PLANNER for one that decides at every layer, token or so many tokens: its last mask is not all of them
 */
export function givenMask(mask: UnitMask, planner: MaskPlanner | null): PlannerBy<'attention'> {
  expectMask(mask)
  const given = { name: 'given', by: 'attention', choose: () => mask } as const
  if (planner === null) return given
  if (!isObject(planner))
    throw new UsageError(
      'PLANNER',
      `planner: expected the planner object that decided the mask, got ${describeValue(planner)}`,
      { option: 'planner' },
    )
  const { name, by, every, compensation } = planner
  if ((by !== 'attention' && by !== 'prompt') || every !== undefined)
    throw new UsageError(
      'PLANNER',
      `planner ${name}: expected one that decides once, to give its mask back, got one that decides ${every === undefined ? `by ${by}` : 'again'}`,
      { option: 'planner' },
    )
  return { ...given, compensation, prefill: isDensePrompt(planner) ? 'dense' : 'masked' }
}

type Setting = Exclude<keyof PlannerSettings, 'name'> | 'sourceLayer' | 'sumsUp'

/** The optional settings, each with the only way of deciding that has it; null: all ways have it. */
const settings: Readonly<Record<Setting, MaskPlanner['by'] | null>> = {
  every: null,
  shift: 'attention',
  prefill: null,
  leaky: null,
  random: null,
  compensation: null,
  sourceLayer: 'attention',
  sumsUp: 'prompt',
}

/** The names of the settings that planners of one way may have. */
function settingsOf(by: MaskPlanner['by']): string[] {
  return Object.entries(settings).flatMap(([name, only]) => (only === null || only === by ? [name] : []))
}

/**
 * Refuses a planner whose field has nearly the name of an optional setting that the planner lacks, or the old name of it: such a
 * setting would have no effect. Any other field belongs to the planner alone.
 * @throws UsageError PLANNER
 */
export function expectFields(planner: MaskPlanner): void {
  const { by, name } = planner
  const optional = settingsOf(by)
  if (by === 'channels') optional.push('summarize')
  const lacking = optional.filter((setting) => Reflect.get(planner, setting) === undefined)
  for (const field of Object.keys(planner)) {
    if (optional.includes(field)) continue
    const known = field === 'placement' ? 'sourceLayer' : field
    const meant = spelledLike(known, lacking, field.length > 7 ? 2 : 1)
    if (meant !== null)
      throw new UsageError('PLANNER', `planner ${name}: expected the field ${meant}, got ${field}`)
  }
}

/** What is done around a question to a planner. */
export type AroundQuestion = <Answer>(ask: () => Answer, question: 'choose' | 'summarize') => Answer

/**
 * The same planner, inherited members included, with `around` called in place of each question.
 * @throws UsageError PLANNER as `expectFields`
 */
export function wrapPlanner(planner: MaskPlanner, around: AroundQuestion): MaskPlanner {
  expectFields(planner)
  const { name, by } = planner
  const asked = (question: 'choose' | 'summarize'): object => {
    const answer: unknown = (planner as Partial<ByPrompt>)[question]
    if (typeof answer !== 'function') return {}
    return {
      [question]: (...args: unknown[]) => around(() => Reflect.apply(answer, planner, args), question),
    }
  }
  const own = Object.keys(settings).map((setting) => [setting, Reflect.get(planner, setting)])
  return { name, by, ...Object.fromEntries(own), ...asked('choose'), ...asked('summarize') } as MaskPlanner
}

/**
 * The interface of all planners: dense, static, random, oracle and predicted masks.
 *
 * A planner decides while the prompt (the first feed of a sequence) runs. A planner of the whole model decides after the
 * attention of its source layer (`placement`). Layers 0 to `placement` run dense, so those rows of its masks are ones, unless
 * it decides once, in a prompt that runs dense. A
 * planner that decides layer by layer (DejaVu) decides before each layer. The mask applies to the rest of that pass and to
 * every later token. It is fixed after the prompt, so that skipped heads leave no holes in the KV cache.
 *
 * A planner may leave the prompt dense (`prefill`): its mask then applies to the tokens after the prompt only. A planner that
 * decides when the prompt has run (GRIFFIN) always does. It is shown what it made itself of each layer's activations. So does
 * a planner that decides the neurons of each token by the token's own gate (CATS): nothing but the gate is computed of a
 * neuron it skips.
 *
 * A planner of input channels (TEAL, WINA) masks what matrices read, token by token, and no unit (channels.ts). The prompt
 * runs dense.
 *
 * With `every` = R a planner decides again: a mask decided at token p applies to tokens p to p + R - 1, and the first mask
 * is decided at the last token of the prompt. Keys and values of all heads are cached then, because a head may be selected
 * later. R = 1 decides for every token. With `shift` too it decides only at those of these tokens before which attention has
 * shifted (shift.ts).
 */
import type { ChannelSite } from './channels.ts'
import type { UnitMask } from './mask.ts'

/** The mask of one layer. */
export interface LayerMask {
  readonly heads: Float32Array // [H]
  readonly neurons: Float32Array // [F]
}

/** The input of a planner of the whole model: the text so far, up to its source layer. Read-only. */
export interface PromptView {
  /**
   * Attention output of layer `placement` for all tokens so far, heads concatenated, before out_proj: [T, D]. The layers
   * up to there run dense, so it equals that of a dense pass over the same tokens.
   */
  readonly context: Float32Array
  /** T, all tokens of the sequence so far, the one being run included. */
  readonly tokens: number
  /** Their ids: [T]. */
  readonly ids: Int32Array
}

/** The input of a planner that decides when the prompt has run. Read-only. */
export interface PromptEnd extends Pick<PromptView, 'tokens' | 'ids'> {
  /** What `summarize` returned for each layer: [L, F]. */
  readonly summaries: Float32Array
}

/** Whether the prompt runs dense, or under the mask that is decided while it runs. */
export const prefills = ['dense', 'masked'] as const
export type Prefill = (typeof prefills)[number]

/**
 * Decides masks: for the whole model by `afterAttention` or by `summarize` and `afterPrompt`, layer by layer by
 * `beforeLayer`, the neurons of each token by `summarizeGate` and `afterGate`, or the input channels of each token by
 * `chooseChannels`; in one of these ways.
 */
export interface MaskPlanner {
  readonly name: string
  /** The source layer: `afterAttention` is called after its attention; default 0. Layers 0 to this one run dense. */
  readonly placement?: number
  /** Decide again after this many tokens; without it the mask of the prompt stays. */
  readonly every?: number
  /**
   * Only where attention has shifted by more than this since the last decision (shift.ts); with `every`, whose tokens are
   * the windows that are watched, and `afterAttention`.
   */
  readonly shift?: number
  /** Default `masked`. A planner with `afterPrompt` leaves the prompt dense. */
  readonly prefill?: Prefill
  /**
   * It decides from prompt and answer. A sequence knows only the prompt and refuses it; evaluation computes its mask
   * beforehand (`leakyMask` in predictor/leaky.ts) and runs under that mask.
   */
  readonly leaky?: boolean
  /**
   * Decides for the whole model.
   * @returns a mask whose rows 0 to `placement` are ones, unless it decides once, in a dense prompt
   */
  afterAttention?(view: PromptView): UnitMask
  /**
   * Decides for one layer; null keeps it dense.
   * @param x the residual stream entering the layer: of the prompt [T, D], later of one token [1, D]
   * @param tokens how many rows x has
   */
  beforeLayer?(layer: number, x: Float32Array, tokens: number): LayerMask | null
  /**
   * Makes a number for each neuron of a layer from its activations over the prompt. It is called layer by layer while the
   * prompt runs dense; nothing else is kept of the activations.
   * @param activations what fc2 reads, of every token of the prompt: [T, F], read-only
   * @param tokens T
   * @returns [F]
   */
  summarize?(activations: Float32Array, tokens: number): Float32Array
  /** Decides for the whole model when the prompt has run; not together with `every`. */
  afterPrompt?(view: PromptEnd): UnitMask
  /**
   * Makes numbers of a layer's gate over the prompt, which runs dense. They are kept and shown to `afterGate`.
   * @param gate silu(gate x), in OPT relu(fc1 x), of every token of the prompt: [T, F], read-only
   * @param tokens T
   */
  summarizeGate?(layer: number, gate: Float32Array, tokens: number): Float32Array
  /**
   * Decides the neurons of one token in one layer; all heads are computed. It is asked for every token after the prompt, and
   * for the last one of the prompt, which changes no number. `every` is 1.
   * @param gate of the token: [F], read-only
   * @param summary what `summarizeGate` returned for the layer
   * @returns ones and zeros: [F]
   */
  afterGate?(layer: number, gate: Float32Array, summary: Float32Array): Float32Array
  /**
   * Makes numbers of what a site of a layer reads over the prompt, which runs dense. They are kept and shown to
   * `chooseChannels`.
   * @param x of every token of the prompt: [T, C], read-only
   * @param tokens T
   */
  summarizeChannels?(layer: number, site: ChannelSite, x: Float32Array, tokens: number): Float32Array
  /**
   * Decides the input channels of a site for one token; all units are computed. Activations are masked before matrices
   * round them. It is asked for every token after the prompt, and for the last one of the prompt, which changes no number.
   * `every` is 1.
   * @param x what the site would read of the token: [C], read-only
   * @param summary what `summarizeChannels` returned for the site; empty without it
   * @returns ones and zeros: [C]
   */
  chooseChannels?(layer: number, site: ChannelSite, x: Float32Array, summary: Float32Array): Float32Array
}

/** Whether the prompt of a sequence under this planner runs dense. */
export function isDensePrompt({ afterPrompt, afterGate, chooseChannels, prefill }: MaskPlanner): boolean {
  return [afterPrompt, afterGate, chooseChannels].some(Boolean) || prefill === 'dense'
}

/** Whether one mask, decided during the prompt, holds for all tokens, those of the prompt included. */
export function isOneMask(planner: MaskPlanner): boolean {
  return planner.every === undefined && !planner.beforeLayer && !isDensePrompt(planner)
}

/** Every member of a planner: what it says of itself, or what it is asked. */
const members: Readonly<Record<keyof MaskPlanner, 'setting' | 'question'>> = {
  name: 'setting',
  placement: 'setting',
  every: 'setting',
  shift: 'setting',
  prefill: 'setting',
  leaky: 'setting',
  afterAttention: 'question',
  beforeLayer: 'question',
  summarize: 'question',
  afterPrompt: 'question',
  summarizeGate: 'question',
  afterGate: 'question',
  summarizeChannels: 'question',
  chooseChannels: 'question',
}

/** What is done around a question to a planner. */
export type AroundQuestion = <Answer>(ask: () => Answer, question: keyof MaskPlanner) => Answer

/** The same planner, inherited members included, with `around` called in place of each question. */
export function wrapPlanner(planner: MaskPlanner, around: AroundQuestion): MaskPlanner {
  const entries = (Object.keys(members) as (keyof MaskPlanner)[]).flatMap((key) => {
    const member: unknown = planner[key]
    if (member === undefined) return []
    if (members[key] === 'setting' || typeof member !== 'function') return [[key, member]]
    return [[key, (...args: unknown[]) => around<unknown>(() => Reflect.apply(member, planner, args), key)]]
  })
  return Object.fromEntries(entries) as MaskPlanner
}

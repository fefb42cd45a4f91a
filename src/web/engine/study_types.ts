/**
 * What a study is asked for and what it tells: data that can cross threads, for the engine's side and the page's.
 */
import type { UnitScores } from '../../masks/selection.ts'
import type { PlannerChoice } from '../../planner_options.ts'
import type { PlannerName } from '../../predictor/planners.ts'

/** The planners that a study can show: those that rank all units at once, and dense. */
export const studyPlanners = [
  'shadow',
  'prompt-plainact',
  'oracle',
  'random',
  'static',
  'dense',
] as const satisfies PlannerName[]
export type StudyPlanner = (typeof studyPlanners)[number]

/** Once, while the prompt runs, as in the paper; or again at every token. */
export const decisions = ['once', 'always'] as const
export type Decision = (typeof decisions)[number]

/** How a text is written. */
export interface StudyOptions extends Pick<PlannerChoice, 'sparsity' | 'scope' | 'criterion' | 'seed'> {
  readonly planner?: PlannerName
  readonly decides?: Decision
  readonly maxTokens?: number
  /** Whether a dense model writes beside it; default yes. */
  readonly compares?: boolean
  readonly signal?: AbortSignal
}

/** Before the first token. */
export interface StudyStart {
  readonly kind: 'start'
  readonly prompt: Int32Array // [P]
  /** What each of its tokens spells. */
  readonly pieces: readonly string[] // [P]
  /** The criterion that the planner's scores are of, or predict; null where they are of none. */
  readonly ranks: string | null
  /** Layers that run whole, from the first; all of them for dense. */
  readonly denseLayers: number
}

/** Tokens per second, the prompt left out; null before there was one, or where nobody writes. */
export interface Speeds {
  readonly sparse: number | null
  readonly dense: number | null
}

/** One token of each text. */
export interface StudyStep {
  readonly kind: 'step'
  readonly index: number
  readonly token: number
  readonly text: string
  /** What the dense model wrote in its place; null where it has ended, or does not write. */
  readonly dense: { readonly token: number; readonly text: string } | null
  /** The first place where the two differ; null as long as they agree. */
  readonly divergence: number | null
  /** KL(dense || sparse) of this token's distribution, after the sparse text, in nats. */
  readonly kl: number | null
  /** What the mask of this token was decided by, if it was decided anew for it. */
  readonly scores: UnitScores | null
  readonly tokensPerSecond: Speeds
}

export type StudyEvent = StudyStart | StudyStep

/** After the last token. */
export interface StudyEnd {
  /** The criterion's scores of what was written: the dense text, or the sparse one alone. Null if it is empty, or weights are int8. */
  readonly truth: UnitScores | null
  readonly tokensPerSecond: Speeds
}

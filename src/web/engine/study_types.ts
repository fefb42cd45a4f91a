/**
 * The options and results of a study, as messages between the page and the engine.
 */
import type { UnitScores } from '../../masks/selection.ts'
import type { PlannerChoice } from '../../library/planner_options.ts'
import type { PlannerName } from '../../planners/index.ts'
import type { UnitSwitch } from './unit_switches.ts'

/** The planners of a study: those that rank all units at once, and dense. */
export const studyPlanners = [
  'shadow',
  'prompt-plainact',
  'griffin',
  'coreinfer',
  'oracle',
  'random',
  'static',
  'dense',
] as const satisfies PlannerName[]
export type StudyPlanner = (typeof studyPlanners)[number]
/** Those of them that rank neurons and keep all heads. */
export const neuronStudyPlanners: readonly StudyPlanner[] = ['griffin', 'coreinfer']

/** Once, during the prompt, as in the paper; or at every token. */
export const decisions = ['once', 'always'] as const
export type Decision = (typeof decisions)[number]

/** Options of a study. */
export interface StudyOptions extends Pick<PlannerChoice, 'sparsity' | 'scope' | 'criterion' | 'seed'> {
  readonly planner?: PlannerName
  readonly decides?: Decision
  /** 0 is greedy, and the default. Both texts draw with the same random numbers. */
  readonly temperature?: number
  readonly maxTokens?: number
  /** Units that the sparse text is generated with or without, whatever the planner decides; default none. Those of its dense layers are ignored. */
  readonly switches?: readonly UnitSwitch[]
  /** Whether a dense text is generated too; default yes. */
  readonly compares?: boolean
  readonly signal?: AbortSignal
}

/** Before the first token. */
export interface StudyStart {
  readonly kind: 'start'
  readonly prompt: Int32Array // [P]
  /** The text of each of its tokens. */
  readonly pieces: readonly string[] // [P]
  /** The criterion of the planner's scores, or the one they predict; null if there is none. */
  readonly ranks: string | null
  /** The number of dense layers, from the first; all of them for dense. */
  readonly denseLayers: number
  /** The switches under which the sparse text is generated: without those of its dense layers. */
  readonly switches: readonly UnitSwitch[]
}

/** Milliseconds per token of both models, in rounds that run in turns: [R] each. */
export interface SpeedRounds {
  readonly sparse: readonly number[]
  readonly dense: readonly number[]
}

/** One token of a text. */
export interface TextStep {
  readonly index: number
  readonly token: number
  readonly text: string
}

/** One token of the sparse text. */
export interface StudyStep extends TextStep {
  readonly kind: 'step'
  /** The scores of the mask, if a mask was decided at this token. */
  readonly scores: UnitScores | null
}

/** One token of the dense text, which begins when the sparse one is complete and is at most as long. */
export interface DenseStep extends TextStep {
  readonly kind: 'dense'
  /** The first index where the texts differ; null while they agree. */
  readonly divergence: number | null
}

/** After the last token. */
export interface StudyCompared {
  readonly kind: 'compared'
  /** KL(dense || sparse) of the distribution of each token of the sparse text, in nats: [N]. Null without a dense text. */
  readonly kl: readonly number[] | null
  /** The first index where the texts differ; their common length if only one of them ends there. */
  readonly divergence: number | null
  /** The criterion's scores of the dense text, or of the sparse one if there is no dense one. Null for an empty text or int8 weights. */
  readonly oracleScores: UnitScores | null
}

export type StudyEvent = StudyStart | StudyStep | DenseStep | StudyCompared

/** After the comparison: how fast both models read the sparse text. */
export interface StudyEnd {
  /** Null without a dense text, or where the context has no space for enough rounds. */
  readonly rounds: SpeedRounds | null
}

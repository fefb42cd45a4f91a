/**
 * What is said of a planner once: its name, its words, what it decides about and when, what it needs, and how it is made. Every list
 * of planners (help, bench, page, experiments, schemas) is made from these records (index.ts).
 */
import type { Criterion } from '../criteria/criterion.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import type { Budget } from '../masks/budget.ts'
import type { MaskPlanner } from '../masks/planner.ts'
import type { TopK, UnitScores } from '../masks/selection.ts'
import { MissingError } from '../tensor/errors.ts'
import type { Predictors } from './predictors.ts'

/** The inputs of planners; each needs only its own. */
export interface PlannerSources extends Partial<Predictors> {
  readonly model: LanguageModel
  /** The ranking; default: the reference. */
  readonly topK?: TopK
  /** Planners of mean scores: those of a calibration set. */
  readonly mean?: UnitScores
  /** oracle: the scores of the window. */
  readonly oracleScores?: UnitScores
  /** random, and criteria that draw: default 0. */
  readonly seed?: number
  /** Planners that score the prompt: another criterion than plainact. */
  readonly criterion?: Criterion
}

/** What a planner decides by besides what it is shown. */
export type Need =
  /** the mean scores of a calibration */
  | 'calibration'
  /** a predictor of the planner's name */
  | 'predictor'
  /** the loss of the prompt, by a criterion */
  | 'prompt-loss'
  /** the tokens that follow the prompt */
  | 'continuation'

/** A planner, as data and a function. */
export interface PlannerRecord<Name extends string = string> {
  readonly name: Name
  /** Its words for help, a line or two. */
  readonly help: string
  /** What it decides about. All heads are computed under one of neurons or channels. */
  readonly skips: 'nothing' | 'units' | 'neurons' | 'channels'
  /** When it decides (masks/planner.ts); null for dense. */
  readonly by: MaskPlanner['by'] | null
  readonly needs: readonly Need[]
  /**
   * The planner of one text; null for dense.
   * @param sources with the inputs that it needs
   * @param ranksRead whether it decides once, after a prompt that runs dense, and may rank layers that it reads
   * @throws MissingError PLANNER_SOURCE
   */
  make(
    sources: Required<Pick<PlannerSources, 'topK'>> & PlannerSources,
    budget: Budget,
    ranksRead: boolean,
  ): MaskPlanner | null
}

/** An input that is there. @throws MissingError PLANNER_SOURCE */
export function given<Source>(planner: string, source: Source | undefined, words: string): Source {
  if (source !== undefined) return source
  throw new MissingError('PLANNER_SOURCE', `planner ${planner}: expected ${words}, got none`)
}

/** The mean scores of a calibration. @throws MissingError PLANNER_SOURCE */
export function meanOf(planner: string, { mean }: PlannerSources): UnitScores {
  return given(planner, mean, 'the mean scores of a calibration')
}

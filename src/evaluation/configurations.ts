/**
 * The rows of a measurement: a planner at a sparsity each, dense always first, all asked about the same contexts.
 */
import type { Criterion } from '../criteria/criterion.ts'
import { makeBudget, type Scope } from '../masks/budget.ts'
import type { MaskPlanner } from '../masks/planner.ts'
import type { UnitScores } from '../masks/selection.ts'
import type { OptModel } from '../engine/opt_model.ts'
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import { scoreText } from '../predictor/pass_planners.ts'
import type { DejavuPredictor } from '../predictor/dejavu.ts'
import type { DejavuStylePredictor } from '../predictor/dejavu_style.ts'
import {
  makePlanner,
  type PlannerName,
  type PlannerOptions,
  type PlannerSources,
} from '../predictor/planners.ts'
import type { ShadowPredictor } from '../predictor/shadow.ts'

/** One row to be measured. */
export interface Configuration {
  readonly planner: PlannerName
  /** What decides; `none` for dense and random. */
  readonly criterion: string
  readonly scope: Scope
  /** Share of the ranked units that is to be skipped; 0 for dense. */
  readonly sparsity: number
  readonly leaky: boolean
}

/** All that planners decide by but the truth, which is of one text: what files have, so that others can be given the same. */
export interface ConfigurationSources extends Pick<PlannerSources, 'model' | 'topK' | 'mean'> {
  readonly shadow?: ShadowPredictor
  readonly dejavuStyle?: DejavuStylePredictor
  readonly dejavu?: DejavuPredictor
}

/** What is to be compared, and what planners decide by. */
export interface ConfigurationOptions extends PlannerOptions {
  readonly planners: readonly PlannerName[]
  readonly sparsities: readonly number[]
  readonly scope: Scope
  /** Of the oracle, of prompt-plainact, and of the scores in `sources.mean`. */
  readonly criterion: Criterion
  /** What each predictor was trained on, by planner. */
  readonly learnt: Partial<Record<PlannerName, string>>
  readonly sources: ConfigurationSources
}

/** A text of which a planner sees the first tokens. */
export interface PlannedText {
  readonly tokens: Int32Array // [T]
  readonly promptLength: number
}

/** The rows of one measurement and who decides in each. */
export class Configurations {
  readonly list: readonly Configuration[]
  /** What it was made from. */
  readonly options: ConfigurationOptions
  #known: { text: PlannedText; scores: UnitScores } | null = null

  /** @throws MissingError PLANNER_SOURCE if a planner has nothing to decide by; UsageError SPARSITY, SCOPE */
  constructor(options: ConfigurationOptions) {
    this.options = options
    const { scope, planners, sparsities } = options
    const leaky = options.leaky ?? false
    const others = planners.filter((planner) => planner !== 'dense')
    this.list = [
      { planner: 'dense', criterion: 'none', scope, sparsity: 0, leaky: false },
      ...sparsities.flatMap((sparsity) =>
        others.map((planner) => ({ planner, criterion: this.#criterionOf(planner), scope, sparsity, leaky })),
      ),
    ]
    // What is missing is told before any text is read.
    for (const { planner, sparsity } of this.list) if (planner !== 'oracle') this.#make(planner, sparsity, {})
  }

  /** Whether anything but dense is measured. */
  get hasSparse(): boolean {
    return this.list.length > 1
  }

  /**
   * Who decides in one row of the list, for one text; null is dense.
   * @param seed of the random planner; the same for every sparsity, so that those masks are nested
   */
  planOne(row: number, text: PlannedText, seed: number): MaskPlanner | null {
    const { planner, sparsity } = this.list[row]
    const truth = planner === 'oracle' ? this.#truth(text, seed) : undefined
    return this.#make(planner, sparsity, { truth, seed })
  }

  /** The same for every row. */
  planAll(text: PlannedText, seed: number): (MaskPlanner | null)[] {
    return this.list.map((_, row) => this.planOne(row, text, seed))
  }

  /** The scores of what follows the prompt; kept for the other sparsities, which ask next about the same text. */
  #truth(text: PlannedText, seed: number): UnitScores {
    const { sources, criterion } = this.options
    if (this.#known?.text.tokens !== text.tokens)
      this.#known = { text, scores: trueScores(sources.model, text, criterion, seed) }
    return this.#known.scores
  }

  #make(
    planner: PlannerName,
    sparsity: number,
    more: Pick<PlannerSources, 'truth' | 'seed'>,
  ): MaskPlanner | null {
    const { sources, scope, criterion, leaky, every, released } = this.options
    const all = { ...sources, criterion, ...more }
    return makePlanner(planner, all, makeBudget(sparsity, { scope }), {
      leaky,
      released,
      // An explicit undefined would be an answer: the planner's own way is none at all.
      ...(every !== undefined && { every }),
    })
  }

  #criterionOf(planner: PlannerName): string {
    const { learnt, criterion } = this.options
    return learnt[planner] ?? (planner === 'random' || planner === 'dense' ? 'none' : criterion.name)
  }
}

/**
 * The scores of what follows the prompt. A text may have one token more than the model takes: its last one is left out
 * then, or its first one if nothing else is scored.
 */
function trueScores(
  model: OptModel,
  { tokens, promptLength }: PlannedText,
  criterion: Criterion,
  seed: number,
): UnitScores {
  const { positions } = model.config
  const end = promptLength < positions ? positions : tokens.length
  const start = Math.max(0, end - positions)
  const kept = tokens.slice(start, end)
  const labels = kept.slice().fill(NOT_SCORED, 0, promptLength - start)
  return scoreText(model, kept, labels, criterion, seed)
}

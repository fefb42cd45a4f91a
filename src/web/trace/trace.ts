/**
 * A trace: a text, what decided which units computed it, and what the dense model wrote in its place. All that the page
 * shows of a text is made from a trace alone, so that one can be kept and looked at without the model.
 *
 * Scores are kept, masks are not: under any budget the mask is `selectMask` of the scores, as it was for the planner.
 */
import { makeBudget, type Budget, type Scope } from '../../masks/budget.ts'
import { denseMask, makeMask, type UnitMask, type UnitShape } from '../../masks/mask.ts'
import { selectMask, type UnitScores } from '../../masks/selection.ts'
import type { Decision, Speeds, StudyEnd, StudyEvent, StudyPlanner } from '../engine/study_types.ts'
import { quickTopK } from './quick_top_k.ts'

/** How much is skipped, and what units compete with: what can be changed without the model. */
export interface Selection {
  readonly sparsity: number
  readonly scope: Scope
}

/** What a text was written with. */
export interface TraceSettings extends Selection {
  readonly planner: StudyPlanner
  /** What the truth was scored by, and the prompt where the planner is prompt-plainact. */
  readonly criterion: string
  readonly decides: Decision
  readonly seed: number
}

/** The model, as far as a trace needs to know it. */
export interface TraceModel {
  readonly name: string
  readonly shape: UnitShape
  readonly width: number // D
}

/** A token that was written. */
export interface TraceToken {
  readonly token: number
  readonly text: string
}

/** One token of each text: a column of the map. */
export interface TraceColumn extends TraceToken {
  /** What the dense model wrote in its place; null where it had ended, or did not write. */
  readonly dense: TraceToken | null
  /** KL(dense || sparse) in nats, as a float32; null where nobody compared. */
  readonly kl: number | null
}

/** A text and what decided. */
export interface Trace {
  readonly model: TraceModel
  readonly settings: TraceSettings
  /** The criterion that the planner's scores are of, or predict; null where they are of none. */
  readonly ranks: string | null
  /** Layers that run whole, from the first. */
  readonly denseLayers: number
  readonly prompt: Int32Array // [P]
  readonly pieces: readonly string[] // [P]
  readonly columns: readonly TraceColumn[] // [N]
  /** One for all columns, or one for each, or none: dense. */
  readonly decisions: readonly UnitScores[]
  /** Scores of what was written, by the criterion; null if that is not known (yet). */
  readonly truth: UnitScores | null
  /** The first place where the texts differ. */
  readonly divergence: number | null
  readonly tokensPerSecond: Speeds
}

/** The scores that decided the mask of a column; null for dense. */
export function decisionOf(trace: Trace, column: number): UnitScores | null {
  return trace.decisions[Math.min(column, trace.decisions.length - 1)] ?? null
}

/** The budget that a planner of this trace has under a selection. */
export function budgetUnder(
  { denseLayers }: Pick<Trace, 'denseLayers'>,
  { sparsity, scope }: Selection,
): Budget {
  return makeBudget(sparsity, { scope, denseLayers })
}

/** Masks under one budget, each selected when it is first asked for. */
export class Masks {
  readonly budget: Budget
  readonly selection: Selection
  readonly #known = new WeakMap<UnitScores, UnitMask>()
  readonly #needed = new WeakMap<UnitScores, UnitMask>()

  constructor(trace: Pick<Trace, 'denseLayers'>, selection: Selection) {
    this.selection = selection
    this.budget = budgetUnder(trace, selection)
  }

  /** Whether these are still the masks of a trace under a selection. */
  areOf(trace: Pick<Trace, 'denseLayers'>, { sparsity, scope }: Selection): boolean {
    const { selection, budget } = this
    return (
      selection.sparsity === sparsity && selection.scope === scope && budget.denseLayers === trace.denseLayers
    )
  }

  /** What scores select; null where there are none. */
  of(scores: UnitScores): UnitMask
  of(scores: UnitScores | null): UnitMask | null
  of(scores: UnitScores | null): UnitMask | null {
    if (!scores) return null
    let mask = this.#known.get(scores)
    if (!mask) this.#known.set(scores, (mask = selectMask(scores, this.budget, quickTopK)))
    return mask
  }

  /**
   * The units that the oracle has a reason to keep: those it selects, without those whose score is 0, which it keeps only
   * where the budget has room. Null where the truth is not known.
   */
  needed({ truth }: Pick<Trace, 'truth'>): UnitMask | null {
    if (!truth) return null
    const known = this.#needed.get(truth)
    if (known) return known
    const { shape, heads, neurons } = this.of(truth)
    const both = { heads, neurons }
    const [neededHeads, neededNeurons] = (['heads', 'neurons'] as const).map((kind) =>
      both[kind].map((kept, place) =>
        place < this.budget.denseLayers * shape[kind] || truth[kind][place] !== 0 ? kept : 0,
      ),
    )
    const needed = makeMask(shape, neededHeads, neededNeurons)
    this.#needed.set(truth, needed)
    return needed
  }

  /** The mask that a column of a trace was computed under, or would have been. */
  ofColumn(trace: Trace, column: number): UnitMask {
    return this.of(decisionOf(trace, column)) ?? denseMask(trace.model.shape)
  }
}

/** The mean KL per token over what was compared; null if nothing was. */
export function meanDivergence({ columns }: Pick<Trace, 'columns'>): number | null {
  const known = columns.flatMap(({ kl }) => kl ?? [])
  return known.length === 0 ? null : known.reduce((sum, kl) => sum + kl, 0) / known.length
}

/** A trace before anything has happened. */
export function emptyTrace(model: TraceModel, settings: TraceSettings): Trace {
  return {
    model,
    settings,
    ranks: null,
    denseLayers: model.shape.layers,
    prompt: new Int32Array(0),
    pieces: [],
    columns: [],
    decisions: [],
    truth: null,
    divergence: null,
    tokensPerSecond: { sparse: null, dense: null },
  }
}

/** A trace with what a study tells next. */
export function growTrace(trace: Trace, event: StudyEvent | StudyEnd): Trace {
  if (!('kind' in event)) return { ...trace, truth: event.truth, tokensPerSecond: event.tokensPerSecond }
  if (event.kind === 'start') {
    const { prompt, pieces, ranks, denseLayers } = event
    return { ...trace, prompt, pieces, ranks, denseLayers }
  }
  const { token, text, dense, kl, scores, divergence, tokensPerSecond } = event
  const column: TraceColumn = { token, text, dense, kl: kl === null ? null : Math.fround(kl) }
  return {
    ...trace,
    columns: [...trace.columns, column],
    decisions: scores ? [...trace.decisions, scores] : trace.decisions,
    divergence,
    tokensPerSecond,
  }
}

/**
 * A trace: a generated text, the scores that decided its masks, and the text of the dense model. The page shows a text from its
 * trace alone, so a trace can be saved and shown without the model.
 *
 * A trace contains scores, not masks: for any budget the mask is `selectMask` of the scores, as in the planner, with the switches of
 * the trace.
 */
import { makeBudget, type Budget, type Scope } from '../../masks/budget.ts'
import { denseMask, makeMask, unitKinds, type UnitMask, type UnitShape } from '../../masks/mask.ts'
import { selectMask, type UnitScores } from '../../masks/selection.ts'
import { neuronBudget } from '../../planners/late.ts'
import {
  neuronStudyPlanners,
  type Decision,
  type SpeedRounds,
  type StudyEnd,
  type StudyEvent,
  type StudyPlanner,
} from '../engine/study_types.ts'
import type { UnitSwitch } from '../engine/unit_switches.ts'
import { quickTopK } from './quick_top_k.ts'
import type { LayerSizes } from '../../masks/achieved.ts'

/** The sparsity and the scope: they can be changed without the model. */
export interface Selection {
  readonly sparsity: number
  readonly scope: Scope
}

/** The settings of a text. */
export interface TraceSettings extends Selection {
  readonly planner: StudyPlanner
  /** The criterion of the oracle scores, and of the prompt for the planner prompt-plainact. */
  readonly criterion: string
  readonly decides: Decision
  /** 0 is greedy. */
  readonly temperature: number
  readonly seed: number
}

/** The description of the model. */
export interface TraceModel extends LayerSizes {
  readonly name: string
  readonly shape: UnitShape
}

/** A generated token. */
interface TraceToken {
  readonly token: number
  readonly text: string
}

/** One token of each text: a column of the map. */
export interface TraceColumn extends TraceToken {
  /** The token of the dense text; null if that has ended, is not generated, or is not there yet. */
  readonly dense: TraceToken | null
  /** KL(dense || sparse) in nats, as a float32; null without a comparison, or before it. */
  readonly kl: number | null
}

/** A trace. */
export interface Trace {
  readonly model: TraceModel
  readonly settings: TraceSettings
  /** The criterion of the planner's scores, or the one they predict; null if there is none. */
  readonly ranks: string | null
  /** The number of dense layers, from the first. */
  readonly denseLayers: number
  /** The switched units under which the text was generated. */
  readonly switches: readonly UnitSwitch[]
  readonly prompt: Int32Array // [P]
  readonly pieces: readonly string[] // [P]
  readonly columns: readonly TraceColumn[] // [N]
  /** One for all columns, one for each column, or none for dense. */
  readonly decisions: readonly UnitScores[]
  /** The oracle scores of the text; null while they are unknown. */
  readonly oracleScores: UnitScores | null
  /** The first index where the texts differ. */
  readonly divergence: number | null
  /** The speed of both models; null while it is unknown. */
  readonly rounds: SpeedRounds | null
}

/** The scores that decided the mask of a column; null for dense. */
export function decisionOf(trace: Trace, column: number): UnitScores | null {
  return trace.decisions[Math.min(column, trace.decisions.length - 1)] ?? null
}

/** What of a trace its budgets depend on. */
interface BudgetOfTrace extends Pick<Trace, 'denseLayers'> {
  readonly settings: Pick<TraceSettings, 'planner'>
}

/** Masks under one budget, each selected on first use. */
export class Masks {
  readonly budget: Budget
  readonly selection: Selection
  readonly #known = new WeakMap<UnitScores, UnitMask>()
  readonly #needed = new WeakMap<UnitScores, UnitMask>()
  readonly #compared = new WeakMap<UnitMask, { readonly scores: UnitScores; readonly mask: UnitMask }>()

  readonly #keepsHeads: boolean

  constructor({ denseLayers, settings }: BudgetOfTrace, selection: Selection) {
    const { sparsity, scope } = selection
    const budget = makeBudget(sparsity, { scope, denseLayers })
    this.selection = selection
    this.#keepsHeads = neuronStudyPlanners.includes(settings.planner)
    this.budget = this.#keepsHeads ? neuronBudget(budget) : budget
  }

  /** Whether these are the masks of this trace under this selection. */
  areOf({ denseLayers, settings }: BudgetOfTrace, { sparsity, scope }: Selection): boolean {
    const { selection, budget } = this
    return (
      selection.sparsity === sparsity &&
      selection.scope === scope &&
      budget.denseLayers === denseLayers &&
      this.#keepsHeads === neuronStudyPlanners.includes(settings.planner)
    )
  }

  /** The mask of scores. */
  of(scores: UnitScores): UnitMask {
    let mask = this.#known.get(scores)
    if (!mask) this.#known.set(scores, (mask = selectMask(scores, this.budget, quickTopK)))
    return mask
  }

  /**
   * The units that the oracle selects, without units of score 0, which it keeps only to fill the budget. Null if the oracle
   * scores are unknown.
   */
  needed({ oracleScores }: Pick<Trace, 'oracleScores'>): UnitMask | null {
    if (!oracleScores) return null
    const known = this.#needed.get(oracleScores)
    if (known) return known
    const mask = this.of(oracleScores)
    const { shape } = mask
    const [heads, neurons] = unitKinds.map((kind) =>
      mask[kind].map((kept, place) =>
        place < this.budget.denseLayers * shape[kind] || oracleScores[kind][place] !== 0 ? kept : 0,
      ),
    )
    const needed = makeMask(shape, heads, neurons)
    this.#needed.set(oracleScores, needed)
    return needed
  }

  /**
   * The oracle's selection that is nearest to a mask: of units with equal scores it may keep any, so those of the mask are taken
   * first. Units of score 0 that the mask skips are left out. Null if the oracle scores are unknown.
   */
  nearest({ oracleScores }: Pick<Trace, 'oracleScores'>, mask: UnitMask): UnitMask | null {
    if (!oracleScores) return null
    const known = this.#compared.get(mask)
    if (known?.scores === oracleScores) return known.mask
    const own = this.of(oracleScores)
    const { shape } = own
    const { denseLayers, scope } = this.budget
    const [heads, neurons] = unitKinds.map((kind) => {
      const kept = own[kind].slice()
      const units = shape[kind]
      const group = scope === 'per-layer' ? units : kept.length
      for (let start = denseLayers * units; start < kept.length; start += group)
        takeEqual(kept, oracleScores[kind], mask[kind], start, Math.min(start + group, kept.length))
      return kept
    })
    const nearest = makeMask(shape, heads, neurons)
    this.#compared.set(mask, { scores: oracleScores, mask: nearest })
    return nearest
  }

  /** The mask of a column of a trace under a selection. */
  ofColumn(trace: Trace, column: number): UnitMask {
    const scores = decisionOf(trace, column)
    return scores ? this.of(scores) : denseMask(trace.model.shape)
  }
}

/** Whether two models have one name and shape. */
export function isSameModel(a: TraceModel, b: TraceModel): boolean {
  const sizes = ['layers', ...unitKinds] as const
  return a.name === b.name && sizes.every((size) => a.shape[size] === b.shape[size])
}

/** Whether two texts have one prompt. */
export function hasPromptOf({ prompt }: Pick<Trace, 'prompt'>, other: Pick<Trace, 'prompt'>): boolean {
  return prompt.length === other.prompt.length && prompt.every((id, i) => id === other.prompt[i])
}

/**
 * How many units of the layers that are not dense a text keeps, and how many of these a text of another prompt does not keep, both
 * under one selection. Null unless each text has one mask, chosen in the same way for the same model.
 */
export function changedUnits(
  trace: Trace,
  former: Trace | null,
  masks: Masks,
): { readonly kept: number; readonly changed: number } | null {
  const { model, settings, denseLayers } = trace
  if (former === null || trace.decisions.length !== 1 || former.decisions.length !== 1) return null
  const isAlike = (['planner', 'criterion', 'decides'] as const).every(
    (name) => settings[name] === former.settings[name],
  )
  if (!isAlike || !isSameModel(model, former.model) || denseLayers !== former.denseLayers) return null
  const [own, other] = [trace, former].map((one) => masks.ofColumn(one, 0))
  const places = unitKinds.flatMap((kind) =>
    Array.from(own[kind].keys())
      .slice(denseLayers * model.shape[kind])
      .filter((place) => own[kind][place] !== 0)
      .map((place) => other[kind][place]),
  )
  return { kept: places.length, changed: places.filter((kept) => kept === 0).length }
}

/** Exchanges kept units of a range for others of equal scores that a mask keeps, and ends those of score 0 that it does not. */
function takeEqual(
  kept: Float32Array,
  scores: Float32Array,
  mask: Float32Array,
  start: number,
  end: number,
): void {
  const places = new Map<number, number>()
  for (let unit = start; unit < end; unit++)
    if (kept[unit] !== 0) places.set(scores[unit], (places.get(scores[unit]) ?? 0) + 1)
  kept.fill(0, start, end)
  for (const isOfMask of [true, false])
    for (let unit = start; unit < end; unit++) {
      const left = places.get(scores[unit]) ?? 0
      if (left === 0 || (mask[unit] !== 0) !== isOfMask || (!isOfMask && scores[unit] === 0)) continue
      kept[unit] = 1
      places.set(scores[unit], left - 1)
    }
}

/** The mean KL per compared token; null if there are none. */
export function meanDivergence({ columns }: Pick<Trace, 'columns'>): number | null {
  const known = columns.flatMap(({ kl }) => kl ?? [])
  return known.length === 0 ? null : known.reduce((sum, kl) => sum + kl, 0) / known.length
}

/** One standard error of the mean KL, over the compared tokens as if each were drawn by itself; null for fewer than two. */
export function divergenceError(trace: Pick<Trace, 'columns'>): number | null {
  const mean = meanDivergence(trace)
  const known = trace.columns.flatMap(({ kl }) => kl ?? [])
  if (mean === null || known.length < 2) return null
  const squares = known.reduce((sum, kl) => sum + (kl - mean) ** 2, 0)
  return Math.sqrt(squares / (known.length - 1) / known.length)
}

/** An empty trace. */
export function emptyTrace(model: TraceModel, settings: TraceSettings): Trace {
  return {
    model,
    settings,
    ranks: null,
    denseLayers: model.shape.layers,
    switches: [],
    prompt: new Int32Array(0),
    pieces: [],
    columns: [],
    decisions: [],
    oracleScores: null,
    divergence: null,
    rounds: null,
  }
}

/** A trace after the next event of a study. */
export function growTrace(trace: Trace, event: StudyEvent | StudyEnd): Trace {
  const { columns } = trace
  if (!('kind' in event)) return { ...trace, rounds: event.rounds }
  if (event.kind === 'compared') {
    const { kl, divergence, oracleScores } = event
    const compared = kl ? columns.map((column, i) => ({ ...column, kl: Math.fround(kl[i]) })) : columns
    return { ...trace, columns: compared, divergence, oracleScores }
  }
  if (event.kind === 'start') {
    const { prompt, pieces, ranks, denseLayers, switches } = event
    return { ...trace, prompt, pieces, ranks, denseLayers, switches }
  }
  const { index, token, text } = event
  if (event.kind === 'dense') {
    const compared = columns.with(index, { ...columns[index], dense: { token, text } })
    return { ...trace, columns: compared, divergence: event.divergence }
  }
  return {
    ...trace,
    columns: [...columns, { token, text, dense: null, kl: null }],
    decisions: event.scores ? [...trace.decisions, event.scores] : trace.decisions,
  }
}

/**
 * The cells of the grid: when is decided, by what, whether the prompt runs dense or masked, which units, how many of them.
 *
 *   by what   every planner, in two scopes: over the whole model, and within each layer; what ranks neurons by the prompt does
 *             so within layers
 *   when      as the planner does by itself; shadow and dejavu also once, after every 16 tokens and at every token
 *   prompt    dense and masked
 *   units     heads, neurons, and both: by the same share, or by each share of neurons with each of heads
 *   instead   zeros in place of what is skipped; where that is asked for, also its mean, or least squares of what is kept, without
 *             and with a share of the prompt
 *
 * A combination that a planner refuses is no cell: griffin and its like rank no heads and decide after a dense prompt, cats
 * decides at every token. Nothing here lists these. Three kinds of cells are left out on purpose. A second decision of
 * static, random or the oracle would be no other one: their scores do not depend on what was fed. prompt-plainact,
 * prompt-static and dejavu-style run a pass over all tokens so far at each decision, which costs more than it could save.
 * The oracle chooses by each half of a continuation for the other half, so that no token that is scored has chosen its mask.
 */
import type { LanguageModel } from '../engine/language_model.ts'
import type { Settings } from '../evaluation/settings.ts'
import type { Scope } from '../masks/budget.ts'
import type { HeldMoments } from '../compensation/held_moments.ts'
import { MOMENTS_CRITERION } from '../criteria/index.ts'
import type { CompensationName } from '../masks/compensation.ts'
import { prefills, type Prefill } from '../masks/planner.ts'
import type { UnitShape } from '../masks/mask.ts'
import {
  defaultEvery,
  keepsHeads,
  needs,
  plannerNames,
  type Every,
  type PlannerName,
} from '../planners/index.ts'
import type { Predictor } from '../predictor/predictor_file.ts'
import { predictorFor } from '../predictor/suitable.ts'
import {
  AS_RELEASED,
  compensationWords,
  isReleased,
  makeMethod,
  planMethod,
  prefillOf,
  type Method,
} from '../results/method.ts'
import { ShadowError } from '../tensor/errors.ts'
import { comparisonMethod, waysToLearn } from './methods.ts'

/** Which units are skipped. */
export const unitChoices = ['heads', 'neurons', 'both'] as const
export type Units = (typeof unitChoices)[number]

/** Tokens of a prompt, and of what follows it. */
export interface GridWindow {
  readonly prompt: number
  readonly continuation: number
}

/** Which cells are measured; what is left out is all there is. */
export interface GridChoice {
  readonly planners?: readonly PlannerName[]
  readonly units?: readonly Units[]
  /** Default: those of the settings, up to 80 %. */
  readonly sparsities?: readonly number[]
  /** Shares of heads; those above are of neurons then. */
  readonly headSparsities?: readonly number[]
  /** Default: both, of planners that have both. */
  readonly scope?: Scope
  readonly prefills?: readonly Prefill[]
  /** Decisions at other times are left out. */
  readonly every?: readonly Every[]
  /** Default: that of the settings, a short prompt with a long continuation, and the reverse. */
  readonly windows?: readonly GridWindow[]
  /** What takes the place of what is skipped; default: none. Others need moments. */
  readonly compensate?: readonly CompensationName[]
  /** Shares of the prompt in the moments of least squares; default: 0. */
  readonly promptShares?: readonly number[]
  /** What mean scores are of; default: plainact. Moments have obs. */
  readonly scores?: readonly string[]
  /** Default: yes. */
  readonly speed?: boolean
}

/** One combination. */
export interface Cell {
  readonly units: Units
  readonly method: Method
}

/** The largest sparsity of the settings that is measured. */
const MAX_SPARSITY = 0.8

/** Planners that are asked again at little cost: their predictors read what the model has computed anyway. */
const askedAgain: readonly PlannerName[] = ['shadow', 'dejavu']

/** When a planner decides, in the order of the table. */
function timesOf(planner: PlannerName): Every[] {
  const usual = defaultEvery(planner)
  return askedAgain.includes(planner) ? [...new Set<Every>([usual, 'once', 16, 1])] : [usual]
}

/** What follows the name of a planner whose units compete within their layer, where other rows of it have the whole model. */
const PER_LAYER = ', per layer'
/** And where static scores are those that predictors learn. */
const PRUNED_SCORES = ', scores of a pruned model'

/** Where units of a planner compete; those that rank neurons by the prompt do so within layers alone. */
function scopesOf(planner: PlannerName, asked: Scope | undefined): Scope[] {
  const scopes: Scope[] = keepsHeads(planner) ? ['per-layer'] : ['global', 'per-layer']
  return scopes.filter((scope) => scope === (asked ?? scope))
}

/**
 * The shares of heads and neurons, both said, so that a planner can refuse what it does not rank. They are whole units of a
 * layer, so that as many are skipped whether units compete within layers or over all of them.
 */
function sharesOf(
  { heads, neurons }: UnitShape,
  units: Units,
  asked: Budget,
): Required<Pick<Method, 'headSparsity' | 'neuronSparsity'>> {
  return {
    headSparsity: units === 'neurons' ? 0 : Math.round(asked.heads * heads) / heads,
    neuronSparsity: units === 'heads' ? 0 : Math.round(asked.neurons * neurons) / neurons,
  }
}

/** Shares that are asked for. */
interface Budget {
  readonly heads: number
  readonly neurons: number
}

function budgetsOf(
  units: Units,
  sparsities: readonly number[],
  headSparsities?: readonly number[],
): Budget[] {
  const same = (share: number): Budget => ({ heads: share, neurons: share })
  if (!headSparsities || units === 'neurons') return sparsities.map(same)
  if (units === 'heads') return headSparsities.map(same)
  return sparsities.flatMap((neurons) => headSparsities.map((heads) => ({ heads, neurons })))
}

/** Which units a cell's method skips. */
export function unitsOf({ headSparsity, neuronSparsity }: Method): Units {
  return headSparsity === 0 ? 'neurons' : neuronSparsity === 0 ? 'heads' : 'both'
}

/** What cells are made from. */
interface CellOptions {
  readonly model: LanguageModel
  readonly settings: Settings
  readonly given?: Given
  readonly choice?: GridChoice
}

/** What was learnt beforehand: methods that ask for it learn nothing in the run. */
interface Given {
  readonly predictors?: readonly Predictor[]
  /** Whether mean scores are given. */
  readonly calibrated?: boolean
  readonly moments?: HeldMoments
}

/** The cells, grouped by units and sparsity. */
export function gridCells({ model, settings, given = {}, choice = {} }: CellOptions): Cell[] {
  const {
    planners = plannerNames,
    units = unitChoices,
    sparsities = settings.sparsities.filter((sparsity) => sparsity <= MAX_SPARSITY),
    headSparsities,
    scope: asked,
    prefills: prompts = prefills,
    every: times,
    scores = ['plainact'],
  } = choice
  const skipping = planners.filter((planner) => planner !== 'dense')
  return units.flatMap((kind) =>
    budgetsOf(kind, sparsities, headSparsities).flatMap((budget) =>
      skipping.flatMap((planner) =>
        scopesOf(planner, asked).flatMap((scope) => {
          const base = cellMethod(settings, given, planner, budget.neurons, scope)
          return timesOf(planner)
            .filter((every) => times?.includes(every) ?? true)
            .flatMap((every) => prompts.map((prefill) => ({ ...base, every, prefill })))
            .map((method): Cell => ({
              units: kind,
              method: { ...method, ...sharesOf(model.shape, kind, budget) },
            }))
            .flatMap((cell) =>
              scoredWays(settings, scores, cell.method)
                .flatMap((method) => compensated(choice, method))
                .map((method) => ({ ...cell, method })),
            )
            .filter(({ method }) => isPossible(model, method, given.moments))
        }),
      ),
    ),
  )
}

/** A method by each kind of scores. Only mean scores are of several kinds. */
function scoredWays(settings: Settings, scores: readonly string[], method: Method): Method[] {
  if (!needs(method.planner, 'calibration') || needs(method.planner, 'prompt-loss'))
    return waysToLearn(settings, method)
  const { examples: _, ...own } = method
  return scores.flatMap((criterion) =>
    criterion === MOMENTS_CRITERION ? [{ ...own, criterion }] : waysToLearn(settings, method),
  )
}

/** A method with each thing that takes the place of what it skips. */
function compensated({ compensate = ['none'], promptShares = [0] }: GridChoice, method: Method): Method[] {
  return compensate.flatMap((by): Method[] => {
    if (by === 'none') return [method]
    const shares = by === 'mean' ? [0] : promptShares
    return shares.map((promptShare) => ({
      ...method,
      compensate: by,
      ...(promptShare > 0 && { promptShare }),
    }))
  })
}

function cellMethod(
  settings: Settings,
  { predictors = [], calibrated = false }: Given,
  planner: PlannerName,
  sparsity: number,
  scope: Scope,
): Method {
  const options = { criterion: 'plainact', scope }
  const { examples, predictor, ...method } = comparisonMethod(settings, options, planner, sparsity)
  const given = predictorFor(planner, predictors)
  if (given) return makeMethod({ ...method, criterion: given.config.criterion })
  if (calibrated && needs(planner, 'calibration')) return makeMethod(method)
  return { ...method, ...(examples && { examples }), ...(predictor && { predictor }) }
}

/** What a planner refuses for what it is, whatever it decides by. */
const refusals: readonly string[] = ['SPARSITY', 'PREFILL', 'EVERY', 'COMPENSATE']

/** Whether the planner of a method accepts it. What it decides by is not there yet, and is asked for last. */
function isPossible(model: LanguageModel, method: Method, moments: HeldMoments | undefined): boolean {
  try {
    planMethod(model, method, { moments })
    return true
  } catch (error) {
    if (error instanceof ShadowError && refusals.includes(error.code)) return false
    if (error instanceof ShadowError && error.code === 'PLANNER_SOURCE') return true
    throw error
  }
}

/** What each row says of a cell: by what, when, and how the prompt runs. */
export function cellWords(method: Method): {
  readonly planner: string
  readonly every: string
  readonly prompt: Prefill
} {
  const { planner, scope, every, examples, criterion } = method
  const own = [
    planner,
    isReleased(method) ? AS_RELEASED : '',
    planner === 'static' && examples?.pruned !== undefined ? PRUNED_SCORES : '',
    !keepsHeads(planner) && scope === 'per-layer' ? PER_LAYER : '',
    criterion === MOMENTS_CRITERION ? `, ${MOMENTS_CRITERION}` : '',
    compensationWords(method),
  ]
  return {
    planner: own.join(''),
    every: every === 1 ? 'every token' : every === 'once' ? every : `every ${every}`,
    prompt: prefillOf(method),
  }
}

/** The shares of a cell in words. */
export function budgetOf({ method: { sparsity, headSparsity } }: Cell): string {
  return `${sparsity} ${headSparsity}`
}

/** Whether two cells skip the same units by the same share: what a difference is taken between. */
export function isPeer(a: Cell, b: Cell): boolean {
  return a.units === b.units && budgetOf(a) === budgetOf(b)
}

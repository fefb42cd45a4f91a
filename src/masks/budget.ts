/**
 * The budget: how many units a mask keeps. Heads and neurons have separate budgets.
 *
 * The first layers run before a planner decides, so they run dense: `denseLayers` of them (1 + the source layer of the
 * planner) are left out of the ranking and of the budget. Of the N units that are ranked, exactly round((1 - s) N) are
 * kept, halves rounded up: over all of them (global scope), or in each layer (per-layer scope).
 *
 * A floor guarantees every ranked layer its best units. Floors count towards the budget and exceed it only if the budget is
 * smaller than all floors together. Global scope guarantees one head per layer. Hybrid scope is global scope with a floor
 * for neurons too: a layer below the floor gets its best units back, and the lowest units of the other layers are skipped
 * instead.
 *
 * The paper's code ranks the dense layers too, prunes floor(int(percent) N / 100) units and then makes those layers dense,
 * so that it skips less than requested. Its hybrid scope may leave a layer below the floor (src/spec/select.ts says how).
 * `policy: 'paper-compatible'` is compatible with it.
 */
import { checkOptionNames, describeValue, isObject } from '../tensor/arguments.ts'
import { UsageError } from '../tensor/errors.ts'
import {
  expectOption,
  nameOption,
  numberOption,
  type NameOption,
  type OptionRecord,
} from '../tensor/option.ts'

/** Whether units compete over the whole model or within their layer; hybrid is global with floors under both kinds. */
export const scopes = [
  /** The units of all layers compete, so that layers keep different numbers of them; each keeps its best head. */
  'global',
  /** The units of one layer compete: every layer keeps the same share. */
  'per-layer',
  /** As `global`, and each layer keeps a floor of its best neurons too. */
  'hybrid',
] as const
/** Which units compete. */
export type Scope = (typeof scopes)[number]
const policies = ['exact', 'paper-compatible'] as const

/** The share of units that is skipped. */
export const shareOption: OptionRecord<number> = numberOption(
  'SPARSITY',
  'a share from 0 to 1',
  (share) => share >= 0 && share <= 1,
  (value) => {
    const [, text] = typeof value === 'string' ? (/^(\d+(?:\.\d+)?) ?%$/.exec(value) ?? []) : []
    const percent = typeof value === 'number' && value >= 2 ? value : Number(text)
    return percent <= 100 ? ` (${percent} % is ${percent / 100})` : ''
  },
)
export const scopeOption: NameOption<Scope> = nameOption('SCOPE', scopes)

/** How much a mask may skip: the sparsities, the scope and the floors. `makeBudget` makes one and has the defaults. */
export interface Budget {
  /** Share of the ranked heads that is skipped, in [0, 1]. */
  readonly headSparsity: number
  /** Share of the ranked neurons that is skipped, in [0, 1]. */
  readonly neuronSparsity: number
  /**
   * Which units compete. `global`: those of all ranked layers. `per-layer`: those of one layer. `hybrid`: as `global`, and no layer
   * keeps fewer neurons than `neuronFloor`.
   */
  readonly scope: Scope
  /** The heads that each ranked layer keeps at least. */
  readonly headFloor: number
  /**
   * The neurons that each ranked layer keeps at least; null is 1/32 of the layer's neurons, rounded up, at most 256
   * (`defaultNeuronFloor`).
   */
  readonly neuronFloor: number | null
  /** How many layers, from the first, run dense, and are neither ranked nor counted. */
  readonly denseLayers: number
  /**
   * How the share s of N units is rounded. `exact`: round((1 - s) N) are kept, halves up. `paper-compatible`, as the released code: s is cut to whole percents p, floor(p N / 100) units are skipped, and the dense layers are ranked too and made dense
   * afterwards, so that less is skipped than was asked for.
   */
  readonly policy: (typeof policies)[number]
}

/**
 * How much is to be skipped: a budget of the same sparsity for heads and neurons, for `selectMask` and the planners. Defaults: scope
 * `global`, policy `exact`, `denseLayers` 1, `headFloor` 1 (0 with the policy `paper-compatible` outside of `hybrid`), `neuronFloor` 0
 * (null in `hybrid`).
 * @param sparsity the share of ranked units to skip, in [0, 1]
 * @param options what differs from the defaults
 * @throws UsageError SPARSITY for a share outside [0, 1]; FLOOR or DENSE_LAYERS for a value that is no whole number; SCOPE,
 *   POLICY; OPTIONS, OPTION_NAME for invalid options
 * @specified `Budget`
 * @example
 * ```ts
 * import { makeBudget, ShadowModel, staticPlanner } from 'shadowllm'
 * import { scoreText } from 'shadowllm/predictor'
 *
 * // Half of the heads, 70 % of the neurons, each layer alike.
 * const budget = makeBudget(0.5, { neuronSparsity: 0.7, scope: 'per-layer' })
 * const opt = await ShadowModel.fromPretrained()
 * const ids = Int32Array.from(opt.encode('Once upon a time, there was a little girl', { prefix: true }))
 * const planner = staticPlanner(scoreText(opt.model, ids, ids), budget)
 * for await (const { text } of opt.generate('Once upon a time', { planner, maxTokens: 12 })) console.log(text)
 * await opt.dispose()
 * ```
 */
export function makeBudget(sparsity: number, options: Partial<Budget> = {}): Budget {
  checkOptionNames(options, fields)
  const { scope = 'global', policy = 'exact' } = options
  const budget: Budget = {
    headSparsity: sparsity,
    neuronSparsity: sparsity,
    headFloor: policy === 'paper-compatible' && scope !== 'hybrid' ? 0 : 1,
    neuronFloor: scope === 'hybrid' ? null : 0,
    denseLayers: 1,
    ...options,
    scope,
    policy,
  }
  checkBudget(budget)
  return budget
}

const fields: readonly (keyof Budget)[] = [
  'headSparsity',
  'neuronSparsity',
  'scope',
  'headFloor',
  'neuronFloor',
  'denseLayers',
  'policy',
]

/** Checks a budget. @throws UsageError SPARSITY, SCOPE, POLICY, FLOOR, DENSE_LAYERS */
export function checkBudget(budget: Budget): void {
  if (!isObject(budget))
    throw new UsageError('SPARSITY', `budget: expected a budget of makeBudget, got ${describeValue(budget)}`)
  const { scope, policy } = budget
  if (!policies.includes(policy))
    throw new UsageError('POLICY', `policy: expected one of ${policies.join(', ')}, got ${String(policy)}`)
  expectOption('scope', scope, scopeOption)
  for (const share of [budget.headSparsity, budget.neuronSparsity])
    expectOption('sparsity', share, shareOption)
  for (const floor of [budget.headFloor, budget.neuronFloor ?? 0])
    if (!Number.isInteger(floor) || floor < 0)
      throw new UsageError(
        'FLOOR',
        `floor: expected a whole number of units per layer, got ${describeValue(floor)}`,
      )
  if (!Number.isInteger(budget.denseLayers) || budget.denseLayers < 0)
    throw new UsageError(
      'DENSE_LAYERS',
      `dense layers: expected a whole number of layers, got ${describeValue(budget.denseLayers)}`,
    )
}

/**
 * How many of `ranked` units a budget keeps at this sparsity, before floors: round((1 - s) N), halves up, of N units.
 * @param ranked N, the units that compete
 * @param sparsity the share to skip, in [0, 1]
 * @param policy how the share is rounded: `exact` to the nearest number, `paper-compatible` as the released code
 */
export function unitsKept(ranked: number, sparsity: number, policy: Budget['policy'] = 'exact'): number {
  // Rounded to millionths first, so that halves round up: (1 - 0.3) * 45 = 31.499999999999996 counts as 31.5.
  if (policy === 'exact') return Math.round(Math.round((1 - sparsity) * ranked * 1e6) / 1e6)
  // The percentage is an integer there; the addend undoes 0.29 * 100 = 28.999999999999996.
  const percent = Math.floor(sparsity * 100 + 1e-9)
  return ranked - Math.floor((percent * ranked) / 100)
}

/** The first layer whose units are ranked. */
export function firstRanked({ policy, denseLayers }: Budget): number {
  return policy === 'paper-compatible' ? 0 : denseLayers
}

/**
 * The floor of the neurons of a layer in hybrid scope: 1/32 of them, rounded up, at most 256. The paper's code has 256, which
 * is 1/32 of the 8192 neurons of OPT-1.3B.
 */
export function defaultNeuronFloor(neurons: number): number {
  return Math.min(256, Math.ceil(neurons / 32))
}

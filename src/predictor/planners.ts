/**
 * The planners. They differ in the source of their scores.
 *
 *   dense            no scores: everything is computed
 *   static           the mean scores of the calibration set, the same for every sequence
 *   random           seeded noise, new for every sequence
 *   oracle           the criterion's scores of the window, which needs its answer: the upper bound of every predictor
 *   prompt-plainact  the scores of the prompt's own loss: one forward and one backward pass over it, no predictor
 *   prompt-static    the same times the mean scores of a calibration, by their geometric mean
 *   griffin          how much the prompt uses each neuron, once it has run dense; all heads (arXiv 2404.01365)
 *   coreinfer        how often a neuron is among the strongest of a token, likewise (arXiv 2410.18311)
 *   glass            ranks by griffin's scores merged with those of a calibration, likewise (arXiv 2508.14302)
 *   griffin-static   the mean scores of a calibration, those of neurons times the root of griffin's
 *   shadow           scores predicted from the head outputs of the prompt in one early layer (arXiv 2406.16635)
 *   dejavu-style     the baseline of its authors: scores of each layer predicted from the outputs of its own heads, which
 *                    needs a dense pass over the prompt first
 *   cats             no scores: at every token the neurons whose own gate is open (arXiv 2404.08763)
 *   teal             no units: at every token the input channels of matrices that are not small (arXiv 2408.14690)
 *   wina             the same by their size times the norm of their column (arXiv 2505.19427)
 *   dejavu           layer by layer, from the stream one layer earlier, for every token (arXiv 2310.17157)
 *
 * Planners that run an additional pass are in `pass_planners.ts`, dejavu in `dejavu_planner.ts`; those from prompt-static to
 * griffin-static have a file each.
 */
import type { Criterion } from '../criteria/criterion.ts'
import { randomScores } from '../criteria/random.ts'
import { checkBudget, makeBudget, type Budget } from '../masks/budget.ts'
import { checkUnitShape, type UnitShape } from '../masks/mask.ts'
import { prefills, type MaskPlanner, type Prefill, type PromptView } from '../masks/planner.ts'
import { SHIFT_DISTANCE, SHIFT_WINDOW } from '../masks/shift.ts'
import { referenceTopK, selectMask, type TopK, type UnitScores } from '../masks/selection.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { describeValue, expectKind, kinds } from '../tensor/arguments.ts'
import { MissingError, UsageError } from '../tensor/errors.ts'
import { Random } from '../tensor/random.ts'
import { catsPlanner } from './cats.ts'
import { coreinferPlanner } from './coreinfer.ts'
import { dejavuPlanner, type LayerPredictor } from './dejavu_planner.ts'
import { glassPlanner } from './glass.ts'
import { griffinPlanner } from './griffin.ts'
import { griffinStaticPlanner } from './griffin_static.ts'
import { decidesByToken, decidesLate, masksChannels } from './late_planner.ts'
import { dejavuStylePlanner, promptPlanner, type HeadOutputsPredictor } from './pass_planners.ts'
import { promptStaticPlanner } from './prompt_static.ts'
import { rankingPlanner, type RankingPlanner } from './ranking.ts'
import { tealPlanner } from './teal.ts'
import { winaPlanner } from './wina.ts'

/** Names of the planners, in the order of a table. */
export const plannerNames = [
  'dense',
  'static',
  'random',
  'oracle',
  'prompt-plainact',
  'prompt-static',
  'griffin',
  'coreinfer',
  'glass',
  'griffin-static',
  'shadow',
  'dejavu-style',
  'dejavu',
  'cats',
  'teal',
  'wina',
] as const
export type PlannerName = (typeof plannerNames)[number]

/** When a planner decides: `once`, in the prompt, or again after every so many tokens, or where attention shifts (`auto`). */
export type Every = 'once' | 'auto' | number

/** The planners that rank by the mean scores of a calibration. */
const meanPlanners: readonly PlannerName[] = ['static', 'prompt-static', 'glass', 'griffin-static']

/** Whether a planner ranks by the mean scores of a calibration. */
export function readsMean(planner: PlannerName): boolean {
  return meanPlanners.includes(planner)
}

/** Whether a planner scores the prompt by a criterion. */
export function scoresPrompt(planner: PlannerName): boolean {
  return planner === 'prompt-plainact' || planner === 'prompt-static'
}

/** When a planner decides by default: DejaVu's and those by the token itself at every token, the others once. */
export function defaultEvery(planner: PlannerName): Every {
  return planner === 'dejavu' || decidesByToken(planner) ? 1 : 'once'
}

/** The predictor of the shadow planner, such as `ShadowPredictor`. */
export interface PromptPredictor {
  /** `placement`: the source layer, whose head outputs it reads, default 0; `criterion`: what it predicts. */
  readonly config?: { readonly placement?: number; readonly ranksFrom?: number; readonly criterion?: string }
  /** @param context heads' outputs of layer `placement`: [T, D] */
  predict(context: Float32Array, tokens: number): UnitScores
}

/** The inputs of planners; each needs only its own. */
export interface PlannerSources {
  readonly model: LanguageModel
  /** The ranking; default: the reference. */
  readonly topK?: TopK
  /** Planners of `readsMean`: scores of a calibration set. */
  readonly mean?: UnitScores
  readonly shadow?: PromptPredictor
  readonly dejavuStyle?: HeadOutputsPredictor
  readonly dejavu?: LayerPredictor
  /** oracle: the scores of the window. */
  readonly oracleScores?: UnitScores
  /** random, and criteria that draw: default 0. */
  readonly seed?: number
  /** prompt-plainact and prompt-static: another criterion than plainact. */
  readonly criterion?: Criterion
}

/** When and from what a planner decides. */
export interface PlannerOptions {
  /** Default: `defaultEvery`. */
  readonly every?: Every
  /** Whether the prompt runs dense, or under the mask; default `defaultPrefill` (late_planner.ts). */
  readonly prefill?: Prefill
  /**
   * Decide from the whole text that is scored, not only the prompt, as for the published numbers. `leakyMask` computes such
   * a mask before the text runs; a sequence refuses such a planner.
   */
  readonly leaky?: boolean
  /** Select as the paper's code does: `policy: 'paper-compatible'` with its floors, which replace those of the budget. */
  readonly paperCompatible?: boolean
}

/**
 * The planner of a name; null for dense, which needs none.
 * @throws MissingError PLANNER_SOURCE if its input is missing; UsageError PREFILL, also for a prompt that cannot run so:
 *   masked where the planner decides when it has run, dense where it is leaky; EVERY for a planner that cannot decide again
 */
export function makePlanner(
  name: PlannerName,
  sources: PlannerSources,
  budget: Budget,
  options: PlannerOptions = {},
): MaskPlanner | null {
  const { every = defaultEvery(name), prefill, leaky, paperCompatible } = options
  if (prefill !== undefined && !prefills.includes(prefill))
    throw new UsageError(
      'PREFILL',
      `prefill: expected one of ${prefills.join(', ')}, got ${describeValue(prefill)}`,
    )
  if (leaky && prefill === 'dense')
    throw new UsageError(
      'PREFILL',
      `planner ${name}: expected a masked prefill, because a leaky mask is known before the prompt runs, got a dense one`,
    )
  if (leaky && masksChannels(name))
    throw new UsageError(
      'PREFILL',
      `planner ${name}: expected a dense prefill, because it chooses input channels token by token, got a leaky mask, which is known before the prompt runs`,
    )
  if (name === 'dense') return null
  if (decidesLate(name) || decidesByToken(name)) expectAfterPrompt(name, every, prefill)
  const ranksRead = prefill === 'dense' && every === 'once'
  const planner = plannerOf(
    name,
    sources,
    paperCompatible ? paperCompatibleBudget(budget) : budget,
    ranksRead,
  )
  if (every === 'auto' && !planner.afterAttention)
    throw new UsageError(
      'EVERY',
      `planner ${name}: expected once or a number of tokens, because it does not read the attention of a source layer, got auto`,
    )
  return {
    ...planner,
    ...(every === 'auto'
      ? { every: SHIFT_WINDOW, shift: SHIFT_DISTANCE }
      : { every: every === 'once' ? undefined : every }),
    ...(prefill && { prefill }),
    ...(leaky && { leaky }),
  }
}

/** Refuses to ask a planner at another time than when a dense prompt has run. */
function expectAfterPrompt(name: PlannerName, every: Every, prefill: Prefill | undefined): void {
  if (prefill === 'masked')
    throw new UsageError(
      'PREFILL',
      `planner ${name}: expected a dense prefill, because it decides when the prompt has run, got a masked one`,
    )
  if (every === defaultEvery(name)) return
  const [wanted, got] = [
    'one decision, when the prompt has run',
    every === 'auto' ? 'one wherever attention shifts' : `one every ${every} tokens`,
  ]
  throw new UsageError(
    'EVERY',
    decidesByToken(name)
      ? `planner ${name}: expected a decision at every token, got ${every === 'once' ? 'one' : got}`
      : `planner ${name}: expected ${wanted}, got ${got}`,
  )
}

function plannerOf(
  name: Exclude<PlannerName, 'dense'>,
  sources: PlannerSources,
  budget: Budget,
  ranksRead: boolean,
): MaskPlanner {
  const { model, topK = referenceTopK, seed = 0, criterion } = sources
  const need = <Source>(source: Source | undefined, words: string): Source => {
    if (source !== undefined) return source
    throw new MissingError('PLANNER_SOURCE', `planner ${name}: expected ${words}, got none`)
  }
  const mean = (): UnitScores => need(sources.mean, 'the mean scores of a calibration')
  switch (name) {
    case 'static':
      return staticPlanner(mean(), budget, topK)
    case 'random':
      return randomPlanner(model.shape, budget, seed, topK)
    case 'oracle':
      return oraclePlanner(need(sources.oracleScores, 'the oracle scores of the text'), budget, topK)
    case 'prompt-plainact':
      return promptPlanner(model, budget, { criterion, seed, topK })
    case 'prompt-static':
      return promptStaticPlanner(model, mean(), budget, { criterion, seed, topK })
    case 'griffin':
      return griffinPlanner(model.shape, budget, topK)
    case 'coreinfer':
      return coreinferPlanner(model.shape, budget, topK)
    case 'glass':
      return glassPlanner(mean(), budget, topK)
    case 'griffin-static':
      return griffinStaticPlanner(mean(), budget, topK)
    case 'shadow':
      return shadowPlanner(need(sources.shadow, 'a ShadowLLM predictor'), budget, topK, ranksRead)
    case 'dejavu-style':
      return dejavuStylePlanner(model, need(sources.dejavuStyle, 'a DejaVu-style predictor'), budget, topK)
    case 'cats':
      return catsPlanner(budget)
    case 'teal':
      return tealPlanner(budget)
    case 'wina':
      return winaPlanner(model, budget, topK)
    case 'dejavu':
      return dejavuPlanner(need(sources.dejavu, 'a DejaVu predictor'), budget, topK)
  }
}

/** The same sparsities, scope and dense layers under the paper-compatible policy, with its floors. */
function paperCompatibleBudget({ headSparsity, neuronSparsity, scope, denseLayers }: Budget): Budget {
  return makeBudget(headSparsity, { neuronSparsity, scope, denseLayers, policy: 'paper-compatible' })
}

/** The same mask for every sequence, from the scores of a calibration set. @throws UsageError as `selectMask` */
export function staticPlanner(
  scores: UnitScores,
  budget: Budget,
  topK: TopK = referenceTopK,
): RankingPlanner {
  const mask = selectMask(scores, budget, topK)
  const planner = rankingPlanner('static', { scores: () => scores, criterion: null, budget }, topK)
  return { ...planner, afterAttention: () => mask }
}

/**
 * A mask of noise; the n-th sequence of two planners of the same seed gets the same one.
 * @throws UsageError MASK_SHAPE, SEED, and as `checkBudget`
 */
export function randomPlanner(
  shape: UnitShape,
  budget: Budget,
  seed: number,
  topK: TopK = referenceTopK,
): RankingPlanner {
  checkUnitShape(shape)
  checkBudget(budget)
  expectKind(seed, kinds.seed, 'seed', 'SEED')
  const random = new Random(seed)
  return rankingPlanner(
    'random',
    { scores: () => randomScores(shape, random), criterion: null, budget },
    topK,
  )
}

/** A mask from the oracle scores of the sequence; a planner for one sequence. */
export function oraclePlanner(
  scores: UnitScores,
  budget: Budget,
  topK: TopK = referenceTopK,
): RankingPlanner {
  return rankingPlanner('oracle', { scores: () => scores, criterion: null, budget }, topK)
}

/**
 * A mask from predicted scores: the planner of the paper. The layers up to the predictor's source layer run before it
 * decides, so they are dense for every budget.
 * @param ranksRead whether a predictor may rank layers that it reads: it decides once, after a prompt that runs dense
 */
export function shadowPlanner(
  predictor: PromptPredictor,
  budget: Budget,
  topK: TopK = referenceTopK,
  ranksRead = false,
): RankingPlanner {
  const { placement = 0, ranksFrom = placement + 1, criterion = null } = predictor.config ?? {}
  const first = ranksRead ? ranksFrom : Math.max(ranksFrom, placement + 1)
  const behind = { ...budget, denseLayers: Math.max(budget.denseLayers, first) }
  const scores = ({ context, tokens }: PromptView): UnitScores => predictor.predict(context, tokens)
  return rankingPlanner('shadow', { scores, criterion, budget: behind }, topK, { placement })
}

/**
 * random: a mask of seeded noise, new for every sequence.
 */
import { randomScores } from '../criteria/random.ts'
import { checkBudget, type Budget } from '../masks/budget.ts'
import { checkUnitShape, type UnitShape } from '../masks/mask.ts'
import { referenceTopK, type TopK } from '../masks/selection.ts'
import { expectOption, seedOption } from '../tensor/option.ts'
import { Random } from '../tensor/random.ts'
import { rankingPlanner, type RankingPlanner } from './ranking.ts'
import type { PlannerRecord } from './record.ts'

/**
 * Keeps heads and neurons drawn at random, for each text anew: the baseline that any other planner must beat. Two planners of the same
 * seed give their n-th text the same mask. Where `generate` takes a name, `planner: 'random'` makes one.
 * @param seed a whole number from 0
 * @throws UsageError MASK_SHAPE, SEED, and as `checkBudget`
 * @example
 * ```ts
 * import { collectText, makeBudget, randomPlanner, ShadowModel } from 'shadowllm'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const planner = randomPlanner(opt.model.shape, makeBudget(0.3), 7)
 * const { text } = await collectText(opt.generate('Once upon a time', { planner, maxTokens: 12 }))
 * console.log(text)
 * await opt.dispose()
 * ```
 */
export function randomPlanner(
  shape: UnitShape,
  budget: Budget,
  seed: number,
  topK: TopK = referenceTopK,
): RankingPlanner {
  checkUnitShape(shape)
  checkBudget(budget)
  expectOption('seed', seed, seedOption)
  const random = new Random(seed)
  const scores = (): ReturnType<typeof randomScores> => randomScores(shape, random)
  return { ...rankingPlanner('random', { scores, criterion: null, budget }, topK), random }
}

export const randomRecord: PlannerRecord<'random'> = {
  name: 'random',
  help: 'skips heads and neurons drawn at random',
  skips: 'units',
  by: 'attention',
  needs: [],
  make: ({ model, seed = 0, topK }, budget) => randomPlanner(model.shape, budget, seed, topK),
}

/**
 * How a unit is scored. The criteria by name, from outputs a and gradients g of the loss:
 *
 * - `plainact`: the sum over the tokens of |a g|, inside a head of |a · g|: the criterion of ShadowLLM
 * - `plainact-weight`: plainact as the released code has it, with weights and their gradients for neurons
 * - `plainact-signed`: plainact without the absolute value; `snip`: the size of that
 * - `l2norm`, `l2norm-pre`: the length of a over all tokens; of neurons before their activation function
 * - `gradnorm`, `fisher`, `grasp`: by the gradient alone; squared products; what the whole gradient would gain
 * - `nwot`, `attention`, `second-order`, `random`: variety over tokens; focus; curvature; a random number
 * - `jacov`, `epenas`: of whole data sets
 *
 * @module
 */
import { expectOption, nameOption, type NameOption } from '../tensor/option.ts'
import { attention } from './attention.ts'
import type { Criterion, DatasetCriterion } from './criterion.ts'
import { epenas } from './epenas.ts'
import { fisher } from './fisher.ts'
import { gradnorm } from './gradnorm.ts'
import { grasp } from './grasp.ts'
import { jacov } from './jacov.ts'
import { l2norm, l2normPre } from './l2norm.ts'
import { nwot } from './nwot.ts'
import { plainact, plainactSigned } from './plainact.ts'
import { plainactWeight } from './plainact_weight.ts'
import { random } from './random.ts'
import { secondOrder } from './second_order.ts'
import { snip } from './snip.ts'

export type {
  Criterion,
  CriterionCost,
  CriterionInput,
  DatasetCriterion,
  DatasetScores,
  CriterionDescription,
} from './criterion.ts'

/** The criteria of examples, in the order of listings. */
export const criteria: readonly Criterion[] = [
  plainact,
  plainactWeight,
  plainactSigned,
  l2norm,
  l2normPre,
  gradnorm,
  fisher,
  snip,
  grasp,
  nwot,
  attention,
  secondOrder,
  random,
]

/** The criteria of whole data sets, in the order of listings. */
export const datasetCriteria: readonly DatasetCriterion[] = [jacov, epenas]

const optionOf = (list: readonly { readonly name: string }[]): NameOption<string> =>
  nameOption(
    'CRITERION_NAME',
    list.map(({ name }) => name),
  )

/** The name of the criterion by what the other units cannot recover of a unit. It comes from moments of a calibration (`collect`), not from one example. */
export const MOMENTS_CRITERION = 'obs'

/** The name of a criterion that scores may be of. */
export const criterionOption: NameOption<string> = optionOf([...criteria, { name: MOMENTS_CRITERION }])

/**
 * The criterion with this name, by which `scoreText` scores the units of one text. `calibrateToFolder` takes the name alone.
 * @param name of one of {@link criteria}: `plainact` is that of the paper
 * @throws UsageError CRITERION_NAME for another name, those of {@link datasetCriteria} included
 * @specified `plainact`
 * @example
 * ```ts
 * import { makeBudget, selectMask, ShadowModel } from 'shadowllm'
 * import { criterionByName } from 'shadowllm/criteria'
 * import { scoreText } from 'shadowllm/predictor'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const ids = Int32Array.from(opt.encode('Once upon a time, there was a little girl', { prefix: true }))
 * const scores = scoreText(opt.model, ids, ids, criterionByName('l2norm'))
 * const mask = selectMask(scores, makeBudget(0.5))
 * console.log(mask.heads.reduce((sum, kept) => sum + kept, 0), 'heads are kept')
 * await opt.dispose()
 * ```
 */
export function criterionByName(name: string): Criterion {
  return named(criteria, name)
}

/**
 * The criterion of whole data sets with this name: it scores units by all examples together, and so never one prompt. A criterion
 * that scores each example is `criterionByName`.
 * @param name of one of {@link datasetCriteria}, such as `jacov`
 * @throws UsageError CRITERION_NAME for another name
 */
export function datasetCriterionByName(name: string): DatasetCriterion {
  return named(datasetCriteria, name)
}

function named<Kind extends { readonly name: string }>(list: readonly Kind[], name: string): Kind {
  expectOption('criterion', name, optionOf(list))
  return list.find((criterion) => criterion.name === name) as Kind
}

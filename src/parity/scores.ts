/**
 * The criteria of a parity file: those whose scores of a batch the golden files fix, under both their names.
 *
 *   ours                       golden files                              over the B sequences of a batch
 *   plainact                   plainact_head, plainact_ffn_act           sum
 *   plainact-signed            plainact_head_signed, plainact_ffn_signed sum
 *   plainact-weight            plainact_head, plainact_ffn_weight        sum; of weights: after their gradients are summed
 *   l2norm, l2norm-pre         l2_head, l2_ffn_act, l2_ffn_pre           root of the sum of squares
 *   gradnorm                   gradnorm_head, gradnorm_ffn               the same; of weights: after the sum, too
 *   fisher                     fisher_head, fisher_ffn_pre               mean over B T positions, those of padding are 0
 *
 * Gradients of the sequences are shares of one batch's, so they add up. The golden l2_* look at padding, where every
 * implementation computes something else: with padding they are not written. Other criteria are not compared across
 * implementations: they draw at random, divide small differences, or count signs.
 */
import type { Criterion, CriterionInput } from '../criteria/criterion.ts'
import { fisher } from '../criteria/fisher.ts'
import { gradnorm } from '../criteria/gradnorm.ts'
import { l2norm, l2normPre } from '../criteria/l2norm.ts'
import { plainact, plainactSigned } from '../criteria/plainact.ts'
import { firstWeights, plainactWeight, weightSensitivity } from '../criteria/plainact_weight.ts'
import { normPerUnit, scoreLayers } from '../criteria/unit_scores.ts'
import { fc1WeightGradient } from '../criteria/weight_gradient.ts'
import type { UnitScores } from '../masks/selection.ts'
import type { LanguageModel } from '../engine/language_model.ts'

type Kind = 'heads' | 'neurons'
const kinds = ['heads', 'neurons'] as const

/** How the scores of sequences become that of their batch: by their sum, that of their squares, or each by its length. */
type Combination = 'sum' | 'squares' | 'mean'

interface ParityCriterion {
  readonly criterion: Criterion
  readonly over: Combination
  /** What golden files call the two tables. */
  readonly golden: Readonly<Record<Kind, string>>
  /** Neurons from the gradient of fc1's weights, summed over the batch: [F]. */
  readonly byWeight?: (weight: Float32Array, weightGrad: Float32Array, neurons: number) => Float64Array
}

const parityCriteria: readonly ParityCriterion[] = [
  { criterion: plainact, over: 'sum', golden: { heads: 'plainact_head', neurons: 'plainact_ffn_act' } },
  {
    criterion: plainactSigned,
    over: 'sum',
    golden: { heads: 'plainact_head_signed', neurons: 'plainact_ffn_signed' },
  },
  {
    criterion: plainactWeight,
    over: 'sum',
    golden: { heads: 'plainact_head', neurons: 'plainact_ffn_weight' },
    byWeight: weightSensitivity,
  },
  { criterion: l2norm, over: 'squares', golden: { heads: 'l2_head', neurons: 'l2_ffn_act' } },
  { criterion: l2normPre, over: 'squares', golden: { heads: 'l2_head', neurons: 'l2_ffn_pre' } },
  {
    criterion: gradnorm,
    over: 'squares',
    golden: { heads: 'gradnorm_head', neurons: 'gradnorm_ffn' },
    byWeight: (_, weightGrad, neurons) => normPerUnit(weightGrad, neurons, weightGrad.length / neurons),
  },
  { criterion: fisher, over: 'mean', golden: { heads: 'fisher_head', neurons: 'fisher_ffn_pre' } },
]

/** Every criterion's scores of a batch, sequence by sequence. */
export class BatchScores {
  readonly #model: LanguageModel
  readonly #sums: readonly Record<Kind, Float64Array>[]
  readonly #weightGrads: readonly Float64Array[] // [L] of [F, D]
  #positions = 0

  constructor(model: LanguageModel) {
    const { shape, config } = model
    const zeros = (units: number): Float64Array => new Float64Array(shape.layers * units)
    this.#model = model
    this.#sums = parityCriteria.map(() => ({ heads: zeros(shape.heads), neurons: zeros(shape.neurons) }))
    this.#weightGrads = Array.from(
      { length: shape.layers },
      () => new Float64Array(shape.neurons * config.width),
    )
  }

  /** Adds a sequence, its gradients taken of the batch's loss. */
  add(input: CriterionInput): void {
    const T = input.tokens.length
    this.#positions += T
    parityCriteria.forEach(({ criterion, over }, index) => {
      const scores = criterion.score(input)
      for (const kind of kinds) {
        const sums = this.#sums[index][kind]
        for (let unit = 0; unit < sums.length; unit++) {
          const score = scores[kind][unit]
          sums[unit] += over === 'squares' ? score * score : over === 'mean' ? T * score : score
        }
      }
    })
    this.#weightGrads.forEach((sum, layer) =>
      fc1WeightGradient(input, layer).forEach((value, index) => (sum[index] += value)),
    )
  }

  /**
   * Scores by tensor name: [L, H] and [L, F].
   * @param positions B T of the batch, padding included
   */
  finish(positions: number): Map<string, { shape: readonly number[]; data: Float32Array }> {
    const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>()
    const { shape } = this.#model
    const padded = positions !== this.#positions
    parityCriteria.forEach(({ criterion, over, golden, byWeight }, index) => {
      const combine = (total: number): number =>
        over === 'squares' ? Math.sqrt(total) : over === 'mean' ? total / positions : total
      const neurons = byWeight ? this.#byWeight(byWeight).neurons : this.#sums[index].neurons.map(combine)
      const tables = { heads: this.#sums[index].heads.map(combine), neurons }
      const own = { heads: `${criterion.name}_head`, neurons: `${criterion.name}_ffn` }
      for (const names of padded && golden.heads === 'l2_head' ? [own] : [own, golden])
        for (const kind of kinds)
          tensors.set(`crit.${names[kind]}`, {
            shape: [shape.layers, shape[kind]],
            data: Float32Array.from(tables[kind]),
          })
    })
    return tensors
  }

  #byWeight(score: NonNullable<ParityCriterion['byWeight']>): UnitScores {
    const { shape } = this.#model
    return scoreLayers(
      shape,
      () => new Float32Array(shape.heads),
      (layer) => {
        return score(
          firstWeights(this.#model, layer),
          Float32Array.from(this.#weightGrads[layer]),
          shape.neurons,
        )
      },
    )
  }
}

/**
 * The measure of an order: the truth's own order is the best there is, only the order counts, and it is the average over
 * all masks of the score they lose.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { referenceTopK } from '../../src/masks/selection.ts'
import { meanPlace, orderingLoss } from '../../src/predictor/metrics.ts'
import { checkLaw, law } from '../harness/seed.ts'

const someScores = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 50 })), {
    minLength: 1,
    maxLength: 30,
  })
  .map((pairs): [Float32Array, Float32Array] => [
    Float32Array.from(pairs, ([predicted]) => predicted),
    Float32Array.from([...pairs.map(([, truth]) => truth).slice(1), 0]),
  ])

/** What masks of every size lose of the true score, averaged: from the definition, mask by mask. */
function lostOnAverage(predicted: Float32Array, truth: Float32Array): number {
  const total = truth.reduce((sum, score) => sum + score, 0)
  let lost = 0
  for (let kept = 1; kept <= truth.length; kept++) {
    let mass = total
    for (const unit of referenceTopK(predicted, kept)) mass -= truth[unit]
    lost += mass / total / truth.length
  }
  return total > 0 ? lost : 0
}

type Measure = typeof meanPlace

const agrees = (measure: Measure, [predicted, truth]: [Float32Array, Float32Array]): void =>
  expect(measure(predicted, truth)).toBeCloseTo(lostOnAverage(predicted, truth), 10)

describe('an order of units', () => {
  law('is measured by what the masks made from it lose, averaged over every size', [someScores], (scores) =>
    agrees(meanPlace, scores),
  )

  law('cannot be better than the truth', [someScores], ([predicted, truth]) =>
    expect(meanPlace(predicted, truth)).toBeGreaterThanOrEqual(meanPlace(truth, truth) - 1e-12),
  )

  law(
    'is all that counts: another scale of the same order is the same',
    [someScores],
    ([predicted, truth]) => {
      const scaled = predicted.map((score) => score ** 3 - 7)
      expect(meanPlace(scaled, truth)).toBe(meanPlace(predicted, truth))
    },
  )

  test('stands between the truth and a baseline', () => {
    const truth = Float32Array.of(1, 2, 3, 4)
    const baseline = truth.toReversed()
    const loss = (predicted: Float32Array): number => orderingLoss([predicted], [truth], baseline)
    expect(loss(truth)).toBe(0)
    expect(loss(baseline)).toBe(1)
    // One pair of neighbours is out of order, of the six that the baseline turns around; each by its difference.
    expect(loss(Float32Array.of(1, 2, 4, 3))).toBeCloseTo(1 / 10, 10)
    // Ties go to the lower index, which here is the order of the baseline.
    expect(loss(new Float32Array(4))).toBe(1)
    expect(orderingLoss([], [], baseline)).toBeNaN()
  })

  for (const [name, mutant] of [
    [
      'the worst come first',
      (predicted, truth) =>
        meanPlace(
          predicted.map((score) => -score),
          truth,
        ),
    ],
    ['places begin at one', (predicted, truth) => meanPlace(predicted, truth) + 1 / truth.length],
  ] as [string, Measure][])
    test(`mutant, ${name}: killed`, async () => {
      const broken = checkLaw(`mutant: ${name}`, [someScores], (scores) => agrees(mutant, scores), {
        record: false,
      })
      await expect(broken).rejects.toThrow('Property failed')
    })
})

/**
 * Law 4: masks, by values that are known one by one. The laws stand in src/verify/masks/budget_laws.ts; budget.spec.ts states
 * them and plants the bugs that they must find.
 */
import { describe, expect, test } from 'vitest'
import { makeBudget, unitsKept } from '../../src/masks/budget.ts'
import { selectMask, type UnitScores } from '../../src/masks/selection.ts'

describe('selectMask', () => {
  test('NaN ranks below every number', () => {
    const scores = tiny([0, 0, 0], [NaN, -Infinity, NaN])
    expect(selectMask(scores, makeBudget(2 / 3)).neurons).toEqual(Float32Array.of(1, 1, 1, 0, 1, 0))
  })

  test('the paper-compatible policy ranks the first layer, prunes floor(p N / 100) and forces it dense afterwards', () => {
    const scores = tiny([-1, -2, 5], [1, 2, 3])
    const budget = makeBudget(0.5, { policy: 'paper-compatible' })
    expect(selectMask(scores, budget).neurons).toEqual(Float32Array.of(1, 1, 1, 0, 1, 1))
    expect(unitsKept(7, 0.29, 'paper-compatible')).toBe(7 - 2)
    expect(unitsKept(100, 0.29, 'paper-compatible')).toBe(71)
  })

  test('an invalid budget is refused by name', () => {
    expect(() => makeBudget(1.5)).toThrow('sparsity: expected a share from 0 to 1, got 1.5')
    expect(() => makeBudget(NaN)).toThrow('got NaN')
    expect(() => makeBudget(0.5, { headFloor: -1 })).toThrow('floor: expected a whole number')
    const scores = tiny([0, 0, 0], [0, 0, 0])
    expect(() => selectMask(scores, makeBudget(0.5, { headFloor: 2 }))).toThrow(
      'head floor: expected at most 1',
    )
    expect(() => selectMask({ ...scores, neurons: new Float32Array(5) }, makeBudget(0.5))).toThrow(
      'neuron scores: expected [2, 3], got 5 numbers',
    )
  })
})

/** Two layers of one head and three neurons. */
function tiny(first: number[], second: number[]): UnitScores {
  const shape = { layers: 2, heads: 1, neurons: 3 }
  return { shape, heads: new Float32Array(2), neurons: Float32Array.from([...first, ...second]) }
}

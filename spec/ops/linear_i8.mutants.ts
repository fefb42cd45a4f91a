/**
 * Bugs planted in the operations of src/ops/linear_i8.ts.
 */
import { nearestStep } from '../../src/tensor/dtypes.ts'
import { chosenIsZeroed, othersAreUnseen } from '../../src/verify/ops/chosen.ts'
import * as int8Laws from '../../src/verify/ops/int8_product.ts'
import { tokensApart } from '../../src/verify/ops/tokens.ts'
import type { Definition } from '../harness/mutate.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

const { abs, fround, max, min } = Math

/** What a wrong linear_i8 does otherwise. */
interface Rounding {
  readonly levels?: (x: Float32Array) => number
  readonly nearest?: typeof nearestStep
  readonly sum?: (products: readonly number[]) => number
}

const termsOf = (x: Float32Array): number => x.filter((value) => value !== 0).length

/** linear_i8 from its parts, some of them replaced. */
export function linearI8With({ levels, nearest = nearestStep, sum }: Rounding): Definition<'linear_i8'> {
  const levelsOf = levels ?? ((x) => min(32767, Math.floor((2 ** 31 - 1) / (127 * termsOf(x)))))
  const total = sum ?? ((products) => products.reduce((all, product) => all + product, 0))
  return (y, x, weight, scales, bias, rows, T, O, I, R) => {
    y.fill(0)
    for (let t = 0; t < T; t++) {
      const token = x.subarray(t * I, (t + 1) * I)
      const most = levelsOf(token)
      const step = fround(token.reduce((largest, value) => max(largest, abs(value)), 0) / most)
      const q = Array.from(token, (value) => nearest(value, step, most) || 0)
      for (let r = 0; r < (rows ? R : O); r++) {
        const o = rows ? rows[r] : r
        const products = q.map((steps, i) => steps * weight[o * I + i])
        y[t * O + o] = fround(fround(step * scales[o]) * fround(total(products))) + (bias?.[o] ?? 0)
      }
    }
  }
}

/** linear_i8 that does not see NaN. */
export function linearOfNumbers(linear: Definition<'linear_i8'>): Definition<'linear_i8'> {
  return (y, x, ...more) =>
    linear(
      y,
      x.map((value) => (value === value ? value : 0)),
      ...more,
    )
}

/** Rounds every step down. */
export const roundsDown: typeof nearestStep = (x, step, most) =>
  max(-most, min(most, Math.floor(fround(x / step))))

/** Adds in 32 bits. */
export const wraps = (products: readonly number[]): number =>
  products.reduce((all, product) => (all + product) | 0, 0)

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant('linear_i8', 'rounds steps down', [...agree('linear_i8'), int8Laws.linearIsProduct], () =>
    linearI8With({ nearest: roundsDown }),
  ),

  mutant(
    'linear_i8',
    'takes as many levels as 16 bits hold, however many terms there are',
    [int8Laws.linearIsLarge],
    () => linearI8With({ levels: () => 32767, sum: wraps }),
  ),

  mutant('linear_i8', 'counts zeros as terms', [int8Laws.linearZeros], () =>
    linearI8With({ levels: (x) => min(32767, Math.floor((2 ** 31 - 1) / (127 * x.length))) }),
  ),

  mutant('linear_i8', 'rounds its sum after every product', [int8Laws.linearIsExact], () =>
    linearI8With({ sum: (products) => products.reduce((all, product) => fround(all + product), 0) }),
  ),

  mutant('linear_i8', 'takes NaN for zero', [...agree('linear_i8'), int8Laws.linearIsPlain], (linear) =>
    linearOfNumbers(linear),
  ),

  mutant(
    'linear_i8',
    'takes one step for all tokens',
    [...agree('linear_i8'), tokensApart('linear_i8')],
    (linear) => (y, x, weight, scales, bias, rows, T, O, I, R) => {
      // A number of the largest size beside each token's, met with a weight of 0.
      const [J, most] = [I + 1, x.reduce((most, value) => max(most, abs(value)), 0)]
      const wide = Float32Array.from({ length: T * J }, (_, n) =>
        n % J === I ? most : x[Math.floor(n / J) * I + (n % J)],
      )
      const wideWeight = Int8Array.from({ length: O * J }, (_, n) =>
        n % J === I ? 0 : weight[Math.floor(n / J) * I + (n % J)],
      )
      linear(y, wide, wideWeight, scales, bias, rows, T, O, J, R)
    },
  ),

  mutant(
    'linear_i8',
    'takes the scale of the place in the list',
    [...agree('linear_i8'), chosenIsZeroed('linear_i8'), othersAreUnseen('linear_i8')],
    (linear) => (y, x, weight, scales, bias, rows, T, O, I, R) => {
      const moved = scales.slice()
      rows?.forEach((o, r) => (moved[o] = scales[r]))
      linear(y, x, weight, moved, bias, rows, T, O, I, R)
    },
  ),
]

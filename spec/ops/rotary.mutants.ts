/**
 * Bugs planted in the operations of src/ops/rotary.ts.
 */
import * as rotaryLaws from '../../src/verify/ops/rotary.ts'
import { tokensApart } from '../../src/verify/ops/tokens.ts'
import type { Definition } from '../harness/mutate.ts'
import { agree, gradients, mutant, type Mutant } from './mutant.ts'

/** The table with its sines changed: [T, R]. */
function withSines(table: Float32Array, R: number, change: (sin: number) => number): Float32Array {
  const M = Math.floor(R / 2)
  return table.map((value, i) => (i % R >= M && i % R < 2 * M ? change(value) : value))
}

/** rotary of pairs (2 i, 2 i + 1). */
function interleaved(rotary: Definition<'rotary'>): Definition<'rotary'> {
  return (y, x, table, T, H, R, K) => {
    const M = Math.floor(R / 2)
    /** Where number i of a head with its pairs apart stands with its pairs together. */
    const place = (i: number): number => (i < M ? 2 * i : i < 2 * M ? 2 * (i - M) + 1 : i)
    const apart = x.map((_, n) => x[n - (n % K) + place(n % K)])
    const turned = new Float32Array(apart.length)
    rotary(turned, apart, table, T, H, R, K)
    turned.forEach((value, n) => (y[n - (n % K) + place(n % K)] = value))
  }
}

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'rotary',
    'pairs neighbours in place of halves',
    [...agree('rotary'), rotaryLaws.isComplexProduct, rotaryLaws.keepsLength],
    interleaved,
  ),

  mutant(
    'rotary',
    'has the sine with the wrong sign',
    [...agree('rotary'), ...gradients('rotary'), rotaryLaws.isComplexProduct, rotaryLaws.isUndone],
    (rotary) => (y, x, table, T, H, R, K) => {
      const wrong = withSines(table, R, (sin) => -sin)
      rotary(y, x, wrong, T, H, R, K)
    },
  ),

  mutant(
    'rotary',
    'reflects pairs',
    [...agree('rotary'), ...gradients('rotary'), rotaryLaws.isComplexProduct, rotaryLaws.isUndone],
    (rotary) => (y, x, table, T, H, R, K) => {
      rotary(y, x, table, T, H, R, K)
      const M = Math.floor(R / 2)
      y.set(y.map((value, n) => (n % K >= M && n % K < 2 * M ? -value : value)))
    },
  ),

  mutant(
    'rotary',
    'forgets the sines',
    [...agree('rotary'), rotaryLaws.keepsLength, rotaryLaws.scoresByDistance, rotaryLaws.isUndone],
    (rotary) => (y, x, table, T, H, R, K) => {
      const wrong = withSines(table, R, () => 0)
      rotary(y, x, wrong, T, H, R, K)
    },
  ),

  mutant(
    'rotary',
    'turns every token as the first',
    [...agree('rotary'), tokensApart('rotary'), rotaryLaws.isComplexProduct, rotaryLaws.isUndone],
    (rotary) => (y, x, table, T, H, R, K) => {
      const wrong = table.map((_, i) => table[i % R])
      rotary(y, x, wrong, T, H, R, K)
    },
  ),

  mutant(
    'rotary',
    'turns the last numbers of a head in place of the first',
    [...agree('rotary'), rotaryLaws.isComplexProduct, rotaryLaws.isUndone],
    (rotary) => (y, x, table, T, H, R, K) => {
      const place = (n: number): number => n - (n % K) + (((n % K) + K - R) % K)
      const first = x.map((_, n) => x[place(n)])
      const turned = new Float32Array(first.length)
      rotary(turned, first, table, T, H, R, K)
      turned.forEach((value, n) => (y[place(n)] = value))
    },
  ),

  mutant(
    'rotary_backward',
    'turns in the direction of the forward pass',
    [...agree('rotary_backward'), ...gradients('rotary'), rotaryLaws.isUndone],
    (backward) => (x_grad, y_grad, table, T, H, R, K) => {
      const wrong = withSines(table, R, (sin) => -sin)
      backward(x_grad, y_grad, wrong, T, H, R, K)
    },
  ),
]

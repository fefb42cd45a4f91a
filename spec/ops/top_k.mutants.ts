/**
 * Bugs planted in the operations of src/ops/top_k.ts.
 */
import * as topKLaws from '../../src/verify/ops/top_k.ts'
import type { Definition } from '../harness/mutate.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

/** top_k on scores in another order. */
function topKBy(better: (a: number, b: number) => number): Definition<'top_k'> {
  return (indices, scores, N, R) => {
    const order = Array.from({ length: N }, (_, n) => n).sort((a, b) => better(scores[a], scores[b]) || b - a)
    indices.set(order.slice(0, R).sort((a, b) => a - b))
  }
}

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant('top_k', 'gives ties to the higher index', [...agree('top_k'), topKLaws.isCounted], () =>
    topKBy((a, b) => (a === b ? 0 : b - a)),
  ),

  mutant(
    'top_k',
    'keeps the worst when an odd number is asked for',
    [topKLaws.isCounted],
    (top_k) => (indices, scores, N, R) =>
      top_k(indices, R % 2 === 1 ? scores.map((score) => -score) : scores, N, R),
  ),

  mutant('top_k', 'ranks -0 below +0', [...agree('top_k'), topKLaws.isCounted], () =>
    topKBy((a, b) => (a === b ? Number(Object.is(a, -0)) - Number(Object.is(b, -0)) : b - a)),
  ),

  mutant(
    'top_k',
    'ranks NaN first',
    [...agree('top_k'), topKLaws.isCounted],
    (top_k) => (indices, scores, N, R) => {
      const wrong = scores.map((score) => (Number.isNaN(score) ? Infinity : score))
      top_k(indices, wrong, N, R)
    },
  ),
]

/**
 * Bugs planted in the operations of src/ops/embedding.ts.
 */
import * as embeddingLaws from '../../src/verify/ops/embedding.ts'
import * as halfLaws from '../../src/verify/ops/half_precision.ts'
import * as storedLaws from '../../src/verify/ops/stored_weights.ts'
import { agree, gradients, mutant, type Mutant } from './mutant.ts'
import { flushF16 } from './narrow.mutants.ts'

const { max } = Math

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'embedding_backward',
    'overwrites a row that comes twice',
    [...agree('embedding_backward'), embeddingLaws.copiesRows, ...gradients('embedding')],
    () => (table_grad, y_grad, ids, T, _, D) => {
      for (let t = 0; t < T; t++) table_grad.set(y_grad.subarray(t * D, (t + 1) * D), ids[t] * D)
    },
  ),

  mutant(
    'embedding',
    'takes the row before',
    [...agree('embedding'), embeddingLaws.copiesRows],
    (embedding) => (y, table, ids, T, V, D) => {
      const wrong = ids.map((id) => Math.max(id - 1, 0))
      embedding(y, table, wrong, T, V, D)
    },
  ),

  mutant(
    'embedding_bf16',
    'takes the row before',
    [...agree('embedding_bf16'), halfLaws.embeddingBf16],
    (embedding) => (y, table, ids, T, V, D) => {
      const wrong = ids.map((id) => max(id - 1, 0))
      embedding(y, table, wrong, T, V, D)
    },
  ),

  mutant(
    'embedding_f16',
    'takes subnormal numbers for zeros',
    [...agree('embedding_f16'), halfLaws.embeddingF16],
    (embedding) => (y, table, ids, T, V, D) => embedding(y, flushF16(table), ids, T, V, D),
  ),

  mutant(
    'embedding_i8',
    'takes the scale of the token for that of the row',
    [...agree('embedding_i8'), storedLaws.embedsInt8],
    (embedding) => (y, table, scales, ids, T, V, D) => {
      const moved = scales.slice()
      ids.forEach((id, t) => (moved[id] = scales[t % V]))
      embedding(y, table, moved, ids, T, V, D)
    },
  ),
]

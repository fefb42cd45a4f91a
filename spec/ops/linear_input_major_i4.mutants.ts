/**
 * Bugs planted in the operations of src/ops/linear_input_major_i4.ts.
 */
import { blockTerm, roundBlock } from '../../src/ops/int8_blocks.ts'
import { BLOCK, TILE, TILE_BYTES, scaleAt, unitNumber } from '../../src/tensor/int4.ts'
import { randomSizes } from '../../src/verify/ops/agreement.ts'
import { chosenIsZeroed, othersAreUnseen } from '../../src/verify/ops/chosen.ts'
import * as int4Laws from '../../src/verify/ops/int4_product.ts'
import type { Definition } from '../harness/mutate.ts'
import { type InBlock, blockBugs, dotOf, sumOf, turned } from './linear_i4.mutants.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

const { fround } = Math

/** linear_input_major_i4 from its parts, some of them replaced. `ordered` sorts blocks, which come in the order of the list. */
function inputMajorI4With(
  { round = roundBlock, dot = dotOf, term = blockTerm }: InBlock,
  ordered = (blocks: number[]): number[] => blocks.sort((a, b) => a - b),
): Definition<'linear_input_major_i4'> {
  return (y, x, weight, scales, blocks, bias, inputs, T, O, I, R, _, S, B) => {
    const kept = inputs ? [...inputs.subarray(0, R)] : Array.from({ length: I }, (_, i) => i)
    y.fill(0)
    for (const b of ordered([...new Set(kept.map((i) => blocks[i]))]))
      for (let t = 0; t < T; t++) {
        const chosen = kept.filter((i) => blocks[i] === b)
        const q = new Int8Array(chosen.length)
        const step = round(
          q,
          Float32Array.from(chosen, (i) => x[t * I + i]),
        )
        const sum = fround(step * sumOf(q))
        for (let o = 0; o < O; o++) {
          const numbers = chosen.map((i) => unitNumber(weight, o, i, S))
          const at = scaleAt(o, b, B)
          y[t * O + o] += term(scales[at], scales[at + TILE], step, dot(q, numbers), sum)
        }
      }
    if (bias) y.set(y.map((value, n) => value + bias[n % O]))
  }
}

/** The laws of the product, by what they say. */
const lawsOf = {
  agreement: agree('linear_input_major_i4'),
  product: [int4Laws.inputMajorIsProduct],
  exact: [int4Laws.inputMajorIsExact],
  plain: [int4Laws.inputMajorIsPlain],
}

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  ...blockBugs.map(([bug, parts, laws]) =>
    mutant(
      'linear_input_major_i4',
      bug,
      laws.flatMap((name) => lawsOf[name]),
      () => inputMajorI4With(parts),
    ),
  ),

  mutant(
    'linear_input_major_i4',
    'exchanges outputs 0 to 15 of each 32 with the others',
    [
      ...agree('linear_input_major_i4'),
      int4Laws.inputMajorIsProduct,
      int4Laws.inputMajorIsExact,
      int4Laws.oneStoredTwice,
    ],
    (linear) =>
      (y, x, weight, ...more) =>
        linear(y, x, turned(weight), ...more),
  ),

  mutant(
    'linear_input_major_i4',
    'has no room behind its rows',
    [randomSizes('linear_input_major_i4'), int4Laws.packsInAnyOrder, int4Laws.otherInputsAreUnseen],
    (linear) => (y, x, weight, scales, blocks, bias, inputs, T, O, I, R, C, _, B) =>
      linear(y, x, weight, scales, blocks, bias, inputs, T, O, I, R, C, I, B),
  ),

  mutant(
    'linear_input_major_i4',
    'takes the block of the place of a row',
    [...agree('linear_input_major_i4'), int4Laws.packsInAnyOrder],
    (linear) => (y, x, weight, scales, blocks, bias, inputs, T, O, I, R, C, S, B) => {
      const places = blocks.map((_, i) => Math.min(Math.floor(i / BLOCK), B - 1))
      linear(y, x, weight, scales, places, bias, inputs, T, O, I, R, C, S, B)
    },
  ),

  mutant(
    'linear_input_major_i4',
    'adds blocks in the order of the list',
    [...agree('linear_input_major_i4'), int4Laws.packsInAnyOrder],
    () => inputMajorI4With({}, (blocks) => blocks),
  ),

  mutant(
    'linear_input_major_i4',
    'counts what is not chosen in its steps and sums',
    [
      ...agree('linear_input_major_i4'),
      chosenIsZeroed('linear_input_major_i4'),
      othersAreUnseen('linear_input_major_i4'),
      int4Laws.skipsAsZeroed,
    ],
    (linear) => (y, x, weight, scales, blocks, bias, inputs, T, O, I, R, C, S, B) => {
      const chosen = new Set(inputs ? inputs.subarray(0, R) : Array.from({ length: I }, (_, i) => i))
      const kept = weight.map((byte, n) => (chosen.has(Math.floor(n / TILE_BYTES) % S) ? byte : 0))
      linear(y, x, kept, scales, blocks, bias, null, T, O, I, I, C, S, B)
    },
  ),
]

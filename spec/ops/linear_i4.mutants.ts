/**
 * Bugs planted in the operations of src/ops/linear_i4.ts.
 */
import { blockTerm, roundBlock } from '../../src/ops/int8_blocks.ts'
import { nearestStep } from '../../src/tensor/dtypes.ts'
import { BLOCK, QUAD_BYTES, openRow } from '../../src/tensor/int4.ts'
import { chosenIsZeroed } from '../../src/verify/ops/chosen.ts'
import * as int4Laws from '../../src/verify/ops/int4_product.ts'
import { tokensApart } from '../../src/verify/ops/tokens.ts'
import type { Definition } from '../harness/mutate.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

const { abs, fround, max } = Math

/** What a wrong product does otherwise within a block. */
export interface InBlock {
  readonly round?: typeof roundBlock
  readonly dot?: (q: Int8Array, n: ArrayLike<number>) => number
  readonly term?: typeof blockTerm
}

/** The products of a block, added up. */
export const dotOf = (q: Int8Array, n: ArrayLike<number>): number =>
  q.reduce((sum, one, i) => sum + one * n[i], 0)

/** The steps of a block, added up. */
export const sumOf = (q: Int8Array): number => q.reduce((sum, one) => sum + one, 0)

/** linear_i4 from its parts, some of them replaced. */
function linearI4With({
  round = roundBlock,
  dot = dotOf,
  term = blockTerm,
}: InBlock): Definition<'linear_i4'> {
  return (y, x, weight, bias, rows, T, O, I, R, _, B) => {
    y.fill(0)
    for (let t = 0; t < T; t++)
      for (let r = 0; r < (rows ? R : O); r++) {
        const o = rows ? rows[r] : r
        const { numbers, scales, minima } = openRow(weight, o, B)
        let sum = 0
        for (let b = 0; b < B; b++) {
          const token = x.subarray(t * I + b * BLOCK, t * I + Math.min(I, (b + 1) * BLOCK))
          const q = new Int8Array(token.length)
          const step = round(q, token)
          const product = dot(q, numbers.subarray(b * BLOCK))
          sum = fround(sum + term(scales[b], minima[b], step, product, fround(step * sumOf(q))))
        }
        y[t * O + o] = sum + (bias?.[o] ?? 0)
      }
  }
}

const roundsDown: typeof roundBlock = (q, x) => {
  const step = fround(x.reduce((most, value) => max(most, abs(value)), 0) / 127)
  q.set(x.map((value) => Math.floor(value / step)))
  return step
}

/** Without what makes a token NaN. */
const finite: typeof roundBlock = (q, x) =>
  roundBlock(
    q,
    x.map((value) => (Number.isFinite(value) ? value : 0)),
  )

/** Steps of powers of two: coarser than they may be. */
const coarse: typeof roundBlock = (q, x) => {
  const exact = roundBlock(q, x)
  const step = 2 ** Math.ceil(Math.log2(exact))
  q.set(x.map((value) => nearestStep(value, step, 127)))
  return step
}

const in16Bits = (q: Int8Array, n: ArrayLike<number>): number => (dotOf(q, n) << 16) >> 16

/** The lower and upper halves of bytes exchanged. */
export const turned = (bytes: Uint8Array): Uint8Array => bytes.map((byte) => (byte >> 4) | (byte << 4))

/** Four rows side by side, the lower and upper halves of their numbers exchanged. */
const turnedQuads = (quads: Uint8Array): Uint8Array =>
  turned(quads).map((byte, n) => (n % QUAD_BYTES < 16 ? quads[n] : byte))

const withoutMinimum: typeof blockTerm = (scale, _, step, product) => fround(fround(scale * step) * product)

/** Bugs within a block, which both int4 products may have, and the laws that see each. */
export const blockBugs: readonly (readonly [
  bug: string,
  InBlock,
  laws: readonly ('agreement' | 'product' | 'exact' | 'plain')[],
])[] = [
  ['rounds steps down', { round: roundsDown }, ['agreement', 'product']],
  ['takes a power of two for its step', { round: coarse }, ['agreement', 'product']],
  ['forgets the minimum', { term: withoutMinimum }, ['agreement', 'product', 'exact']],
  ['adds the products of a block in 16 bits', { dot: in16Bits }, ['exact']],
  ['takes what is not finite for zero', { round: finite }, ['agreement', 'plain']],
]

/** The laws of the product, by what they say. */
const lawsOf = {
  agreement: agree('linear_i4'),
  product: [int4Laws.linearIsProduct],
  exact: [int4Laws.linearIsExact],
  plain: [int4Laws.linearIsPlain],
}

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  ...blockBugs.map(([bug, parts, laws]) =>
    mutant(
      'linear_i4',
      bug,
      laws.flatMap((name) => lawsOf[name]),
      () => linearI4With(parts),
    ),
  ),

  mutant(
    'linear_i4',
    'exchanges inputs 0 to 15 of a block with 16 to 31',
    [...agree('linear_i4'), int4Laws.linearIsProduct, int4Laws.linearIsExact, int4Laws.oneStoredTwice],
    (linear) =>
      (y, x, weight, ...more) =>
        linear(y, x, turnedQuads(weight), ...more),
  ),

  mutant(
    'linear_i4',
    'takes one step for all tokens',
    [...agree('linear_i4'), tokensApart('linear_i4'), int4Laws.linearIsPlain],
    () =>
      (y, x, ...more) => {
        const all = (of: Float32Array): number => of.reduce((most, value) => max(most, abs(value)), 0)
        const round: typeof roundBlock = (q, token) => {
          const step = fround(all(x) / 127)
          q.set(token.map((value) => nearestStep(value, step, 127)))
          return step
        }
        linearI4With({ round })(y, x, ...more)
      },
  ),

  mutant(
    'linear_i4',
    'takes the place in the list for the row',
    [...agree('linear_i4'), chosenIsZeroed('linear_i4'), int4Laws.otherRowsAreUnseen],
    (linear) => (y, x, weight, bias, rows, T, O, I, R, G, B) => {
      const dense = y.slice()
      linear(dense, x, weight, null, null, T, O, I, O, G, B)
      y.fill(0)
      for (let t = 0; t < T; t++)
        for (let r = 0; r < (rows ? R : O); r++) {
          const o = rows ? rows[r] : r
          y[t * O + o] = dense[t * O + r] + (bias?.[o] ?? 0)
        }
    },
  ),

  mutant(
    'linear_i4',
    'adds and subtracts the scales of the other rows of a four',
    [int4Laws.otherRowsAreUnseen],
    (linear) => (y, x, weight, bias, rows, T, O, I, R, G, B) => {
      linear(y, x, weight, bias, rows, T, O, I, R, G, B)
      for (let r = 0; r < (rows ? R : O); r++) {
        const o = rows ? rows[r] : r
        const others = [0, 1, 2, 3].map((lane) => 4 * (o >> 2) + lane).filter((other) => other < O)
        for (const other of others)
          for (const scale of openRow(weight, other, B).scales)
            for (let t = 0; t < T; t++) y[t * O + o] += scale - scale
      }
    },
  ),
]

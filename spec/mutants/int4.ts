/**
 * Bugs planted in the int4 products, and in what moves rows of int4.
 */
import { blockTerm, roundBlock } from '../../src/ops/int8_blocks.ts'
import { nearestStep } from '../../src/tensor/dtypes.ts'
import { BLOCK, openRow, QUAD_BYTES, scaleAt, TILE, TILE_BYTES, unitNumber } from '../../src/tensor/int4.ts'
import { randomSizes } from '../../src/verify/ops/agreement.ts'
import { chosenIsZeroed, othersAreUnseen } from '../../src/verify/ops/chosen.ts'
import * as copyRowsLaws from '../../src/verify/ops/copy_rows.ts'
import * as int4Laws from '../../src/verify/ops/int4_product.ts'
import type { BackendLaw } from '../../src/verify/ops/law.ts'
import { tokensApart } from '../../src/verify/ops/tokens.ts'
import type { Definition } from '../harness/mutate.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

const { abs, fround, max } = Math

/** What a wrong product does otherwise within a block. */
interface InBlock {
  readonly round?: typeof roundBlock
  readonly dot?: (q: Int8Array, n: ArrayLike<number>) => number
  readonly term?: typeof blockTerm
}

const dotOf = (q: Int8Array, n: ArrayLike<number>): number => q.reduce((sum, one, i) => sum + one * n[i], 0)
const sumOf = (q: Int8Array): number => q.reduce((sum, one) => sum + one, 0)

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
const turned = (bytes: Uint8Array): Uint8Array => bytes.map((byte) => (byte >> 4) | (byte << 4))

/** Four rows side by side, the lower and upper halves of their numbers exchanged. */
const turnedQuads = (quads: Uint8Array): Uint8Array =>
  turned(quads).map((byte, n) => (n % QUAD_BYTES < 16 ? quads[n] : byte))

const withoutMinimum: typeof blockTerm = (scale, _, step, product) => fround(fround(scale * step) * product)

/** The laws of each product, by what they say. */
const lawsOf = {
  linear_i4: {
    agreement: agree('linear_i4'),
    product: [int4Laws.linearIsProduct],
    exact: [int4Laws.linearIsExact],
    plain: [int4Laws.linearIsPlain],
  },
  linear_input_major_i4: {
    agreement: agree('linear_input_major_i4'),
    product: [int4Laws.inputMajorIsProduct],
    exact: [int4Laws.inputMajorIsExact],
    plain: [int4Laws.inputMajorIsPlain],
  },
}
type LawName = keyof (typeof lawsOf)['linear_i4']

/** Bugs within a block, which both products may have, and the laws that see each. */
const inBlock: readonly (readonly [bug: string, InBlock, laws: readonly LawName[]])[] = [
  ['rounds steps down', { round: roundsDown }, ['agreement', 'product']],
  ['takes a power of two for its step', { round: coarse }, ['agreement', 'product']],
  ['forgets the minimum', { term: withoutMinimum }, ['agreement', 'product', 'exact']],
  ['adds the products of a block in 16 bits', { dot: in16Bits }, ['exact']],
  ['takes what is not finite for zero', { round: finite }, ['agreement', 'plain']],
]

const productMutants: readonly Mutant[] = [
  ...inBlock.flatMap(([bug, parts, names]) => {
    const laws = (op: keyof typeof lawsOf): BackendLaw[] => names.flatMap((name) => lawsOf[op][name])
    return [
      mutant('linear_i4', bug, laws('linear_i4'), () => linearI4With(parts)),
      mutant('linear_input_major_i4', bug, laws('linear_input_major_i4'), () => inputMajorI4With(parts)),
    ]
  }),

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

/** copy_interleaved_rows with something done to what it wrote, for each slot and block. */
function spoiledCopy(
  spoil: (y: Uint8Array, before: Uint8Array, at: number, lane: number) => void,
): (copy: Definition<'copy_interleaved_rows'>) => Definition<'copy_interleaved_rows'> {
  return (copy) => (y, x, slots, rows, S, O, R, G, Q, B) => {
    const before = y.slice()
    copy(y, x, slots, rows, S, O, R, G, Q, B)
    for (let r = 0; r < R; r++) {
      const slot = slots ? slots[r] : r
      for (let b = 0; b < B; b++) spoil(y, before, ((slot >> 2) * B + b) * QUAD_BYTES, slot & 3)
    }
  }
}

const copyMutants: readonly Mutant[] = [
  mutant(
    'copy_rows_i4',
    'forgets the slots',
    [...agree('copy_rows_i4'), copyRowsLaws.movesInt4],
    (copy) =>
      (y, x, _, ...more) =>
        copy(y, x, null, ...more),
  ),

  ...(
    [
      [
        'leaves the minima',
        (y, before, at, lane) =>
          y.set(before.subarray(at + 8 + 2 * lane, at + 10 + 2 * lane), at + 8 + 2 * lane),
      ],
      [
        'leaves the last four bytes of a row',
        (y, before, at, lane) =>
          y.set(before.subarray(at + 64 + 4 * lane, at + 68 + 4 * lane), at + 64 + 4 * lane),
      ],
      [
        'writes the row beside it too',
        (y, _, at, lane) => y.copyWithin(at + 16 + 4 * (lane ^ 1), at + 16 + 4 * lane, at + 20 + 4 * lane),
      ],
    ] as readonly [string, Parameters<typeof spoiledCopy>[0]][]
  ).map(([bug, spoil]) =>
    mutant(
      'copy_interleaved_rows',
      bug,
      [...agree('copy_interleaved_rows'), copyRowsLaws.movesInterleaved],
      spoiledCopy(spoil),
    ),
  ),
]

/** The mutants of this page. */
export const int4Mutants: readonly Mutant[] = [...productMutants, ...copyMutants]

/**
 * Bugs planted in the wide build: in each kernel of products a wrong tail, exchanged halves or a lost accumulator, of one token,
 * of few and of many. The trial must refuse each of them by the name of the kernel (wide_trial.full.spec.ts).
 */
import type { KernelName } from '../../../src/ops/catalog.ts'
import type { Plant } from '../../../scripts/sources.ts'

/** A bug, and the kernels that are wrong by it. */
export interface WidePlant extends Plant {
  readonly kernels: readonly KernelName[]
}

const rows = ['linear', 'linear_bf16', 'linear_f16'] as const
const columns = ['linear_input_major', 'linear_input_major_bf16', 'linear_input_major_f16'] as const
const integers = ['linear_i8', 'linear_i4', 'linear_input_major_i8', 'linear_input_major_i4'] as const
/** Each of whose numbers is a sum over the lanes of two vectors. */
const dots: readonly KernelName[] = [...rows, 'linear_i8']
const tiled = [...rows, ...integers, ...columns, 'linear_backward_weight'] as const

/** By what is wrong. */
export const widePlants: Readonly<Record<string, WidePlant>> = {
  'a lost accumulator of a tile': {
    file: 'tile.ts',
    from: '        a3 = accumulate<W, L>(a3, z, w3)\n',
    to: '',
    kernels: [...tiled, 'attention_backward'],
  },
  'an accumulator of the last row of a short tile, lost': {
    file: 'tile.ts',
    from: '        d2 = accumulate<W, L>(d2, x, w2)\n',
    to: '',
    kernels: tiled,
  },
  'an accumulator of the last row of a tall tile, lost': {
    file: 'tile.ts',
    from: '          e3 = accumulate<W, L>(e3, z, w3)\n',
    to: '',
    kernels: tiled,
  },
  'halves of a line exchanged': {
    file: 'tile.ts',
    from: 'WIDE ? v128.load(right, 32) : w0\n      const w3 = WIDE ? v128.load(right, 48) : w1',
    to: 'WIDE ? v128.load(right, 48) : w0\n      const w3 = WIDE ? v128.load(right, 32) : w1',
    kernels: tiled,
  },
  'halves of a row of sums exchanged': {
    file: 'tile.ts',
    from: 'v128.store(to, s3, 48)\n    v128.store(to, s2, 32)',
    to: 'v128.store(to, s2, 48)\n    v128.store(to, s3, 32)',
    // Dots add the two.
    kernels: tiled.filter((name) => !dots.includes(name)),
  },
  'the first number past the stripes of a tile, over and over': {
    file: 'linear_tile.ts',
    from: 'tail += 16',
    to: 'tail += 0',
    kernels: rows,
  },
  'accumulators of one of three dots exchanged': {
    file: 'float32.ts',
    from: 'storeStripe(stripes() + STRIPE, a10, a11, a12, a13)',
    to: 'storeStripe(stripes() + STRIPE, a12, a11, a10, a13)',
    kernels: rows,
  },
  'a tail of three dots with the numbers of another': {
    file: 'float32.ts',
    from: 'value1 = madd1(value1, factor, one<W>(w1))',
    to: 'value1 = madd1(value1, factor, one<W>(w0))',
    kernels: rows,
  },
  'a tail of int8 without its numbers, in a tile': {
    file: 'linear_i8_tile.ts',
    from: 'store<i16>(to, <i16>load<W>(row))',
    to: 'store<i16>(to, 0)',
    kernels: ['linear_i8'],
  },
  'a lost accumulator of four dots of int8': {
    file: 'linear_i8.ts',
    from: '    b3 = multiplyPairs(b3, q1, v128.load8x8_s(w3, 8))\n',
    to: '',
    kernels: ['linear_i8'],
  },
  'a tail of four dots of int8 with the numbers of another': {
    file: 'linear_i8.ts',
    from: 'load<i8>(w3 + i)',
    to: 'load<i8>(w2 + i)',
    kernels: ['linear_i8'],
  },
  'the last rows of int4, of which a line has too few, taken for others': {
    file: 'linear_i4_tile.ts',
    from: 'rows, quad + q, count)',
    to: 'rows, quad, count)',
    kernels: ['linear_i4'],
  },
  'halves of opened int4 rows exchanged': {
    file: 'linear_i4_tile.ts',
    from: 'v128.store(to, lowerHalves(n3, mask), LINE * 3)',
    to: 'v128.store(to, upperHalves(n3, mask), LINE * 3)',
    kernels: ['linear_i4'],
  },
  'numbers of int4 from the vector before, for one token': {
    file: 'linear_i4.ts',
    from: 'b = v128.load(w1, 64)',
    to: 'b = v128.load(w1, 48)',
    kernels: ['linear_i4'],
  },
  'numbers of int4 from the vector before, for few tokens': {
    file: 'linear_i4.ts',
    from: 'pairSums(v128.load32_splat(q, 28), b3)',
    to: 'pairSums(v128.load32_splat(q, 28), b2)',
    kernels: ['linear_i4'],
  },
  'the columns past the last line left out of the rows past the last four': {
    file: 'outer_product.ts',
    from: 'j < fours ? whole : 0',
    to: 'whole',
    kernels: [...columns, 'linear_backward_weight'],
  },
  'halves of a line of columns exchanged': {
    file: 'outer_product.ts',
    from: 'quad2<W>(row)), 32)\n    v128.store(to, inUnits<W>(quad3<W>(row)), 48)',
    to: 'quad2<W>(row)), 48)\n    v128.store(to, inUnits<W>(quad3<W>(row)), 32)',
    kernels: [...columns, 'linear_backward_weight'],
  },
  'a lost term of a group of rows': {
    file: 'weighted_rows.ts',
    from: '      sum3 = madd(sum3, next, quad3<W>(nextRow))\n',
    to: '',
    kernels: columns,
  },
  'the tail of a group of rows without its last column': {
    file: 'weighted_rows.ts',
    from: 'for (; at < end; at += 4)',
    to: 'for (; at < end - 4; at += 4)',
    kernels: columns,
  },
  'the tail of pairs of int8 rows with one row twice': {
    file: 'outer_product.ts',
    from: 'load<i8>(from1++), 2)',
    to: 'load<i8>(from0 - 1), 2)',
    kernels: ['linear_input_major_i8'],
  },
  'halves of pairs of int8 rows exchanged': {
    file: 'outer_product.ts',
    from: 'storePairs(to + 32, upperBytes(row0, row1))',
    to: 'storePairs(to + 32, upperBytes(row1, row0))',
    kernels: ['linear_input_major_i8'],
  },
  'a lost term of four int8 rows': {
    file: 'linear_input_major_i8.ts',
    from: 'sum1 = multiplyPairs(sum1, q23, i16x8.extend_high_i8x16_s(rows23))',
    to: 'sum1 = multiplyPairs(sum1, q23, i16x8.extend_low_i8x16_s(rows23))',
    kernels: ['linear_input_major_i8'],
  },
  'a tail of outputs written past its end': {
    file: 'linear_input_major_i4_tile.ts',
    from: 'bytes(min<i32>(<i32>(LINE / 4), to - column))',
    to: 'LINE',
    kernels: ['linear_input_major_i4'],
  },
  'the last slots of a run taken for four': {
    file: 'linear_input_major_i4_tile.ts',
    from: 'min<i32>(slot + 2, last)',
    to: 'min<i32>(slot + 1, last)',
    kernels: ['linear_input_major_i4'],
  },
  'halves of sums of int4 exchanged, for one token': {
    file: 'linear_input_major_i4.ts',
    from: 'storeStripe(tileSums(), s0, s1, s2, s3)',
    to: 'storeStripe(tileSums(), s1, s0, s2, s3)',
    kernels: ['linear_input_major_i4'],
  },
  'odd outputs of one row twice, for one token': {
    file: 'linear_input_major_i4.ts',
    from: 'v128.or(i16x8.shr_u(a, 8), v128.andnot(b, low))',
    to: 'v128.or(i16x8.shr_u(a, 8), v128.andnot(a, low))',
    kernels: ['linear_input_major_i4'],
  },
  'numbers of the first token for all of a few, in rows of int4': {
    file: 'linear_i4.ts',
    from: 'dotEight(t, w0, w1, B)',
    to: 'dotEight(0, w0, w1, B)',
    kernels: ['linear_i4'],
  },
  'numbers of the first token for all of a few, in columns of int4': {
    file: 'linear_input_major_i4.ts',
    from: 'addRun(rowAt(tile, t, O), rows, numbersOf(t, slots),',
    to: 'addRun(rowAt(tile, t, O), rows, numbersOf(0, slots),',
    kernels: ['linear_input_major_i4'],
  },
}

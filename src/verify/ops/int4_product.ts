/**
 * The int4 products, linear_i4 and linear_input_major_i4, by what they promise of the mathematics: weights are scales times
 * 4-bit numbers plus minima, activations are rounded to steps of their blocks, and products within a block are exact.
 *
 * A case holds its weights as blocks of rows; each op is given them in its own layout (src/tensor/int4.ts).
 *
 * Tests src/ops/linear_i4.ts, src/ops/linear_input_major_i4.ts and src/ops/int8_blocks.ts.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { narrowToF16 } from '../../tensor/halves.ts'
import {
  BLOCK,
  blocksOf,
  dequantizeBlocks,
  interleaveRows,
  TILE_BYTES,
  turnBlocks,
} from '../../tensor/int4.ts'
import { call } from '../../testing/op_call.ts'
import type { Data } from '../../testing/seeded_data.ts'
import { epsilon32, near, sameBits } from '../compare.ts'
import { dot64, dotSize64 } from '../float64.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

type Int4Op = 'linear_i4' | 'linear_input_major_i4'

const T = fc.integer({ min: 1, max: 9 })
const O = fc.nat({ max: 100 })
const I = fc.integer({ min: 1, max: 150 })

/** A product of T tokens with O rows of blocks. */
interface Case {
  readonly x: Float32Array // [T, I]
  readonly words: Uint32Array // [O, B, 5]
  readonly bias: Float32Array | null // [O]
  readonly T: number
  readonly O: number
  readonly I: number
}

/** The result of an op. @param list its chosen rows or inputs; null for all */
function run(
  backend: Backend,
  op: Int4Op,
  { words, ...given }: Case,
  list: Int32Array | null = null,
): Float32Array {
  const { O, I } = given
  if (op === 'linear_i4') {
    const weight = interleaveRows(words, O, blocksOf(I))
    return call(backend, op, { ...given, weight, rows: list }).y
  }
  return call(backend, op, { ...given, ...unitRows(words, O, I), inputs: list }).y
}

/** What linear_input_major_i4 takes for blocks of rows. */
function unitRows(words: Uint32Array, O: number, I: number) {
  const { values: weight, scales } = turnBlocks(words, O, I)
  const blocks = new Int32Array(I).map((_, i) => Math.floor(i / BLOCK))
  return { weight, scales, blocks, S: I, B: blocksOf(I) }
}

/** Rows of units [C, I, 32] that take the places 0, 1, 2, ... of S; the others have any bytes. */
function rowsOfUnits(weight: Uint8Array, I: number, units: Int32Array, S: number, data: Data): Uint8Array {
  const C = I === 0 ? 0 : weight.length / (I * TILE_BYTES)
  const rows = data.bytes('rows', [C, S, TILE_BYTES])
  for (let c = 0; c < C; c++)
    units.forEach((i, r) => {
      const from = (c * I + i) * TILE_BYTES
      rows.set(weight.subarray(from, from + TILE_BYTES), (c * S + r) * TILE_BYTES)
    })
  return rows
}

/** The part of block b of a row of so many inputs. */
function inBlock<Row extends Float32Array | Uint8Array>(row: Row, b: number): Row {
  return row.subarray(b * BLOCK, (b + 1) * BLOCK) as Row
}

/**
 * y is off by at most half a step for each activation. Of the terms of a block, which are at most the size of its scale
 * times 15, plus its minimum, for each input, four operations round each, and then each of the sums does.
 */
function isProduct(op: Int4Op): BackendLaw {
  return forAll(
    `${op}: the product of dequantized int4 weights, within half a step for each activation`,
    { T, O, I, hasBias: fc.boolean(), data: anyData },
    (backend, { T, O, I, hasBias, data }) => {
      const B = blocksOf(I)
      const [x, words] = [
        data.floats('x', [T, I], data.oneOf('kind', ['plain', 'steep'])),
        data.blocks('words', O * B),
      ]
      const bias = hasBias ? data.floats('bias', O) : null
      const y = run(backend, op, { x, words, bias, T, O, I })
      const weight = dequantizeBlocks(words, O, I)
      const bounds = dequantizeBlocks(largestOf(words), O, I)
      for (let t = 0; t < T; t++)
        for (let o = 0; o < O; o++) {
          const [token, row] = [x.subarray(t * I, (t + 1) * I), weight.subarray(o * I, (o + 1) * I)]
          const expected = dot64(token, row) + (bias?.[o] ?? 0)
          let [halfSteps, sizes] = [0, Math.abs(bias?.[o] ?? 0)]
          for (let b = 0; b < B; b++) {
            const largest = inBlock(token, b).reduce((most, value) => Math.max(most, Math.abs(value)), 0)
            const ones = new Float32Array(inBlock(token, b).length).fill(1)
            const bound = inBlock(bounds.subarray(o * I, (o + 1) * I), b)
            halfSteps += 0.501 * (largest / 127) * dotSize64(inBlock(row, b), ones)
            sizes += largest * dotSize64(bound, ones)
          }
          near(`y[${t}, ${o}]`, [y[t * O + o]], [expected], halfSteps + ((B + 5) / 2) * epsilon32 * sizes)
        }
    },
    { runs: 40 },
  )
}

/** The same blocks without signs, all of their numbers 15. */
function largestOf(words: Uint32Array): Uint32Array {
  return words.map((word, n) => (n % 5 === 0 ? word & 0x7fff7fff : 0xffffffff))
}

/** Where steps are exact, so is everything, up to the largest sum of a block: 32 times 127 times 15. */
function isExact(op: Int4Op): BackendLaw {
  return forAll(
    `${op}: whole numbers whose largest is 127 times a power of two in each block are multiplied exactly`,
    { T, O, I, isExtreme: fc.boolean(), data: anyData },
    (backend, { T, O, I, isExtreme, data }) => {
      const B = blocksOf(I)
      const powers = data.numbers('powers', [T, B], (stream) => 2 ** stream.below(3), 1)
      const sign = data.oneOf('sign', [1, -1])
      const x = data.numbers('x', [T, I], (stream, n) => {
        const [t, i] = [Math.floor(n / I), n % I]
        const whole = isExtreme || i % BLOCK === 0 ? 127 * sign : stream.integer(-127, 127)
        return whole * powers[t * B + Math.floor(i / BLOCK)]
      })
      // A block is below 2^18 units of half, four times that with its power, and there are at most five: below 2^24.
      const halves = narrowToF16(
        data.numbers('scales', [O, B, 2], (stream) => stream.pick([-2, -1, -0.5, 0.5, 1, 2]), 1),
      )
      const words = data.blocks('words', O * B).map((word, n) => {
        const block = Math.floor(n / 5)
        if (n % 5 === 0) return halves[2 * block] | (halves[2 * block + 1] << 16)
        return isExtreme ? 0xffffffff : word
      })
      const weight = dequantizeBlocks(words, O, I)
      const y = run(backend, op, { x, words, bias: null, T, O, I })
      const expected = y.map((_, n) => {
        const [t, o] = [Math.floor(n / O), n % O]
        return dot64(x.subarray(t * I, (t + 1) * I), weight.subarray(o * I, (o + 1) * I))
      })
      sameBits('y', y, expected)
    },
    { runs: 40 },
  )
}

/** Nothing but zeros, and what is not finite. */
function isPlain(op: Int4Op): BackendLaw {
  return forAll(
    `${op}: a row of zeros gives the bias or +0; a NaN or an infinity makes its token NaN and no other`,
    { T: fc.integer({ min: 2, max: 10 }), O, I, data: anyData },
    (backend, { T, O, I, data }) => {
      const words = data.blocks('words', O * blocksOf(I), data.oneOf('kind', ['plain', 'ties', 'wild']))
      const [x, bias] = [new Float32Array(T * I), data.floats('bias', O)]
      const biases = new Float32Array(T * O).map((_, n) => bias[n % O])
      sameBits('y', run(backend, op, { x, words, bias, T, O, I }), biases)
      sameBits('y', run(backend, op, { x, words, bias: null, T, O, I }), new Float32Array(T * O))
      const t = data.whole('t', 0, T - 1)
      x[t * I + data.whole('i', 0, I - 1)] = data.oneOf('broken', [NaN, Infinity, -Infinity])
      sameBits('y', run(backend, op, { x, words, bias, T, O, I }), biases.fill(NaN, t * O, (t + 1) * O))
    },
    { runs: 40 },
  )
}

export const linearIsProduct: BackendLaw = isProduct('linear_i4')
export const linearIsExact: BackendLaw = isExact('linear_i4')
export const linearIsPlain: BackendLaw = isPlain('linear_i4')
export const inputMajorIsProduct: BackendLaw = isProduct('linear_input_major_i4')
export const inputMajorIsExact: BackendLaw = isExact('linear_input_major_i4')
export const inputMajorIsPlain: BackendLaw = isPlain('linear_input_major_i4')

export const oneStoredTwice: BackendLaw = forAll(
  'linear_i4, linear_input_major_i4: both layouts of the same blocks give the same bits',
  { T, O, I, data: anyData },
  (backend, { T, O, I, data }) => {
    const [x, words] = [data.floats('x', [T, I], 'wild'), data.blocks('words', O * blocksOf(I), 'wild')]
    const given = { x, words, bias: data.floats('bias', O), T, O, I }
    sameBits('y', run(backend, 'linear_input_major_i4', given), run(backend, 'linear_i4', given))
  },
  { runs: 40 },
)

/** chosen.ts replaces what has the letter of a list in its shape. Rows of four, and rows of tiles, have none. */
export const otherRowsAreUnseen: BackendLaw = forAll(
  'linear_i4: what stands in the places of other rows of a four does not matter, scales of NaN included',
  { T, O, I, data: anyData },
  (backend, { T, O, I, data }) => {
    const B = blocksOf(I)
    const [x, words] = [data.floats('x', [T, I], 'wild'), data.blocks('words', O * B)]
    const rows = data.someOf('rows', O)
    const kept = new Set(rows)
    const spoilt = words.map((word, n) => (kept.has(Math.floor(n / (5 * B))) ? word : 0xffffffff))
    const given = { x, bias: data.floats('bias', O), T, O, I }
    sameBits(
      'y',
      run(backend, 'linear_i4', { ...given, words: spoilt }, rows),
      run(backend, 'linear_i4', { ...given, words }, rows),
    )
  },
  { runs: 40 },
)

export const otherInputsAreUnseen: BackendLaw = forAll(
  'linear_input_major_i4: what stands in the rows of other inputs, and in room behind the rows, does not matter',
  { T, O, I, data: anyData },
  (backend, { T, O, I, data }) => {
    const whole = unitRows(data.blocks('words', O * blocksOf(I)), O, I)
    const inputs = data.someOf('inputs', I)
    const kept = new Set(inputs)
    const S = I + data.whole('spare', 0, 3)
    const all = new Int32Array(I).map((_, i) => i)
    const rows = rowsOfUnits(whole.weight, I, all, S, data)
    const spoilt = rows.map((byte, n) => (kept.has(Math.floor(n / TILE_BYTES) % S) ? byte : ~byte))
    const [x, bias] = [data.floats('x', [T, I], 'wild'), data.floats('bias', O)]
    const given = { ...whole, x, bias, inputs, T, O, I, S }
    sameBits(
      'y',
      call(backend, 'linear_input_major_i4', { ...given, weight: spoilt }).y,
      call(backend, 'linear_input_major_i4', { ...given, weight: rows }).y,
    )
  },
  { runs: 40 },
)

export const skipsAsZeroed: BackendLaw = forAll(
  'linear_input_major_i4: a list of inputs gives the bits of all inputs with the others zeroed',
  { T, O, I, data: anyData },
  (backend, { T, O, I, data }) => {
    const [x, words] = [data.floats('x', [T, I], 'wild'), data.blocks('words', O * blocksOf(I), 'wild')]
    const inputs = data.someOf('inputs', I)
    const kept = new Set(inputs)
    const given = { words, bias: data.floats('bias', O), T, O, I }
    const zeroed = x.map((value, n) => (kept.has(n % I) ? value : 0))
    sameBits(
      'y',
      run(backend, 'linear_input_major_i4', { ...given, x }, inputs),
      run(backend, 'linear_input_major_i4', { ...given, x: zeroed }),
    )
  },
  { runs: 40 },
)

export const packsInAnyOrder: BackendLaw = forAll(
  'linear_input_major_i4: rows packed in any order, with their blocks, give the bits of a list of them in any order',
  { T, O, I, data: anyData },
  (backend, { T, O, I, data }) => {
    const [x, words] = [data.floats('x', [T, I], 'wild'), data.blocks('words', O * blocksOf(I), 'wild')]
    const bias = data.floats('bias', O)
    const inputs = data.someInAnyOrder('inputs', I)
    const R = inputs.length
    const whole = unitRows(words, O, I)
    const S = R + data.whole('spare', 0, 3)
    const packed = {
      ...whole,
      weight: rowsOfUnits(whole.weight, I, inputs, S, data),
      blocks: inputs.map((i) => whole.blocks[i]),
      x: new Float32Array(T * R).map((_, n) => x[Math.floor(n / R) * I + inputs[n % R]]),
      S,
    }
    const { y } = call(backend, 'linear_input_major_i4', { ...packed, bias, T, O, I: R })
    const listed = (list: Int32Array): Float32Array =>
      run(backend, 'linear_input_major_i4', { x, words, bias, T, O, I }, list)
    sameBits('y', y, listed(inputs))
    sameBits('y', y, listed(inputs.slice().sort()))
  },
  { runs: 40 },
)

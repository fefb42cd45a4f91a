/**
 * The int8 products, linear_i8 and linear_input_major_i8, by what they promise of the mathematics: weights are scales
 * times whole numbers, activations are rounded to steps, and sums are exact.
 *
 * Both are stated once. `x` is what is rounded: for the input-major op that is each input times its scale.
 *
 * Tests src/ops/linear_i8.ts, src/ops/linear_input_major_i8.ts and src/ops/quantized_steps.ts.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { call } from '../../testing/op_call.ts'
import { epsilon32, near, sameBits } from '../compare.ts'
import type { Data } from '../../testing/seeded_data.ts'
import { dot64, dotSize64 } from '../float64.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

type Int8Op = 'linear_i8' | 'linear_input_major_i8'

const T = fc.integer({ min: 1, max: 9 })

/** A product of T tokens with O vectors of int8. */
interface Case {
  readonly x: Float32Array // [T, I]
  readonly weight: Int8Array // [O, I], whichever way the op wants it stored
  readonly scales: Float32Array // linear_i8: [O]; linear_input_major_i8: [I]
  readonly bias: Float32Array | null // [O]
  readonly T: number
  readonly O: number
  readonly I: number
}

function transposed(weight: Int8Array, O: number, I: number): Int8Array {
  return weight.map((_, n) => weight[(n % O) * I + Math.floor(n / O)])
}

function run(backend: Backend, op: Int8Op, given: Case): Float32Array {
  const { weight, O, I } = given
  const stored = op === 'linear_i8' ? weight : transposed(weight, O, I)
  return call(backend, op, { ...given, weight: stored }).y
}

/** The scales of a case: any for each row of linear_i8, a power of two for each input, so that its products are exact. */
function someScales(op: Int8Op, data: Data, O: number, I: number): Float32Array {
  if (op === 'linear_i8') return data.floats('scales', O).map(Math.abs)
  return data.numbers('scales', I, (stream) => 2 ** stream.integer(-3, 3), 1)
}

/** y is off by at most half a step per activation, and by four roundings of float32. */
function isProduct(op: Int8Op): BackendLaw {
  return forAll(
    `${op}: the product of scaled int8 weights, within half a step for each activation`,
    { T, O: fc.nat({ max: 40 }), I: fc.integer({ min: 1, max: 1500 }), hasBias: fc.boolean(), data: anyData },
    (backend, { T, O, I, hasBias, data }) => {
      const [x, weight, scales] = [
        data.floats('x', [T, I]),
        data.int8s('weight', [O, I]),
        someScales(op, data, O, I),
      ]
      const bias = hasBias ? data.floats('bias', O) : null
      const y = run(backend, op, { x, weight, scales, bias, T, O, I })
      const isInputMajor = op === 'linear_input_major_i8'
      for (let t = 0; t < T; t++) {
        const token = x.subarray(t * I, (t + 1) * I).map((value, i) => value * (isInputMajor ? scales[i] : 1))
        const terms = token.filter((value) => value !== 0).length
        const levels = Math.min(32767, Math.floor((2 ** 31 - 1) / (127 * terms)))
        const step = Math.max(...token.map(Math.abs)) / levels
        for (let o = 0; o < O; o++) {
          const row = weight.subarray(o * I, (o + 1) * I)
          const scale = isInputMajor ? 1 : scales[o]
          const expected = scale * dot64(token, row) + (bias?.[o] ?? 0)
          const halfSteps = 0.502 * step * scale * dotSize64(row, new Int8Array(I).fill(1))
          const rounding = 2 * epsilon32 * (scale * dotSize64(token, row) + halfSteps + Math.abs(expected))
          near(`y[${t}, ${o}]`, [y[t * O + o]], [expected], halfSteps + rounding)
        }
      }
    },
    { runs: 40 },
  )
}

/** Where steps are exact, so is everything. */
function isExact(op: Int8Op): BackendLaw {
  return forAll(
    `${op}: integers whose largest is the last level are multiplied exactly`,
    { T, O: fc.nat({ max: 20 }), I: fc.integer({ min: 1, max: 60 }), data: anyData },
    (backend, { T, O, I, data }) => {
      // 60 x 127 x 32767 is below 2^28: sums are rounded to float32 once.
      const x = data.numbers('x', [T, I], (stream, n) =>
        n % I === 0 ? 32767 : stream.integer(-32767, 32767),
      )
      const weight = data.int8s('weight', [O, I])
      const scales = new Float32Array(op === 'linear_i8' ? O : I).fill(1)
      const y = run(backend, op, { x, weight, scales, bias: null, T, O, I })
      const expected = y.map((_, n) => {
        const [t, o] = [Math.floor(n / O), n % O]
        return dot64(x.subarray(t * I, (t + 1) * I), weight.subarray(o * I, (o + 1) * I))
      })
      sameBits('y', y, expected)
    },
  )
}

/** Levels shrink as terms grow, so no sum leaves 32 bits. */
function isLarge(op: Int8Op): BackendLaw {
  return forAll(
    `${op}: the longest sum of largest products does not overflow`,
    { I: fc.integer({ min: 500, max: 32_768 }), isNegative: fc.boolean(), isMany: fc.boolean() },
    (backend, { I, isNegative, isMany }) => {
      const sign = isNegative ? -1 : 1
      const [T, O] = isMany ? [8, 4] : [1, 1]
      const x = new Float32Array(T * I).fill(3)
      const weight = new Int8Array(O * I).fill(127 * sign)
      const scales = new Float32Array(op === 'linear_i8' ? O : I).fill(1)
      const y = run(backend, op, { x, weight, scales, bias: null, T, O, I })
      const expected = new Float32Array(T * O).fill(3 * 127 * sign * I)
      near('y', y, expected, 2 * epsilon32 * Math.abs(expected[0]))
    },
    { runs: 15 },
  )
}

/** Zeros are no terms of linear_i8; that they are none of the input-major product is said in zero_terms.ts. */
export const linearZeros: BackendLaw = forAll(
  'linear_i8: inserted zero activations change no bit',
  {
    T,
    O: fc.integer({ min: 1, max: 12 }),
    few: fc.nat({ max: 900 }),
    I: fc.integer({ min: 500, max: 1500 }),
    data: anyData,
  },
  (backend, { T, O, few, I, data }) => {
    const kept = data.ascending('kept', Math.min(few, I), I)
    const R = kept.length
    const [x, weight, scales, bias] = [
      data.floats('x', [T, R]),
      data.int8s('weight', [O, I]),
      data.floats('scales', O),
      data.floats('bias', O),
    ]
    const spread = new Float32Array(T * I)
    for (let t = 0; t < T; t++) kept.forEach((i, r) => (spread[t * I + i] = x[t * R + r]))
    const packed = new Int8Array(O * R).map((_, n) => weight[Math.floor(n / R) * I + kept[n % R]])
    const both = { scales: scales.map(Math.abs), bias, T, O }
    sameBits(
      'y',
      run(backend, 'linear_i8', { ...both, x: spread, weight, I }),
      run(backend, 'linear_i8', { ...both, x, weight: packed, I: R }),
    )
  },
  { runs: 30 },
)

/** Nothing but zeros, and NaN. */
function isPlain(op: Int8Op): BackendLaw {
  return forAll(
    `${op}: a row of zeros gives the bias or +0; a NaN makes its token NaN and no other`,
    {
      T: fc.integer({ min: 2, max: 10 }),
      O: fc.nat({ max: 20 }),
      I: fc.integer({ min: 1, max: 70 }),
      data: anyData,
    },
    (backend, { T, O, I, data }) => {
      const [weight, scales, bias] = [
        data.int8s('weight', [O, I]),
        someScales(op, data, O, I),
        data.floats('bias', O),
      ]
      const x = new Float32Array(T * I)
      const both = { x, weight, scales, T, O, I }
      const biases = new Float32Array(T * O).map((_, n) => bias[n % O])
      sameBits('y', run(backend, op, { ...both, bias }), biases)
      sameBits('y', run(backend, op, { ...both, bias: null }), new Float32Array(T * O))
      const t = data.whole('t', 0, T - 1)
      x[t * I + data.whole('i', 0, I - 1)] = NaN
      sameBits('y', run(backend, op, { ...both, bias }), biases.fill(NaN, t * O, (t + 1) * O))
    },
  )
}

export const linearIsProduct: BackendLaw = isProduct('linear_i8')
export const linearIsExact: BackendLaw = isExact('linear_i8')
export const linearIsLarge: BackendLaw = isLarge('linear_i8')
export const linearIsPlain: BackendLaw = isPlain('linear_i8')
export const inputMajorIsProduct: BackendLaw = isProduct('linear_input_major_i8')
export const inputMajorIsExact: BackendLaw = isExact('linear_input_major_i8')
export const inputMajorIsLarge: BackendLaw = isLarge('linear_input_major_i8')
export const inputMajorIsPlain: BackendLaw = isPlain('linear_input_major_i8')

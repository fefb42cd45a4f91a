/**
 * Units leave one after the other, each time the one of which least is lost; the worth of a unit is what is lost of the layer's output when
 * it and all that are worth less are skipped, and the others make up for them as well as they can.
 */
import fc from 'fast-check'
import { worthsOf } from '../../src/compensation/worth.ts'
import { near } from '../../src/verify/compare.ts'
import { anyData, killsByLaw, lawForAll, stateLaw } from '../harness/seed.ts'
import { saidOfSkipped } from './least_squares.ts'

type Worths = typeof worthsOf

/** Trace of W_S (C_SS - B C_KS) W_Sᵀ, where S are the numbers of the skipped units and K all others. */
function lossOf(
  C: Float64Array,
  weight: Float32Array,
  size: number,
  skippedUnits: readonly number[],
): number {
  const N = Math.sqrt(C.length)
  const D = weight.length / N
  const kept = Array.from({ length: N }, (_, n) => n).filter(
    (n) => !skippedUnits.includes(Math.floor(n / size)),
  )
  const { skipped, B } = saidOfSkipped(C, N, kept, 0)
  let trace = 0
  for (const [s, i] of skipped.entries())
    for (const j of skipped) {
      const left = C[i * N + j] - kept.reduce((sum, n, k) => sum + B[s][k] * C[n * N + j], 0)
      for (let d = 0; d < D; d++) trace += weight[i * D + d] * left * weight[j * D + d]
    }
  return trace
}

const laws = {
  isWhatIsLost: lawForAll(
    'the worth of a unit is the loss of it and all that are worth less, and with no other unit in its place less would be lost',
    {
      units: fc.integer({ min: 1, max: 5 }),
      size: fc.integer({ min: 1, max: 3 }),
      D: fc.integer({ min: 1, max: 4 }),
      ridge: fc.constantFrom(0.01, 0.1, 1),
      data: anyData,
    },
    (worths: Worths, { units, size, D, ridge, data }) => {
      const N = units * size
      const a = data.floats('activations', [3 * N, N], 'smooth')
      const C = new Float64Array(N * N)
      for (let t = 0; t < 3 * N; t++)
        for (let i = 0; i < N; i++) for (let j = 0; j < N; j++) C[i * N + j] += a[t * N + i] * a[t * N + j]
      const weight = data.floats('weight', [N, D], 'smooth')
      const actual = worths(C, (n) => weight.slice(n * D, (n + 1) * D), size, ridge)
      // λ is in C, and none is added where others make up.
      const diagonal = Array.from({ length: N }, (_, n) => C[n * N + n] / N).reduce((x, y) => x + y, 0)
      if (diagonal === 0) return near('worths', actual, new Float32Array(units), 0)
      const whole = C.map((value, at) => value + (at % (N + 1) === 0 ? ridge * diagonal : 0))
      const order = Array.from(actual.keys()).toSorted((x, y) => actual[x] - actual[y])
      const losses = order.map((_, k) => lossOf(whole, weight, size, order.slice(0, k + 1)))
      const tolerance = (1e-5 * (1 + Math.max(...losses))) / ridge
      near(
        'worths',
        order.map((unit) => actual[unit]),
        losses,
        tolerance,
      )
      const others = order.map((_, k) =>
        Math.min(...order.slice(k).map((unit) => lossOf(whole, weight, size, [...order.slice(0, k), unit]))),
      )
      near('the least that could be lost', losses, others, tolerance)
    },
  ),
}
for (const law of Object.values(laws)) stateLaw(law, worthsOf)

/** Worths in the order that numbers give them, each a sum as of a real order. */
const summed = (losses: readonly number[]): Float32Array => {
  const order = Array.from(losses.keys()).toSorted((x, y) => losses[x] - losses[y])
  const worths = new Float32Array(losses.length)
  order.reduce((sum, unit) => (worths[unit] = sum + losses[unit]), 0)
  return worths
}

killsByLaw(laws, {
  isWhatIsLost: {
    'what the unit adds, whatever others say': (moments, row, size, ridge) => {
      const N = Math.sqrt(moments.length)
      const apart = moments.map((value, at) => (at % (N + 1) === 0 ? value : 0))
      return worthsOf(apart, row, size, ridge)
    },
    'each number of a head by itself': (moments, row, size, ridge) => {
      const each = worthsOf(moments, row, 1, ridge)
      return Float32Array.from({ length: each.length / size }, (_, unit) =>
        each.subarray(unit * size, (unit + 1) * size).reduce((sum, one) => sum + one, 0),
      )
    },
    'what is lost of each where all others make up for it, as if none had left': (
      moments,
      row,
      size,
      ridge,
    ) => {
      const N = Math.sqrt(moments.length)
      const diagonal = Array.from({ length: N }, (_, n) => moments[n * N + n] / N).reduce((x, y) => x + y, 0)
      const whole = moments.map((value, at) => value + (at % (N + 1) === 0 ? ridge * diagonal : 0))
      const rows = Array.from({ length: N }, (_, n) => [...row(n)])
      const weight = Float32Array.from(rows.flat())
      const units = Array.from({ length: N / size }, (_, unit) => unit)
      return summed(units.map((unit) => lossOf(whole, weight, size, [unit])))
    },
    'the dearest leaves first': (moments, row, size, ridge) => {
      const worths = worthsOf(moments, row, size, ridge)
      const most = Math.max(...worths)
      return worths.map((worth) => most - worth)
    },
    'half of the ridge': (moments, row, size, ridge) => worthsOf(moments, row, size, ridge / 2),
    'roots of what is lost': (...given) => worthsOf(...given).map(Math.sqrt),
  },
})

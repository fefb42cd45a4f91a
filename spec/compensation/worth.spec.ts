/**
 * The worth of a unit is the loss that is left when all others make up for it as well as they can.
 */
import fc from 'fast-check'
import { worthsOf } from '../../src/compensation/worth.ts'
import { near } from '../../src/verify/compare.ts'
import { anyData, killsByLaw, lawForAll, stateLaw } from '../harness/seed.ts'
import { saidOfSkipped } from './least_squares.ts'

type Worths = typeof worthsOf

const laws = {
  isWhatIsLeft: lawForAll(
    'the worth of a unit is the trace of W (C_SS - B C_KS) Wᵀ, where S are its numbers and K all others',
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
      const expected = Array.from({ length: units }, (_, unit) => {
        const own = (n: number): boolean => Math.floor(n / size) === unit
        const kept = Array.from({ length: N }, (_, n) => n).filter((n) => !own(n))
        const { skipped, B } = saidOfSkipped(whole, N, kept, 0)
        let trace = 0
        for (const [s, i] of skipped.entries())
          for (const j of skipped) {
            const left = whole[i * N + j] - kept.reduce((sum, n, k) => sum + B[s][k] * whole[n * N + j], 0)
            for (let d = 0; d < D; d++) trace += weight[i * D + d] * left * weight[j * D + d]
          }
        return trace
      })
      near('worths', actual, expected, (1e-5 * (1 + Math.max(...expected))) / ridge)
    },
  ),
}
for (const law of Object.values(laws)) stateLaw(law, worthsOf)

killsByLaw(laws, {
  isWhatIsLeft: {
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
    'half of the ridge': (moments, row, size, ridge) => worthsOf(moments, row, size, ridge / 2),
    'roots of what is left': (...given) => worthsOf(...given).map(Math.sqrt),
  },
})

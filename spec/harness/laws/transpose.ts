/**
 * transpose moves every element where it belongs.
 */
import fc from 'fast-check'
import { call } from '../call.ts'
import { sameBits } from '../compare.ts'
import { forAll, type BackendLaw } from './law.ts'

export const movesElements: BackendLaw = forAll(
  'transpose: element [o, i] goes to [i, o], and twice is never',
  [fc.nat({ max: 40 }), fc.nat({ max: 40 })],
  (backend, O, I) => {
    const x = Float32Array.from({ length: O * I }, (_, n) => n)
    const { y } = call(backend, 'transpose', { x, O, I })
    sameBits(
      'y',
      y,
      y.map((_, n) => (n % O) * I + Math.floor(n / O)),
    )
    sameBits('x', call(backend, 'transpose', { x: y, O: I, I: O }).y, x)
  },
)

/**
 * transpose moves every element where it belongs.
 */
import fc from 'fast-check'
import { call } from '../../testing/op_call.ts'
import { sameBits } from '../compare.ts'
import { forAll, type BackendLaw } from './law.ts'

const kinds = { transpose: Float32Array, transpose_bf16: Uint16Array, transpose_f16: Uint16Array }
const ops = ['transpose', 'transpose_bf16', 'transpose_f16'] as const

export const movesElements: BackendLaw = forAll(
  'transpose: element [o, i] goes to [i, o], and transposing twice gives the input, in every storage',
  { op: fc.constantFrom(...ops), O: fc.nat({ max: 80 }), I: fc.nat({ max: 40 }) },
  (backend, { op, O, I }) => {
    const x = new kinds[op](O * I).map((_, n) => n)
    const { y } = call(backend, op, { x, O, I })
    const expected = y.map((_, n) => (n % O) * I + Math.floor(n / O))
    sameBits('y', y, expected)
    sameBits('x', call(backend, op, { x: y, O: I, I: O }).y, x)
  },
)

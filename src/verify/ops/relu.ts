/**
 * relu and its gradient by their symmetries.
 */
import fc from 'fast-check'
import { call } from '../../testing/op_call.ts'
import { sameBits, sameNumbers } from '../compare.ts'
import { Data } from '../../testing/seeded_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const N = fc.nat({ max: 200 })
const seed = fc.nat()

export const splitsInTwo: BackendLaw = forAll(
  'relu: x = relu(x) - relu(-x), neither part is negative, and a zero is +0',
  [N, seed],
  (backend, N, seed) => {
    const x = new Data(seed).floats(N, 'wild')
    const up = call(backend, 'relu', { x, N }).y
    const down = call(backend, 'relu', { x: x.map((value) => -value), N }).y
    sameNumbers(
      'x',
      up.map((value, n) => value - down[n]),
      x,
    )
    for (const part of [up, down])
      sameBits(
        'sign',
        part,
        part.map((value) => Math.abs(value)),
      )
  },
)

export const gradientIsGate: BackendLaw = forAll(
  'relu_backward: passes y_grad where x > 0; at 0 and at NaN it gives 0',
  [N, seed],
  (backend, N, seed) => {
    const data = new Data(seed)
    const [x, y_grad] = [data.floats(N, 'broken'), data.floats(N, 'smooth')]
    const { y } = call(backend, 'relu', { x, N })
    const { x_grad } = call(backend, 'relu_backward', { y_grad, x, N })
    sameBits(
      'x_grad',
      x_grad,
      y_grad.map((g, n) => (y[n] === 0 ? 0 : g)),
    )
  },
)

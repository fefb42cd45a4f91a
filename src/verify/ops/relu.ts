/**
 * relu and its gradient by their symmetries.
 */
import fc from 'fast-check'
import { call } from '../../testing/op_call.ts'
import { sameBits, sameNumbers } from '../compare.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const N = fc.nat({ max: 200 })

export const splitsInTwo: BackendLaw = forAll(
  'relu: x = relu(x) - relu(-x), neither part is negative, and a zero is +0',
  { N, data: anyData },
  (backend, { N, data }) => {
    const x = data.floats('x', N, 'wild')
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
  { N, data: anyData },
  (backend, { N, data }) => {
    const [x, y_grad] = [data.floats('x', N, 'broken'), data.floats('y_grad', N, 'smooth')]
    const { y } = call(backend, 'relu', { x, N })
    const { x_grad } = call(backend, 'relu_backward', { y_grad, x, N })
    sameBits(
      'x_grad',
      x_grad,
      y_grad.map((g, n) => (y[n] === 0 ? 0 : g)),
    )
  },
)

/**
 * soft_cap against float64, and what a cap is.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { call } from '../../testing/op_call.ts'
import { epsilon32, near, sameBits } from '../compare.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const N = fc.integer({ min: 1, max: 70 })
const cap = fc.constantFrom(1, 3, 30, 50)
const { abs, tanh } = Math

/** tanh is within 3 units in the last place, and the quotient before it and the product after it are rounded. */
const accuracy = 6 * epsilon32
/** Products and quotients of numbers next to nothing lose digits. */
const least = 2 ** -120

function softCap(backend: Backend, x: Float32Array, cap: number): Float32Array {
  return call(backend, 'soft_cap', { x, cap, N: x.length }).y
}

export const isClosedForm: BackendLaw = forAll(
  'soft_cap: cap tanh(x / cap), as in float64, and never above the cap in size',
  { N, cap, data: anyData },
  (backend, { N, cap, data }) => {
    const x = data.floats('x', N, 'steep')
    const y = softCap(backend, x, cap)
    const expected = Array.from(x, (value) => cap * tanh(value / cap))
    near(
      'y',
      y,
      expected,
      expected.map((value) => accuracy * abs(value) + least),
    )
    y.forEach((value, n) => {
      if (abs(value) > cap) throw new Error(`y[${n}]: expected at most ${cap} in size, got ${value}`)
    })
  },
)

export const isOdd: BackendLaw = forAll(
  'soft_cap: of -x it is minus that of x, and +0 stays +0',
  { N, cap, data: anyData },
  (backend, { N, cap, data }) => {
    const x = data.floats('x', N, 'steep')
    const there = softCap(backend, x, cap)
    sameBits(
      'y',
      softCap(
        backend,
        x.map((value) => -value),
        cap,
      ),
      there.map((value) => -value),
    )
    const zeros = new Float32Array(N)
    sameBits('zeros', softCap(backend, zeros, cap), zeros)
  },
)

export const noCap: BackendLaw = forAll(
  'soft_cap: a cap of 0 or less is none, and its gradient passes',
  { N, cap: fc.constantFrom(0, -1), data: anyData },
  (backend, { N, cap, data }) => {
    const [x, y_grad] = [data.floats('x', N, 'steep'), data.floats('y_grad', N)]
    sameBits('y', softCap(backend, x, cap), x)
    sameBits('x_grad', call(backend, 'soft_cap_backward', { y_grad, x, cap, N }).x_grad, y_grad)
  },
)

export const gradientIsClosedForm: BackendLaw = forAll(
  'soft_cap_backward: y_grad (1 - tanh(x / cap)^2), as in float64',
  { N, cap, data: anyData },
  (backend, { N, cap, data }) => {
    const [x, y_grad] = [data.floats('x', N, 'steep'), data.floats('y_grad', N)]
    const { x_grad } = call(backend, 'soft_cap_backward', { y_grad, x, cap, N })
    // 1 - u^2 is off by as much as u^2, however small it is.
    const expected = Array.from(x, (value, n) => y_grad[n] * (1 - tanh(value / cap) ** 2))
    near(
      'x_grad',
      x_grad,
      expected,
      Array.from(y_grad, (value) => 3 * accuracy * abs(value) + least),
    )
  },
)

/**
 * adamw_step against an AdamW in float64, written from the paper (Loshchilov and Hutter 2019, algorithm 2).
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { call } from '../../testing/op_call.ts'
import { near, sameNumbers } from '../compare.ts'
import { Data } from '../../testing/seeded_data.ts'
import { anyData } from '../drawn_data.ts'
import { always, forAll, type BackendLaw } from './law.ts'

interface State {
  readonly weight: Float32Array
  readonly mean: Float32Array
  readonly square: Float32Array
}

const settings = { rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.01 }

function step(
  backend: Backend,
  state: State,
  grad: Float32Array,
  t: number,
  more: Partial<typeof settings>,
): State {
  const { rate, beta1, beta2, epsilon, decay } = { ...settings, ...more }
  const corrections = { correction1: 1 - beta1 ** t, correction2: 1 - beta2 ** t }
  const scalars = { rate, beta1, beta2, epsilon, decay, ...corrections }
  return call(backend, 'adamw_step', { ...state, grad, ...scalars, N: grad.length }) as unknown as State
}

function fresh(weight: Float32Array): State {
  return { weight, mean: new Float32Array(weight.length), square: new Float32Array(weight.length) }
}

export const followsFloat64: BackendLaw = forAll(
  'adamw_step: thirty steps stay near AdamW in float64',
  { N: fc.integer({ min: 1, max: 40 }), data: anyData },
  (backend, { N, data }) => {
    let state = fresh(data.floats('weight', N))
    const w = Float64Array.from(state.weight)
    const m = new Float64Array(N)
    const v = new Float64Array(N)
    const { rate, beta1, beta2, epsilon, decay } = settings
    for (let t = 1; t <= 30; t++) {
      const grad = data.floats('grad', N, 'smooth')
      state = step(backend, state, grad, t, {})
      for (let n = 0; n < N; n++) {
        w[n] -= rate * decay * w[n]
        m[n] += (1 - beta1) * (grad[n] - m[n])
        v[n] += (1 - beta2) * (grad[n] ** 2 - v[n])
        w[n] -= (rate * (m[n] / (1 - beta1 ** t))) / (Math.sqrt(v[n] / (1 - beta2 ** t)) + epsilon)
      }
    }
    // 1 - beta2 in float32 is 2e-5 off; in a step of `rate` that is 2e-7, thirty times.
    near('weight', state.weight, w, 1e-5)
    near('mean', state.mean, m, 1e-5)
    near('square', state.square, v, 1e-5)
  },
  { runs: 30 },
)

export const firstStep: BackendLaw = forAll(
  'adamw_step: without decay the first step moves each weight by the rate, against its gradient',
  { N: fc.integer({ min: 1, max: 40 }), data: anyData },
  (backend, { N, data }) => {
    const [weight, grad] = [data.floats('weight', N), data.floats('grad', N, 'smooth')]
    const state = step(backend, fresh(weight), grad, 1, { decay: 0 })
    const expected = Array.from(weight, (w, n) => w - settings.rate * Math.sign(grad[n]))
    near('weight', state.weight, expected, 1e-6)
  },
)

export const decayAlone: BackendLaw = always(
  'adamw_step: without a gradient a weight only decays',
  (backend) => {
    const weight = new Data(5).floats('weight', 40)
    const state = step(backend, fresh(weight), new Float32Array(40), 1, { rate: 0.5, decay: 0.25 })
    // 1 - rate * decay = 0.875 is exact.
    const expected = weight.map((w) => w * 0.875)
    sameNumbers('weight', state.weight, expected)
  },
)

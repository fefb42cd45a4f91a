/**
 * Bugs planted in the ops of the Llama family: rms_norm, rotary and silu_gate.
 */
import * as rmsNormLaws from '../../src/verify/ops/rms_norm.ts'
import * as rotaryLaws from '../../src/verify/ops/rotary.ts'
import * as siluGateLaws from '../../src/verify/ops/silu_gate.ts'
import { tokensApart } from '../../src/verify/ops/tokens.ts'
import type { Definition } from '../harness/mutate.ts'
import { agree, gradients, mutant, type Mutant } from './mutant.ts'

/** A function of each row [D] of x. */
function rowByRow(x: Float32Array, D: number, change: (row: Float32Array) => Iterable<number>): Float32Array {
  const rows = Array.from({ length: D > 0 ? x.length / D : 0 }, (_, t) => x.subarray(t * D, (t + 1) * D))
  return Float32Array.from(rows.flatMap((row) => [...change(row)]))
}

const mean = (row: Float32Array): number => row.reduce((total, value) => total + value, 0) / row.length

/** The table with its sines changed: [T, K]. */
function withSines(table: Float32Array, K: number, change: (sin: number) => number): Float32Array {
  const M = Math.floor(K / 2)
  return table.map((value, i) => (i % K >= M && i % K < 2 * M ? change(value) : value))
}

/** rotary of pairs (2 i, 2 i + 1). */
function interleaved(rotary: Definition<'rotary'>): Definition<'rotary'> {
  return (y, x, table, T, H, K) => {
    const M = Math.floor(K / 2)
    /** Where number i of a head with its pairs apart stands with its pairs together. */
    const place = (i: number): number => (i < M ? 2 * i : i < 2 * M ? 2 * (i - M) + 1 : i)
    const apart = x.map((_, n) => x[n - (n % K) + place(n % K)])
    const turned = new Float32Array(apart.length)
    rotary(turned, apart, table, T, H, K)
    turned.forEach((value, n) => (y[n - (n % K) + place(n % K)] = value))
  }
}

/** The mutants of this page. */
export const llamaMutants: readonly Mutant[] = [
  mutant(
    'rms_norm',
    'ignores epsilon',
    [...agree('rms_norm'), rmsNormLaws.isClosedForm, rmsNormLaws.meanSquare],
    (rms_norm) => (y, x, weight, _, T, D) => rms_norm(y, x, weight, 0, T, D),
  ),

  mutant(
    'rms_norm',
    'subtracts the mean',
    [...agree('rms_norm'), rmsNormLaws.isClosedForm, rmsNormLaws.meanSquare],
    (rms_norm) => (y, x, weight, epsilon, T, D) => {
      const centred = rowByRow(x, D, (row) => row.map((value) => value - mean(row)))
      rms_norm(y, centred, weight, epsilon, T, D)
    },
  ),

  mutant(
    'rms_norm',
    'adds epsilon after the root',
    [...agree('rms_norm'), rmsNormLaws.isClosedForm, rmsNormLaws.scalesAway],
    () => (y, x, weight, epsilon, _, D) =>
      y.set(
        rowByRow(x, D, (row) => {
          const root = Math.sqrt(mean(row.map((value) => value * value))) + epsilon
          return row.map((value, d) => (value / root) * weight[d])
        }),
      ),
  ),

  mutant(
    'rms_norm',
    'scales by 1 + weight',
    [...agree('rms_norm'), rmsNormLaws.isClosedForm, rmsNormLaws.meanSquare],
    (rms_norm) => (y, x, weight, epsilon, T, D) =>
      rms_norm(
        y,
        x,
        weight.map((w) => 1 + w),
        epsilon,
        T,
        D,
      ),
  ),

  mutant(
    'rms_norm_backward',
    'takes the root mean square for a constant',
    [...agree('rms_norm_backward'), ...gradients('rms_norm'), rmsNormLaws.gradientIsOrthogonal],
    (backward) => (x_grad, weight_grad, y_grad, x, weight, epsilon, T, D) => {
      backward(x_grad, weight_grad, y_grad, x, weight, epsilon, T, D)
      for (let t = 0; t < T; t++) {
        const squares = mean(x.subarray(t * D, (t + 1) * D).map((value) => value * value))
        for (let d = 0; d < D; d++)
          x_grad[t * D + d] = (y_grad[t * D + d] * weight[d]) / Math.sqrt(squares + epsilon)
      }
    },
  ),

  mutant(
    'rotary',
    'pairs neighbours in place of halves',
    [...agree('rotary'), rotaryLaws.isComplexProduct, rotaryLaws.keepsLength],
    interleaved,
  ),

  mutant(
    'rotary',
    'has the sine with the wrong sign',
    [...agree('rotary'), ...gradients('rotary'), rotaryLaws.isComplexProduct, rotaryLaws.isUndone],
    (rotary) => (y, x, table, T, H, K) =>
      rotary(
        y,
        x,
        withSines(table, K, (sin) => -sin),
        T,
        H,
        K,
      ),
  ),

  mutant(
    'rotary',
    'reflects pairs',
    [...agree('rotary'), ...gradients('rotary'), rotaryLaws.isComplexProduct, rotaryLaws.isUndone],
    (rotary) => (y, x, table, T, H, K) => {
      rotary(y, x, table, T, H, K)
      const M = Math.floor(K / 2)
      y.set(y.map((value, n) => (n % K >= M && n % K < 2 * M ? -value : value)))
    },
  ),

  mutant(
    'rotary',
    'forgets the sines',
    [...agree('rotary'), rotaryLaws.keepsLength, rotaryLaws.scoresByDistance, rotaryLaws.isUndone],
    (rotary) => (y, x, table, T, H, K) =>
      rotary(
        y,
        x,
        withSines(table, K, () => 0),
        T,
        H,
        K,
      ),
  ),

  mutant(
    'rotary',
    'turns every token as the first',
    [...agree('rotary'), tokensApart('rotary'), rotaryLaws.isComplexProduct, rotaryLaws.isUndone],
    (rotary) => (y, x, table, T, H, K) =>
      rotary(
        y,
        x,
        table.map((_, i) => table[i % K]),
        T,
        H,
        K,
      ),
  ),

  mutant(
    'rotary_backward',
    'turns in the direction of the forward pass',
    [...agree('rotary_backward'), ...gradients('rotary'), rotaryLaws.isUndone],
    (backward) => (x_grad, y_grad, table, T, H, K) =>
      backward(
        x_grad,
        y_grad,
        withSines(table, K, (sin) => -sin),
        T,
        H,
        K,
      ),
  ),

  mutant(
    'silu_gate',
    'leaves out the gate itself',
    [...agree('silu_gate'), ...gradients('silu_gate'), siluGateLaws.isClosedForm, siluGateLaws.oddPart],
    () => (y, gate, up) => y.set(gate.map((z, n) => up[n] / (1 + Math.exp(-z)))),
  ),

  mutant(
    'silu_gate',
    'is not smooth: relu in place of silu',
    [...agree('silu_gate'), ...gradients('silu_gate'), siluGateLaws.isClosedForm],
    () => (y, gate, up) => y.set(gate.map((z, n) => Math.max(z, 0) * up[n])),
  ),

  mutant(
    'silu_gate',
    'takes up through silu, and gate as it is',
    [...agree('silu_gate'), siluGateLaws.isClosedForm, siluGateLaws.oddPart],
    (silu_gate) => (y, gate, up, N) => silu_gate(y, up, gate, N),
  ),

  mutant(
    'silu_gate',
    'gives what it should with the other sign',
    [...agree('silu_gate'), siluGateLaws.isClosedForm, siluGateLaws.skippedIsZero],
    (silu_gate) => (y, gate, up, N) => {
      silu_gate(y, gate, up, N)
      y.set(y.map((value) => -value))
    },
  ),

  mutant(
    'silu_gate_backward',
    'exchanges gate and up',
    [...agree('silu_gate_backward'), ...gradients('silu_gate'), siluGateLaws.gradientIsClosedForm],
    (backward) => (gate_grad, up_grad, y_grad, gate, up, N) =>
      backward(up_grad, gate_grad, y_grad, gate, up, N),
  ),

  mutant(
    'silu_gate_backward',
    'takes the sigmoid for the slope of silu',
    [...agree('silu_gate_backward'), ...gradients('silu_gate'), siluGateLaws.gradientIsClosedForm],
    (backward) => (gate_grad, up_grad, y_grad, gate, up, N) => {
      backward(gate_grad, up_grad, y_grad, gate, up, N)
      gate_grad.set(gate.map((z, n) => (y_grad[n] * up[n]) / (1 + Math.exp(-z))))
    },
  ),
]

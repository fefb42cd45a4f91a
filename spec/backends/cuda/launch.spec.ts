/**
 * The list of CUDA kernels that trade bits for speed; every other op keeps the bits. fast.full.spec.ts tests the kernels.
 *
 * Tests src/backends/launches.ts.
 */
import { expect, test } from 'vitest'
import { fastOps, kernelIn } from '../../../src/backends/cuda/launch.ts'
import { outputsOf } from '../../../src/backends/launches.ts'
import { boundOf } from '../../../src/testing/op_agreement.ts'
import { kernelNames, kernels, type KernelName } from '../../../src/ops/catalog.ts'

test('the ops that decide the speed of a token have a fast kernel, every other op the exact one', () => {
  for (const op of kernelNames) {
    expect(kernelIn('exact', op).symbol).toBe(`${op}_exact`)
    expect(kernelIn('fast', op).symbol).toBe(`${op}_${fastOps.includes(op) ? 'fast' : 'exact'}`)
  }
})

test('only ops with a fast kernel have a bound in place of equal bits', () => {
  const bounded = kernelNames.filter((op) => boundOf(op, 'fast') !== null)
  const exactly = (op: KernelName): boolean => /^copy_rows|^linear.*_i[48]$/.test(op)
  expect(bounded).toEqual(fastOps.filter((op) => !exactly(op)))
})

test('a kernel has as many outputs as its first output has numbers', () => {
  const sizes: Record<string, number> = { T: 2, O: 3, U: 5, K: 7, H: 11, N: 13 }
  const outputs = (name: KernelName): number => outputsOf(kernels[name], (letter) => sizes[letter] ?? NaN)
  expect(outputs('linear_i4')).toBe(2 * 3)
  expect(outputs('mask_units')).toBe(2 * 5 * 7)
  expect(outputs('adamw_step')).toBe(13)
  expect(outputs('sum')).toBe(1)
})

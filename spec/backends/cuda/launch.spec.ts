/**
 * The list of CUDA kernels that trade bits for speed; every other op keeps the bits. fast.full.spec.ts tests the kernels.
 */
import { expect, test } from 'vitest'
import { fastOps, kernelIn } from '../../../src/backends/cuda/launch.ts'
import { boundOf } from '../../../src/testing/op_agreement.ts'
import { kernelNames, type KernelName } from '../../../src/ops/catalog.ts'

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

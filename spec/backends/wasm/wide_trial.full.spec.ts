/**
 * The trial of the wide build refuses each planted bug, by the name of every kernel that is wrong, and no kernel without one.
 */
import { describe, expect, test } from 'vitest'
import type { KernelName } from '../../../src/ops/catalog.ts'
import { canJoinVectors } from '../../../src/platform/platform.ts'
import { WideTrial } from '../../../src/backends/wasm/wide_trial.ts'
import { compileKernels, readCommitted } from './compile.ts'
import { widePlants } from './wide_plants.ts'

const plain = new WebAssembly.Module(await readCommitted('bytes'))

/** What a trial says of each kernel, which is tried alone. */
function verdictsOf(wide: WebAssembly.Module, kernels: readonly KernelName[]): (string | null)[] {
  return kernels.map((name) => {
    const trial = new WideTrial(plain, wide, false)
    trial.isUsed(name)
    return trial.refusal
  })
}

/** Unoptimised: the same arithmetic, compiled sooner. How fast it is is not judged. */
const quickly = ['--optimizeLevel', '0']
const everyKernel = [...new Set(Object.values(widePlants).flatMap(({ kernels }) => kernels))]

describe.skipIf(!canJoinVectors())('the trial', () => {
  test.each(Object.entries(widePlants))('refuses %s', async (_, plant) => {
    const wide = new WebAssembly.Module(await compileKernels(plant, quickly, 'wide'))
    expect(verdictsOf(wide, plant.kernels)).toEqual(
      plant.kernels.map((name) => `${name}: other bits than with vectors of 16 bytes`),
    )
  })

  test('finds other bits in no kernel without a bug', async () => {
    const wide = new WebAssembly.Module(await compileKernels(undefined, quickly, 'wide'))
    for (const verdict of verdictsOf(wide, everyKernel)) expect(verdict ?? '').not.toContain('other bits')
  })
})

test('each kernel of products, and the gradient of attention, has a bug of one token, of few or of many', () =>
  expect(everyKernel.toSorted()).toEqual(
    [
      ...['linear', 'linear_input_major'].flatMap((op) =>
        ['', '_bf16', '_f16', '_i8', '_i4'].map((storage) => `${op}${storage}`),
      ),
      'linear_backward_weight',
      'attention_backward',
    ].toSorted(),
  ))

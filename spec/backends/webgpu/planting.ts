/**
 * Bugs planted in WGSL: each is compiled and must be found by a law of its op. Without it these laws pass, as spec/ops states them.
 */
import { expect, test } from 'vitest'
import { exactKernels } from '../../../src/backends/webgpu/exact_kernels.ts'
import { float32Wgsl } from '../../../src/backends/webgpu/float32_wgsl.ts'
import type { KernelTexts } from '../../../src/backends/webgpu/webgpu_backend.ts'
import type { KernelName } from '../../../src/ops/catalog.ts'
import { agreementLaws } from '../../../src/verify/ops/agreement.ts'
import type { BackendLaw } from '../../../src/verify/ops/law.ts'
import { verdict } from '../../harness/mutate.ts'
import { withWebGpu } from './device.ts'

/** A bug: in the kernel of an op, or in the functions that all kernels call. */
export interface Plant {
  readonly op: KernelName
  /** Where: in the op's kernel by default. */
  readonly in?: 'library'
  readonly from: string
  readonly to: string
  /** What finds it: by default random sizes and data. */
  readonly law?: BackendLaw
}

const lawOf = ({ op, law = agreementLaws(op)[1] }: Plant): BackendLaw => law

/** The kernels with a bug. @throws Error if the text to be replaced is not there */
function plant({ op, in: place, from, to }: Plant): KernelTexts {
  if (place === 'library') return { kernels: exactKernels, library: replaced(float32Wgsl, from, to) }
  const { passes, ...kernel } = exactKernels[op]
  const found = Object.entries(passes).filter(([, text]) => text.includes(from))
  expect(found, `${op} has "${from}"`).not.toEqual([])
  const broken = Object.fromEntries(found.map(([pass, text]) => [pass, replaced(text, from, to)]))
  return {
    kernels: { ...exactKernels, [op]: { ...kernel, passes: { ...passes, ...broken } } },
    library: float32Wgsl,
  }
}

function replaced(text: string, from: string, to: string): string {
  expect(text).toContain(from)
  return text.replaceAll(from, to)
}

/** States that each bug is found, by numbers that differ and not by a shader that is refused. */
export function statePlants(plants: Readonly<Record<string, Plant>>): void {
  for (const [name, one] of Object.entries(plants))
    withWebGpu(
      `${name}: found`,
      async (backend) => {
        const why = await verdict(lawOf(one), backend)
        expect(why).toMatch(/expected/)
        expect(why).not.toMatch(/backend webgpu/)
      },
      {},
      () => plant(one),
    )
  test('there are at least twenty', () => expect(Object.keys(plants).length).toBeGreaterThanOrEqual(20))
}

/**
 * Tests on the WebGPU adapter of this machine, which are visible skips where there is none.
 */
import { expect, test } from 'vitest'
import type { GpuOptions } from '../../../src/backends/webgpu/gpu_device.ts'
import {
  WebGpuBackend,
  type KernelTexts,
  type WebGpuName,
} from '../../../src/backends/webgpu/webgpu_backend.ts'
import { MissingError } from '../../../src/tensor/errors.ts'

const isDemanded = (process.env.SHADOWLLM_BACKENDS ?? '').split(',').includes('webgpu')

/** Why there is no adapter; null if there is one. */
export const whyNoAdapter: string | null = await WebGpuBackend.create().then(
  (backend) => {
    backend.dispose()
    return null
  },
  (error: unknown) => {
    if (!(error instanceof MissingError) || isDemanded) throw error
    return error.message
  },
)

/** A test of a backend of its own, which must hold no buffer at the end. @param texts other kernels than the exact ones */
export function withWebGpu(
  name: string,
  check: (backend: WebGpuBackend) => void | Promise<void>,
  { set = 'webgpu', ...options }: GpuOptions & { readonly set?: WebGpuName } = {},
  texts?: () => KernelTexts,
): void {
  if (whyNoAdapter !== null) return test.skip(`${name}: ${whyNoAdapter}`, () => {})
  test(name, async () => {
    const backend = await WebGpuBackend.create(set, options, texts?.())
    try {
      await check(backend)
      expect(backend.liveBuffers, 'buffers left behind').toBe(0)
    } finally {
      backend.dispose()
    }
  })
}

/**
 * The other thread of that page: compares WebGPU with the definitions, and answers with what it found.
 */
import { findParity, type ParityFound } from './parity.ts'
import { createBackend } from '../../../src/backends/select.ts'
import { exactKernels } from '../../../src/backends/webgpu/exact_kernels.ts'
import { float32Wgsl } from '../../../src/backends/webgpu/float32_wgsl.ts'
import { WebGpuBackend } from '../../../src/backends/webgpu/webgpu_backend.ts'
import type { Family } from '../../../src/engine/config.ts'
import { listenAsThread } from '../../../src/platform/platform.ts'
import { wordsOf } from './words_of.ts'

/** What it is told to compare: WebGPU with the exact kernels, whatever the adapter is like, or with those that it gets. */
export interface ParityTask {
  readonly kernels: 'exact' | 'own'
  readonly families: readonly Family[]
  readonly seed: number
}

/** What it says: what it found, or what ended it. */
export type ParityAnswer = ParityFound | { error: string }

const answer = listenAsThread((task) => {
  const say = (words: ParityAnswer): void => answer?.(words)
  run(task as ParityTask).then(say, (error: unknown) => say({ error: wordsOf(error) }))
})

async function run({ kernels, families, seed }: ParityTask): Promise<ParityFound> {
  const own = kernels === 'own' ? undefined : { kernels: exactKernels, library: float32Wgsl }
  const backend = await WebGpuBackend.create('webgpu', {}, own)
  const reference = await createBackend('reference')
  try {
    return await findParity(backend, reference, families, seed)
  } finally {
    backend.dispose()
    reference.dispose()
  }
}

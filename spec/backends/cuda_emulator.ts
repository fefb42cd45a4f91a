/**
 * Emulators built for a law: with a bug planted in the kernels or in the emulator itself, opened as a backend.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildEmulator, type EmulatorBuild } from '../../scripts/cuda/emulator.ts'
import { CudaBackend } from '../../src/backends/cuda/cuda_backend.ts'

/** Builds an emulator, opens it, lends the backend, and removes everything. @throws what opening or `work` throws */
export async function withEmulator(
  build: Omit<EmulatorBuild, 'output'>,
  work: (backend: CudaBackend) => void | Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-emulator-'))
  try {
    const output = join(folder, 'emulator.so')
    await buildEmulator({ ...build, output })
    const backend = await CudaBackend.emulatedBy(output)
    try {
      await work(backend)
    } finally {
      backend.dispose()
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

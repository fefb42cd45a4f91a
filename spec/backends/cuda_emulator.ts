/**
 * Emulators built for a law: with a bug planted in the kernels or in the emulator itself, opened as a backend.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildEmulator, type EmulatorBuild } from '../../scripts/cuda/emulator.ts'
import { CudaBackend, type EmulatedName } from '../../src/backends/cuda/cuda_backend.ts'

/** Builds an emulator, opens it as the backend of the set of its kernels, lends the backend, and removes everything. @throws what opening or `work` throws */
export async function withEmulator(
  build: Omit<EmulatorBuild, 'output'>,
  work: (backend: CudaBackend) => void | Promise<void>,
): Promise<void> {
  const name: EmulatedName = build.part?.set === 'fast' ? 'cuda-fast-emulated' : 'cuda-emulated'
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-emulator-'))
  try {
    const output = join(folder, 'emulator.so')
    await buildEmulator({ ...build, output })
    const backend = await CudaBackend.emulatedBy(output, name)
    try {
      await work(backend)
    } finally {
      backend.dispose()
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

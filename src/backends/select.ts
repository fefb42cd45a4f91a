/**
 * Starts backends by name; the only file that names the concrete ones. A backend is loaded when it is started.
 */
import { UsageError } from '../tensor/errors.ts'
import { backendNames, type Backend, type BackendName, type BackendOptions } from './backend.ts'

export { allowWide, wideReport, type WideReport } from './wide.ts'

/**
 * Starts a backend.
 * @throws UsageError BACKEND_NAME for an unknown name, THREADS for a number of threads that it cannot have; MissingError
 *   BACKEND_MISSING if this runtime cannot run it, THREADS_MISSING if threads cannot share memory here, CUDA_DRIVER or
 *   CUDA_DEVICE if CUDA kernels cannot run here. There is no silent fallback to another one.
 */
export async function createBackend(name: BackendName, options: BackendOptions = {}): Promise<Backend> {
  switch (name) {
    case 'reference': {
      const { ReferenceBackend } = await import('./reference.ts')
      return ReferenceBackend.create(options)
    }
    case 'wasm':
    case 'wasm-relaxed':
    case 'wasm-rust': {
      const { WasmBackend } = await import('./wasm/wasm_backend.ts')
      return WasmBackend.create({ ...options, build: name })
    }
    case 'cuda':
    case 'cuda-fast':
    case 'cuda-emulated':
    case 'cuda-fast-emulated': {
      const { CudaBackend } = await import('./cuda/cuda_backend.ts')
      return CudaBackend.create(name, options)
    }
    default:
      throw new UsageError(
        'BACKEND_NAME',
        `backend: expected one of ${backendNames.join(', ')}, got ${String(name)}`,
      )
  }
}

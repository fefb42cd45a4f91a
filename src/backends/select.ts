/**
 * Where backends are chosen by name; the only place that knows the concrete ones.
 */
import { UsageError } from '../tensor/errors.ts'
import type { Backend, BackendName, BackendOptions } from './backend.ts'
import { CudaBackend, isCudaName } from './cuda/cuda_backend.ts'
import { checkOneThread } from './door.ts'
import { ReferenceBackend } from './reference.ts'
import { WasmBackend } from './wasm/wasm_backend.ts'

/** Every backend a user can name. */
export const backendNames: readonly BackendName[] = [
  'reference',
  'wasm',
  'wasm-relaxed',
  'wasm-rust',
  'cuda',
  'cuda-fast',
  'cuda-emulated',
  'cuda-fast-emulated',
]

/**
 * Starts a backend.
 * @throws UsageError BACKEND_NAME for an unknown name, THREADS for a number of threads that it cannot have; MissingError
 *   BACKEND_MISSING if this runtime cannot run it, THREADS_MISSING if threads cannot share memory here, CUDA_DRIVER or
 *   CUDA_DEVICE if there is nothing that runs CUDA kernels. There is no silent fallback to another one.
 */
export async function createBackend(name: BackendName, options: BackendOptions = {}): Promise<Backend> {
  if (name === 'reference') return createReference(options)
  if (name === 'wasm' || name === 'wasm-relaxed' || name === 'wasm-rust')
    return WasmBackend.create({ ...options, build: name })
  if (isCudaName(name)) return CudaBackend.create(name, options)
  throw new UsageError(
    'BACKEND_NAME',
    `backend: expected one of ${backendNames.join(', ')}, got ${String(name)}`,
  )
}

function createReference(options: BackendOptions): ReferenceBackend {
  checkOneThread('reference', options)
  return new ReferenceBackend()
}

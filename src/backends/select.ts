/**
 * Starts backends by name; the only file that names the concrete ones. A backend is loaded when it is started.
 */
import { allowJoining, canJoinVectors, mayJoinVectors } from '../platform/platform.ts'
import { UsageError } from '../tensor/errors.ts'
import { expectOption, kinds } from '../tensor/option.ts'
import { backendNames, type Backend, type BackendName, type BackendOptions } from './backend.ts'

/**
 * Starts a backend: what holds arrays and computes the ops on them, for `LanguageModel.load`, `openPredictor` and laws. Dispose it.
 * @param name which kernels, such as `wasm` or `reference`
 * @throws UsageError BACKEND_NAME for an unknown name, THREADS for a number of threads that it cannot have; MissingError
 *   BACKEND_MISSING if this runtime cannot run it, THREADS_MISSING if threads cannot share memory here, CUDA_DRIVER or
 *   CUDA_DEVICE if CUDA kernels cannot run here, GPU_MISSING without a WebGPU adapter. There is no silent fallback to another one.
 * @example
 * ```ts
 * import { createBackend } from 'shadowllm/backends'
 *
 * const backend = await createBackend('wasm')
 * const a = backend.upload(Float32Array.of(1, 2))
 * const y = backend.allocate('f32', [2])
 * backend.ops.add(y, a, a)
 * console.log(backend.readF32(y)) // 2, 4
 * backend.dispose()
 * ```
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
    case 'webgpu':
    case 'webgpu-fast': {
      const { WebGpuBackend } = await import('./webgpu/webgpu_backend.ts')
      return WebGpuBackend.create(name, options)
    }
    default:
      throw new UsageError(
        'BACKEND_NAME',
        `backend: expected one of ${backendNames.join(', ')}, got ${String(name)}`,
      )
  }
}

/**
 * Lets backends `wasm` that start from now on, in this thread and in those that it starts, use vectors of 32 bytes: kernels are
 * faster, with the same bits. Each kernel is tried at its first call, while a flag of V8 is set in the whole process; a kernel that
 * gives other bits is not used. Only Node 24 on x64 with AVX2 has them; elsewhere nothing changes. Not allowed at first.
 * @param allowed false: backends that start from now on use vectors of 16 bytes alone
 * @throws UsageError OPTION_TYPE
 */
export function allowWide(allowed: boolean): void {
  expectOption('allowed', allowed, kinds.flag)
  allowJoining(allowed)
}

/** Whether the backend `wasm` computes with vectors of 32 bytes here. */
export interface WideReport {
  readonly used: boolean
  /** Why it does not, by the name of a kernel if one is wrong; null if it does. */
  readonly reason: string | null
}

/** Tries every kernel that has wide tiles, where vectors may be joined; a tenth of a second. */
export async function tryWide(): Promise<WideReport> {
  const { loadWide } = await import('./wasm/wasm_backend.ts')
  const trial = await loadWide(false)
  if (trial === null) {
    const reason = canJoinVectors() && !mayJoinVectors() ? 'turned off' : 'this runtime does not join vectors'
    return { used: false, reason }
  }
  const reason = trial.tryAll()
  return { used: reason === null, reason }
}

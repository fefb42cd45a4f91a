/**
 * The file of each backend's kernels, whose hash a certificate holds. A certificate is checked without starting the backend,
 * which may need a device.
 */
import { probeWasm } from '../platform/wasm_features.ts'
import type { BackendName } from './backend.ts'

/** One module has every set of kernels. */
const cudaModule = new URL('cuda/kernels.ptx', import.meta.url)

/** Files by backend; null where the kernels are the definitions themselves. */
const files: Readonly<Record<BackendName, URL | null>> = {
  reference: null,
  wasm: probeWasm().relaxedSimd
    ? new URL('wasm/kernels_bytes.wasm', import.meta.url)
    : new URL('wasm/kernels.wasm', import.meta.url),
  'wasm-relaxed': new URL('wasm/kernels_relaxed.wasm', import.meta.url),
  'wasm-rust': new URL('wasm/kernels_rust.wasm', import.meta.url),
  cuda: cudaModule,
  'cuda-fast': cudaModule,
  // The emulator runs the sources of this module, and refuses the module of others.
  'cuda-emulated': cudaModule,
  'cuda-fast-emulated': cudaModule,
}

/** The file of a backend's kernels; null if they are the definitions. */
export function kernelFile(name: BackendName): URL | null {
  return files[name]
}

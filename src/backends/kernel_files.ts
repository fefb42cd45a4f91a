/**
 * The committed kernels, as bytes.
 *
 * Here they are files in the folders of their backends. In the published package they are text in modules of their own
 * (scripts/package/build.ts writes those, and has each line of the table below ask for one): a bundler takes modules along
 * wherever it puts code, which not every bundler does with files.
 */
import { readFile } from '../platform/platform.ts'
import { probeWasm } from '../platform/wasm_features.ts'
import type { BackendName } from './backend.ts'

/** The names of the backends whose kernels are WebAssembly. */
export type WasmName = 'wasm' | 'wasm-relaxed' | 'wasm-rust'

/**
 * The names of their modules: `wasm-bytes` is `wasm` with the relaxed instruction for products of bytes, and the same bits;
 * `wasm-wide` is that with tiles for vectors of 32 bytes (wide.ts).
 */
export type WasmModuleName = WasmName | 'wasm-bytes' | 'wasm-wide'

/** What reads each of them. That of CUDA has every set of its kernels: PTX, which the driver compiles for the device it finds. */
export const kernelFiles: Readonly<Record<WasmModuleName | 'cuda', () => Promise<Uint8Array<ArrayBuffer>>>> =
  {
    wasm: () => readFile(new URL('wasm/kernels.wasm', import.meta.url)),
    'wasm-bytes': () => readFile(new URL('wasm/kernels_bytes.wasm', import.meta.url)),
    'wasm-wide': () => readFile(new URL('wasm/kernels_wide.wasm', import.meta.url)),
    'wasm-relaxed': () => readFile(new URL('wasm/kernels_relaxed.wasm', import.meta.url)),
    'wasm-rust': () => readFile(new URL('wasm/kernels_rust.wasm', import.meta.url)),
    cuda: () => readFile(new URL('cuda/kernels.ptx', import.meta.url)),
  }

/** The sources, under src/, that write the kernels of backends without a file of them. */
export const kernelSources: Partial<Record<BackendName, string>> = {
  webgpu: 'backends/webgpu',
  'webgpu-fast': 'backends/webgpu',
}

/** Which of the files a backend has; null where its kernels are the definitions themselves, or are written by sources. */
const fileOf: Readonly<Record<BackendName, keyof typeof kernelFiles | null>> = {
  reference: null,
  wasm: probeWasm().relaxedSimd ? 'wasm-bytes' : 'wasm',
  'wasm-relaxed': 'wasm-relaxed',
  'wasm-rust': 'wasm-rust',
  cuda: 'cuda',
  'cuda-fast': 'cuda',
  // The emulator runs the sources of this module, and refuses the module of others.
  'cuda-emulated': 'cuda',
  'cuda-fast-emulated': 'cuda',
  webgpu: null,
  'webgpu-fast': null,
}

/** A backend's kernels, without starting it, which may need a device; null if they are no file. */
export async function readKernels(name: BackendName): Promise<Uint8Array<ArrayBuffer> | null> {
  const file = fileOf[name]
  return file === null ? null : kernelFiles[file]()
}

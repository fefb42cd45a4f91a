/**
 * The committed modules of the kernels, as bytes.
 *
 * Here they are files beside this one. In the published package they are text in modules of their own (scripts/build.ts
 * writes those, and has each line of the table below ask for one): a bundler takes modules along wherever it puts code,
 * which not every bundler does with files.
 */
import { readFile } from '../../platform/platform.ts'

/** The names of the backends whose kernels are WebAssembly. */
export type WasmName = 'wasm' | 'wasm-relaxed' | 'wasm-rust'

/** The names of the modules: `wasm-bytes` is `wasm` with the relaxed instruction for products of bytes, and the same bits. */
export type ModuleName = WasmName | 'wasm-bytes'

/** What reads each of them. */
export const binaries: Readonly<Record<ModuleName, () => Promise<Uint8Array<ArrayBuffer>>>> = {
  wasm: () => readFile(new URL('kernels.wasm', import.meta.url)),
  'wasm-bytes': () => readFile(new URL('kernels_bytes.wasm', import.meta.url)),
  'wasm-relaxed': () => readFile(new URL('kernels_relaxed.wasm', import.meta.url)),
  'wasm-rust': () => readFile(new URL('kernels_rust.wasm', import.meta.url)),
}

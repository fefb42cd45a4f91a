/**
 * What a module that wasm-pack made of the Rust kernels has to do: take what its rows list, and keep the bits of some ops.
 */
import { WasmBackend } from '../../../src/backends/wasm/wasm_backend.ts'
import type { KernelName } from '../../../src/ops/catalog.ts'
import { takesWhatRowsList } from './module_laws.ts'
import { smallSizes } from './mutant_laws.ts'

/** Ops whose kernels are in their scratch, and one whose is not. */
const some: readonly KernelName[] = [
  'linear',
  'linear_i8',
  'linear_i4',
  'attention',
  'softmax',
  'top_k',
  'relu',
]

/** @throws Error of the law that the module breaks */
export async function keepsTheBits(module: WebAssembly.Module): Promise<void> {
  takesWhatRowsList(module)
  const backend = new WasmBackend(module, undefined, 'wasm-rust')
  for (const name of some) await smallSizes(name)(backend)
  backend.dispose()
}

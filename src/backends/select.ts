/**
 * Where backends are chosen by name; the only place that knows the concrete ones.
 */
import { UsageError } from '../tensor/errors.ts'
import type { Backend, BackendName } from './backend.ts'
import { ReferenceBackend } from './reference.ts'
import { WasmBackend } from './wasm/wasm_backend.ts'

/** Every backend a user can name. */
export const backendNames: readonly BackendName[] = ['reference', 'wasm']

/**
 * Starts a backend.
 * @throws UsageError BACKEND_NAME for an unknown name; MissingError BACKEND_MISSING if this runtime cannot run it.
 *   There is no silent fallback to another one.
 */
export async function createBackend(name: BackendName): Promise<Backend> {
  if (name === 'reference') return new ReferenceBackend()
  if (name === 'wasm') return WasmBackend.create()
  throw new UsageError(
    'BACKEND_NAME',
    `backend: expected one of ${backendNames.join(', ')}, got ${String(name)}`,
  )
}

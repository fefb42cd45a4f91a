/**
 * The backends that must give the bits of the reference. Others must keep the bounds of the catalogue, and every law that
 * compares a backend with itself, because their kernels are deterministic.
 */
import { backendNames, type BackendName } from '../../src/backends/backend.ts'
import { owesBits } from '../../src/testing/op_agreement.ts'

export { owesBits }

/** The backends that need nothing but the runtime. Those for CUDA are where a driver or the emulator is. */
export const portableNames: readonly BackendName[] = backendNames.filter((name) => !name.startsWith('cuda'))

/** The portable backends that owe the bits of the reference. */
export const strictNames: readonly BackendName[] = portableNames.filter((name) => owesBits({ name }))

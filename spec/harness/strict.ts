/**
 * Which backends owe the bits of the reference. The relaxed one owes the bounds of the catalogue instead, and every law
 * that compares it with itself: its kernels are deterministic.
 */
import type { BackendName } from '../../src/backends/backend.ts'
import { backendNames } from '../../src/backends/select.ts'
import { owesBits } from '../../src/testing/op_agreement.ts'

export { owesBits }

/** The backends that need nothing but the runtime. Those for CUDA are where a driver or the emulator is. */
export const portableNames: readonly BackendName[] = backendNames.filter((name) => !name.startsWith('cuda'))

/** The portable backends that owe the bits of the reference. */
export const strictNames: readonly BackendName[] = portableNames.filter((name) => owesBits({ name }))

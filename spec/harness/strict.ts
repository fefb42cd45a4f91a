/**
 * Which backends owe the bits of the reference. The relaxed one owes the bounds of the catalogue instead, and every law
 * that compares it with itself: its kernels are deterministic.
 */
import type { BackendName } from '../../src/backends/backend.ts'
import { backendNames } from '../../src/backends/select.ts'
import { owesBits } from '../../src/eval/parity/op_agreement.ts'

export { owesBits }

/** The backends that do. */
export const strictNames: readonly BackendName[] = backendNames.filter((name) => owesBits({ name }))

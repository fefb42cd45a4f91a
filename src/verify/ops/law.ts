/**
 * Laws of a backend: what every page of this folder states. A predicate calls ops and compares numbers; it does not wait.
 */
import type { Backend } from '../../backends/backend.ts'
import { lawAlways, lawForAll, type Law, type LawForAll } from '../law.ts'

/** A law that a backend keeps or breaks. */
export type BackendLaw = Law<Backend>

/** A law without random arguments. */
export const always: (sentence: string, check: (backend: Backend) => void) => BackendLaw = lawAlways

/** A law for all arguments drawn from the arbitraries. */
export const forAll: LawForAll<Backend> = lawForAll

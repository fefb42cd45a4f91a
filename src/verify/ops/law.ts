/**
 * Laws of a backend: what every page of this folder states. A predicate calls ops and compares numbers; it does not wait.
 */
import type { Backend } from '../../backends/backend.ts'
import { lawAlways, lawForAll, type Arbitraries, type Law, type Trying, type Verdict } from '../law.ts'

/** A law that a backend keeps or breaks. */
export type BackendLaw = Law<Backend>

/** A law without random arguments. */
export function always(sentence: string, check: (backend: Backend) => void): BackendLaw {
  return lawAlways(sentence, check)
}

/** A law for all arguments drawn from the arbitraries. */
export function forAll<Args extends [unknown, ...unknown[]]>(
  sentence: string,
  arbitraries: Arbitraries<Args>,
  predicate: (backend: Backend, ...args: Args) => Verdict,
  trying: Trying<Args> = {},
): BackendLaw {
  return lawForAll(sentence, arbitraries, predicate, trying)
}

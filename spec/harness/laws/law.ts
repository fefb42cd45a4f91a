/**
 * What a law over backends is: a sentence, and a check that one backend keeps it.
 *
 * The chapters of spec/ state laws over every backend; the mutants run the same checks on backends with a planted bug
 * and expect them to fail. So a law lives here, in a file both can import, and not in the chapter.
 */
import { test } from 'vitest'
import type { Backend } from '../../../src/backends/backend.ts'
import { overBackends } from '../backends.ts'
import { checkLaw, type Arbitraries, type LawOptions } from '../seed.ts'

export interface BackendLaw {
  readonly sentence: string
  /**
   * Throws, or rejects, if the backend breaks the law.
   * @param record whether a counterexample may be written to fixtures/regressions; default: unless CI is set
   */
  readonly check: (backend: Backend, record?: boolean) => void | Promise<void>
}

/** A law without random arguments. */
export function always(sentence: string, check: (backend: Backend) => void): BackendLaw {
  return { sentence, check }
}

/** A law for all arguments drawn from the arbitraries. */
export function forAll<Args extends [unknown, ...unknown[]]>(
  sentence: string,
  arbitraries: Arbitraries<Args>,
  predicate: (backend: Backend, ...args: Args) => boolean | void,
  options: LawOptions<Args> = {},
): BackendLaw {
  return {
    sentence,
    check: (backend, record) =>
      checkLaw(sentence, arbitraries, (...args: Args) => predicate(backend, ...args), { ...options, record }),
  }
}

/** States laws, one test each, over every backend, or those it is told. */
export function stateLaws(
  laws: Iterable<BackendLaw> | Readonly<Record<string, BackendLaw>>,
  over: typeof overBackends = overBackends,
): void {
  const list = Symbol.iterator in laws ? [...(laws as Iterable<BackendLaw>)] : Object.values(laws)
  over((backend) => {
    for (const { sentence, check } of list) test(sentence, async () => void (await check(backend)))
  })
}

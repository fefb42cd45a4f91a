/**
 * Tries a law: on its examples, then on cases drawn from a seed. A case that breaks it is shrunk, for some seconds at most.
 *
 * The test runner, the command line and a page all use it, so that one seed draws the same cases in each. The drawn cases
 * depend on the arbitraries and the seed only.
 */
import fc from 'fast-check'
import { now } from '../platform/platform.ts'
import type { Verdict } from './law.ts'

/** A case of many numbers may shrink for hours, by ever less: the search ends after so many milliseconds. */
const SHRINK_FOR = 10_000

/** A law's parts and how it is tried. */
export interface Trial {
  readonly arbitraries: readonly fc.Arbitrary<unknown>[]
  readonly predicate: (...args: unknown[]) => Verdict | Promise<Verdict>
  /** A 32-bit signed integer. */
  readonly seed: number
  /** How many cases, examples included. */
  readonly runs: number
  readonly examples?: readonly (readonly unknown[])[]
  /** Called with each case before it is tried, until one breaks the law; not with those that shrinking makes. */
  readonly onCase?: (args: readonly unknown[]) => void
  /** Awaited before every case. `false` ends the trial there. */
  readonly goOn?: () => boolean | Promise<boolean>
  /** How many milliseconds the case that breaks the law is shrunk; default: 10,000. With 0 it stays as it was drawn. */
  readonly shrinkFor?: number
}

/** The result of a trial. */
export interface Outcome {
  /** Whether the trial was ended before all cases were tried, and none had broken the law. */
  readonly interrupted: boolean
  /** Cases that were tried: all, or those up to the one that broke the law. */
  readonly runs: number
  /** What broke the law; null if nothing did. */
  readonly failure: Failure | null
}

/** How a law was broken. */
export interface Failure {
  /** The smallest case found that breaks it, or the drawn one without shrinking; null if the law has no arguments. */
  readonly counterexample: readonly unknown[] | null
  /** fast-check's path to that case from the seed; null if the law has no arguments. */
  readonly path: string | null
  /** What the predicate threw; an error that says so if it returned false. */
  readonly error: unknown
  /** All of it in words, with the seed. */
  readonly report: string
}

/** Tries a law. A broken law is a failure in the outcome and no error. */
export async function tryCases(trial: Trial): Promise<Outcome> {
  return trial.arbitraries.length === 0 ? tryOnce(trial) : tryDrawn(trial)
}

async function tryOnce({ predicate, goOn }: Trial): Promise<Outcome> {
  if ((await goOn?.()) === false) return { interrupted: true, runs: 0, failure: null }
  try {
    if ((await predicate()) === false) throw new Error('the law returned false')
    return { interrupted: false, runs: 1, failure: null }
  } catch (error) {
    const report = error instanceof Error ? error.message : String(error)
    return { interrupted: false, runs: 1, failure: { counterexample: null, path: null, error, report } }
  }
}

async function tryDrawn(trial: Trial): Promise<Outcome> {
  const { arbitraries, predicate, seed, runs, examples, onCase, goOn, shrinkFor = SHRINK_FOR } = trial
  let brokenAt: number | null = null
  const drawn = arbitraries as [fc.Arbitrary<unknown>, ...fc.Arbitrary<unknown>[]]
  const property = fc.asyncProperty(...drawn, async (...args: unknown[]) => {
    const isOver = brokenAt !== null && now() - brokenAt > shrinkFor
    if (isOver || (await goOn?.()) === false) throw new fc.PreconditionFailure(true)
    if (brokenAt === null) onCase?.(args)
    try {
      // Only `false` breaks the law: an assertion library may return anything from a check that passed.
      if ((await predicate(...args)) !== false) return true
    } catch (error) {
      if (!fc.PreconditionFailure.isFailure(error)) brokenAt ??= now()
      throw error
    }
    brokenAt ??= now()
    return false
  })
  const tried = (examples ?? []) as [unknown, ...unknown[]][]
  const details = await fc.check(property, {
    seed,
    numRuns: runs,
    examples: tried,
    endOnFailure: shrinkFor === 0,
  })
  const { counterexample, counterexamplePath: path, numRuns, interrupted } = details
  if (counterexample === null && interrupted) return { interrupted: true, runs: numRuns, failure: null }
  if (!details.failed) return { interrupted: false, runs: numRuns, failure: null }
  const report = fc.defaultReportMessage(details) ?? 'the property failed'
  return {
    interrupted: false,
    runs: numRuns,
    failure: { counterexample, path, error: details.errorInstance, report },
  }
}

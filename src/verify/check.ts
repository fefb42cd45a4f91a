/**
 * Tries a law: on its examples, then on cases drawn from a seed. A case that breaks it is shrunk, for some seconds at most.
 *
 * The test runner, the command line and a page all use it, so that one seed draws the same cases in each. The drawn cases
 * depend on the arbitraries and the seed only.
 */
import fc from 'fast-check'
import { pause } from '../platform/pause.ts'
import { now } from '../platform/platform.ts'
import { describeCase, type Sides } from './describe_case.ts'
import type { Case, Law, Verdict } from './law.ts'

/** A case of many numbers may shrink for hours, by ever less: the search ends after so many milliseconds. */
const SHRINK_FOR = 10_000

/** A law's parts and how it is tried. */
export interface Trial extends Pick<Law<never>, 'arbitraries'> {
  readonly predicate: (args: Case) => Verdict | Promise<Verdict>
  /** A 32-bit signed integer. */
  readonly seed: number
  /** How many cases, examples included. */
  readonly runs: number
  readonly examples?: readonly Case[]
  /** Called with each case before it is tried, until one breaks the law; not with those that shrinking makes. */
  readonly onCase?: (args: Case) => void
  /** Awaited before every case. `false` ends the trial there. */
  readonly goOn?: () => boolean | Promise<boolean>
  /** How many milliseconds the case that breaks the law is shrunk; default: 10,000. With 0 it stays as it was drawn. */
  readonly shrinkFor?: number
  /** What the report says instead of "expected" and "got". */
  readonly sides?: Sides
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
  readonly counterexample: Case | null
  /** fast-check's path to that case from the seed; null if the law has no arguments. */
  readonly path: string | null
  /** What the predicate threw; an error that says so if it returned false. */
  readonly error: unknown
  /** All of it in words, without the sentence of the law (describe_case.ts). */
  readonly report: string
}

/** Other events run after this many milliseconds. */
const PAUSE_AFTER = 30

/** A trial's `goOn`, which ends the trial once the signal is aborted, and lets other events run from time to time. */
export function pausing(signal: AbortSignal | undefined): () => Promise<boolean> {
  let last = now()
  return async () => {
    if (now() - last > PAUSE_AFTER) {
      await pause()
      last = now()
    }
    return signal?.aborted !== true
  }
}

/** Tries a law. A broken law is a failure in the outcome and no error. */
export async function tryCases(trial: Trial): Promise<Outcome> {
  return Object.keys(trial.arbitraries).length === 0 ? tryOnce(trial) : tryDrawn(trial)
}

async function tryOnce({ predicate, goOn, sides }: Trial): Promise<Outcome> {
  if ((await goOn?.()) === false) return { interrupted: true, runs: 0, failure: null }
  try {
    if ((await predicate({})) === false) throw new Error(RETURNED_FALSE)
    return { interrupted: false, runs: 1, failure: null }
  } catch (error) {
    const report = describeCase({ error, sides })
    return { interrupted: false, runs: 1, failure: { counterexample: null, path: null, error, report } }
  }
}

const RETURNED_FALSE = 'the law returned false'

async function tryDrawn(trial: Trial): Promise<Outcome> {
  const { arbitraries, predicate, seed, runs, examples = [], onCase, goOn, sides } = trial
  const { shrinkFor = SHRINK_FOR } = trial
  const names = Object.keys(arbitraries)
  const drawn = Object.values(arbitraries) as [fc.Arbitrary<unknown>, ...fc.Arbitrary<unknown>[]]
  let brokenAt: number | null = null
  let broken: { readonly counterexample: Case; readonly error: unknown } | null = null
  const property = fc.asyncProperty(...drawn, async (...values: unknown[]) => {
    const isOver = brokenAt !== null && now() - brokenAt > shrinkFor
    if (isOver || (await goOn?.()) === false) throw new fc.PreconditionFailure(true)
    const args = Object.fromEntries(names.map((name, i) => [name, values[i]]))
    if (brokenAt === null) onCase?.(args)
    try {
      // Only `false` breaks the law: an assertion library may return anything from a check that passed.
      if ((await predicate(args)) === false) throw new Error(RETURNED_FALSE)
      return true
    } catch (error) {
      if (!fc.PreconditionFailure.isFailure(error)) {
        brokenAt ??= now()
        broken = { counterexample: args, error }
      }
      throw error
    }
  })
  const details = await fc.check(property, {
    seed,
    numRuns: runs,
    examples: examples.map((example) => valuesOf(example, names)),
    endOnFailure: shrinkFor === 0,
  })
  const { counterexamplePath: path, numRuns, interrupted } = details
  if (broken === null && interrupted) return { interrupted: true, runs: numRuns, failure: null }
  if (!details.failed) return { interrupted: false, runs: numRuns, failure: null }
  // Without a case, the arguments were refused too often.
  const { counterexample, error } = broken ?? {
    counterexample: null,
    error: new Error(fc.defaultReportMessage(details)),
  }
  const failure: Failure = {
    counterexample: counterexample && fresh(counterexample),
    path,
    error,
    // Who looks for any case that breaks a law needs no words.
    get report() {
      return describeCase({ counterexample, error, seed, path, sides })
    },
  }
  return { interrupted: false, runs: numRuns, failure }
}

/** The arguments of a case, with data that deals from its start again. */
function fresh(args: Case): Case {
  return Object.fromEntries(Object.entries(args).map(([name, value]) => [name, fc.cloneIfNeeded(value)]))
}

/** The arguments of an example in their order. @throws Error for other names than those of the law */
function valuesOf(example: Case, names: readonly string[]): [unknown, ...unknown[]] {
  const given = Object.keys(example)
  if (given.toSorted().join() !== names.toSorted().join())
    throw new Error(`example: expected ${names.join(', ')}, got ${given.join(', ')}`)
  const args = fresh(example)
  return names.map((name) => args[name]) as [unknown, ...unknown[]]
}

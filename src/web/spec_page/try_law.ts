/**
 * Tries a law between engine and specification, on the reference backend.
 *
 * The build makes a copy of this module for each planted bug, and a copy of the specification with the bug below it.
 */
import { createBackend } from '../../backends/select.ts'
import { LanguageModel } from '../../engine/language_model.ts'
import { pausing, tryCases, type Outcome } from '../../verify/check.ts'
import type { Sides } from '../../verify/describe_case.ts'
import { isTelling, namesOf, sizesInWords } from './case_words.ts'
import { engineLaws } from '../../verify/model/engine_laws.ts'

/** The outcome of a law: plain data, which another thread can receive. */
export interface LawResult {
  /** Cases that were tried. */
  readonly cases: number
  /** The smallest case found that breaks it; null if the law holds. */
  readonly broken: BrokenLaw | null
}

/** A case that breaks a law. */
interface BrokenLaw {
  /** The law. */
  readonly sentence: string
  /** The sizes of the case in words, and what its names mean. */
  readonly sizes: string
  readonly names: ReturnType<typeof namesOf>
  /** All of it: src/verify/describe_case.ts. */
  readonly report: string
}

/** A reader waits while a case is shrunk: so many milliseconds. */
const SHRINK_FOR = 3000

/** Laws compare the engine with the specification, which has the bug. */
const sides: Sides = { expected: 'with the bug', got: 'without it' }

/**
 * Tries a law of `engineLaws` on so many cases, drawn from a seed; null if the signal ended it.
 * @param isPlanted whether the specification has a bug
 */
export async function tryLaw(
  name: string,
  cases: number,
  seed: number,
  isPlanted: boolean,
  signal: AbortSignal,
): Promise<LawResult | null> {
  const law = engineLaws[name as keyof typeof engineLaws]
  const subject = { backend: await createBackend('reference'), load: LanguageModel.load }
  const tried = (passes: (error: unknown) => boolean): Promise<Outcome> =>
    tryCases({
      arbitraries: law.arbitraries,
      predicate: async (args) => {
        try {
          return await law.predicate(subject, args)
        } catch (error) {
          if (passes(error)) return true
          throw error
        }
      },
      seed,
      runs: cases,
      shrinkFor: SHRINK_FOR,
      sides: isPlanted ? sides : undefined,
      goOn: pausing(signal),
    })
  // A bug may differ as little as rounding does: a case that shows it is looked for first.
  let outcome = await tried((error) => isPlanted && !isTelling(error))
  if (isPlanted && outcome.failure === null && !outcome.interrupted) outcome = await tried(() => false)
  const { interrupted, runs, failure } = outcome
  if (interrupted) return null
  if (failure === null) return { cases: runs, broken: null }
  const { counterexample, report } = failure
  const args = counterexample ?? {}
  const broken = { sentence: law.sentence, sizes: sizesInWords(args), names: namesOf(args), report }
  return { cases: runs, broken }
}

/**
 * One seed for the whole run, and the ways to state a law as a test and to judge mutants by it.
 *
 * `law` states a law that depends on its arguments only. `lawForAll` makes a law of a subject: a sentence, arbitraries and a
 * predicate. `stateLaw` states it of the real subject, and `kills`, `killsEach` and `killsByLaw` judge mutants on the same arbitraries. They
 * refuse a law that no `stateLaw` of the file states.
 *
 *   SHADOWLLM_SEED=123 npm test     the same cases as the run that printed "seed 123"
 *   SHADOWLLM_RUNS=10 npm test      ten times as many cases per law (0.1: a tenth, at least one)
 *
 * A failing law writes its shrunk counterexample to fixtures/regressions, and that case is tried first from then on: commit the
 * file together with the fix. With CI set nothing is written, so that the checkout stays unchanged; the report has the seed and
 * the path, which replay the case anywhere.
 */
import fc from 'fast-check'
import { join, relative } from 'node:path'
import { expect, inject, test } from 'vitest'
import { tryCases, type Failure, type Trial } from '../../src/verify/check.ts'
import { CASES_PER_LAW, type Arbitraries, type Case, type Law, type Verdict } from '../../src/verify/law.ts'
import { readRegressions, regressionsFolder, slug, writeRegression } from './regressions.ts'

// What run.ts hands over.
declare module 'vitest' {
  interface ProvidedContext {
    seed: number
    runs: number
    temporaryFolder: string
  }
}

/** The seed of this run; seeded data outside properties starts from it too. */
export function runSeed(): number {
  return inject('seed')
}

/** `runs` scaled by SHADOWLLM_RUNS, at least one. */
export function scaledRuns(runs: number): number {
  return Math.max(1, Math.round(runs * inject('runs')))
}

/**
 * Called before each spec file. Every property gets the run's seed and number of cases, and every arbitrary can reach its
 * `maxLength`: by default fast-check draws about ten elements at most.
 */
export function configureProperties(): void {
  fc.configureGlobal({
    seed: runSeed(),
    numRuns: scaledRuns(CASES_PER_LAW),
    defaultSizeToMaxWhenMaxSpecified: true,
  })
  stated = new WeakSet()
}

/** A law holds for arguments if this neither throws nor returns false. */
export type Predicate<Args> = (args: Args) => Verdict | Promise<Verdict>

export { anyData } from '../../src/verify/drawn_data.ts'
export { lawAlways, lawForAll, lawOf, type Arbitraries, type Drawn, type Law } from '../../src/verify/law.ts'

/** How a law is stated here. */
export interface LawOptions<Args> {
  /** Cases to try instead of 100, before SHADOWLLM_RUNS scales them. */
  runs?: number
  /** Cases always tried, after the stored counterexamples. */
  examples?: Args[]
  /** Milliseconds before the test is given up. */
  timeout?: number
  /** Whether a counterexample is written; default: unless CI is set. */
  record?: boolean
  /** Folder of the stored counterexamples; default fixtures/regressions. */
  folder?: string
}

/**
 * States a law as a test of the file that calls it.
 *
 * Its counterexamples live in `fixtures/regressions/<spec file>.<name>.json`, so the same law stated over several
 * backends shares them.
 */
export function law<Args extends object>(
  name: string,
  arbitraries: Arbitraries<Args>,
  predicate: Predicate<Args>,
  options: LawOptions<Args> = {},
): void {
  test(name, { timeout: options.timeout }, async ({ task }) => {
    await checkLaw(nameInFile(task.file.name, name), arbitraries, predicate, options)
  })
}

/** The name under which the counterexamples of a law in a spec file are kept. */
function nameInFile(file: string, name: string): string {
  return `${file.replace(/^spec\//, '')} ${name}`
}

/** The arbitraries of the laws that the current spec file states. The files of a worker share this module. */
let stated = new WeakSet<Law<never>['arbitraries']>()

/** States a law of a subject as a test of the file that calls it. Mutants are judged by `kills` with the same law. */
export function stateLaw<Subject>(law: Law<Subject>, subject: Subject, timeout?: number): void {
  stated.add(law.arbitraries)
  test(law.sentence, { timeout }, async ({ task }) => {
    await checkOn(law, subject, { name: nameInFile(task.file.name, law.sentence) })
  })
}

/**
 * A mutant is judged on cases of this fixed seed, at most ten times as many as its law tries. A random seed could miss a mutant
 * in one run of many.
 */
const KILLING_SEED = 1
const CASES_PER_KILL = 10

/** The most cases that a mutant is judged on. SHADOWLLM_RUNS does not change it. */
export function killingRuns({ runs }: Law<never>): number {
  return CASES_PER_KILL * runs
}

/**
 * Shows that a law breaks on a mutant, on the law's own arbitraries.
 * @throws Error if no case breaks it, or if this file does not state the law
 */
export async function kills<Subject>(law: Law<Subject>, mutant: Subject): Promise<void> {
  if (!stated.has(law.arbitraries))
    throw new Error(
      `${law.sentence}: expected a law that stateLaw states in this file, got a law for mutants alone`,
    )
  const failure = await firstFailure(law, mutant, killingRuns(law))
  if (failure === null)
    throw new Error(`${law.sentence}: expected the mutant to break it, got a mutant that keeps it`)
}

/**
 * States that a law breaks on each mutant: a test a mutant.
 * @param title of a test, with %s for the name of its mutant
 */
export function killsEach<Subject>(
  title: string,
  law: Law<Subject>,
  mutants: Readonly<Record<string, NoInfer<Subject>>>,
): void {
  test.each(Object.entries(mutants))(title, (_, mutant) => kills(law, mutant))
}

/** States that each law breaks on the mutants under its name, a test a mutant, and that each law has one. */
export function killsByLaw<Name extends string, Subject>(
  laws: Readonly<Record<Name, Law<Subject>>>,
  mutants: Readonly<Record<NoInfer<Name>, Readonly<Record<string, NoInfer<Subject>>>>>,
): void {
  for (const name of Object.keys(laws) as Name[]) killsEach(`%s: breaks ${name}`, laws[name], mutants[name])
  test('every law is broken by a mutant', () => {
    for (const [name, some] of Object.entries<object>(mutants))
      expect(Object.keys(some), name).not.toEqual([])
  })
}

/** The first drawn case that breaks a law on a subject, not shrunk; null if none does. */
export async function firstFailure<Subject>(
  law: Law<Subject>,
  subject: Subject,
  runs = scaledRuns(law.runs),
): Promise<Failure | null> {
  const { arbitraries, examples } = law
  const predicate: Trial['predicate'] = (args) => law.predicate(subject, args)
  const trial = { arbitraries, predicate, seed: KILLING_SEED, runs, examples, shrinkFor: 0 }
  return (await tryCases(trial)).failure
}

/**
 * Checks a law, stored counterexamples first. `law` is this as a test.
 * @throws Error with the shrunk counterexample, the seed and the path if the law does not hold.
 */
export async function checkLaw<Args extends object>(
  name: string,
  arbitraries: Arbitraries<Args>,
  predicate: Predicate<Args>,
  options: LawOptions<Args> = {},
): Promise<void> {
  const file = join(options.folder ?? regressionsFolder, `${slug(name)}.json`)
  const { failure } = await tryCases({
    arbitraries: arbitraries as Trial['arbitraries'],
    predicate: predicate as Trial['predicate'],
    seed: runSeed(),
    runs: scaledRuns(options.runs ?? CASES_PER_LAW),
    examples: [...readRegressions(file), ...((options.examples ?? []) as Case[])],
  })
  if (failure === null) return
  const note = failure.counterexample && keep(file, name, failure.counterexample, options.record)
  throw new Error(`${name}\n${failure.report}\n${note ?? ''}`, { cause: failure.error })
}

/**
 * Checks a law on one subject. @param name default: its sentence
 * @throws what `checkLaw` throws; what the predicate of a law without arguments throws
 */
export async function checkOn<Subject>(
  { sentence, arbitraries, predicate, runs, examples }: Law<Subject>,
  subject: Subject,
  { name = sentence, ...options }: { name?: string; record?: boolean } = {},
): Promise<void> {
  if (Object.keys(arbitraries).length === 0) return void (await predicate(subject, {}))
  await checkLaw<Case>(name, arbitraries, (args) => predicate(subject, args), {
    runs,
    examples: [...examples],
    ...options,
  })
}

/** A law that tries a share of its cases. */
export function someOf<Subject>(law: Law<Subject>, share: number): Law<Subject> {
  return { ...law, runs: Math.ceil(law.runs * share) }
}

/** Stores a counterexample where that is wanted and possible; says what was done. */
function keep(file: string, name: string, counterexample: Case, record = !process.env.CI): string {
  if (!record) return 'The counterexample was not written down (CI is set, or the law asked for it).'
  try {
    writeRegression(file, name, counterexample)
    return `The counterexample is kept in ${relative(process.cwd(), file)} and will be tried first.`
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    return `The counterexample could not be kept: ${error.message}`
  }
}

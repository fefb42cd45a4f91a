/**
 * A law is data: a sentence, an arbitrary for each of its arguments, by name, and a predicate that a subject keeps or breaks.
 *
 * A subject is what is judged: a backend, a way to load models, a way to select masks. check.ts runs laws, in the test runner,
 * on the command line and in a page. A predicate fails by throwing or by returning false. All that is random in it comes from
 * its arguments, so that equal arguments are equal cases, and the report of a failure shows all of it.
 */
import type fc from 'fast-check'

/** The arbitraries of a law: one for each argument, in the order in which arguments are drawn, shrunk and shown. */
export type Arbitraries<Args> = { readonly [Name in keyof Args]: fc.Arbitrary<Args[Name]> }

/** The arguments that arbitraries draw. */
export type Drawn<Given extends Readonly<Record<string, fc.Arbitrary<unknown>>>> = {
  [Name in keyof Given]: Given[Name] extends fc.Arbitrary<infer Value> ? Value : never
}

/** Arguments by name. */
export type Case = Readonly<Record<string, unknown>>

/** `false` or a thrown error: the law is broken. */
export type Verdict = boolean | void

/** A law of one kind of subject. */
export interface Law<Subject> {
  /** What holds, in words: the name of the law. */
  readonly sentence: string
  /** Empty if nothing is drawn; the law is then tried once. */
  readonly arbitraries: Readonly<Record<string, fc.Arbitrary<unknown>>>
  /** Whether the arguments keep it; false, or an error thrown, breaks it. */
  readonly predicate: (subject: Subject, args: Case) => Verdict | Promise<Verdict>
  /** How many cases are tried where `Trying` does not say. */
  readonly runs: number
  /** Cases that are tried before the drawn ones. */
  readonly examples: readonly Case[]
}

/** How a law is tried. */
export interface Trying<Args> {
  /** Cases; default: 100. */
  readonly runs?: number
  readonly examples?: readonly Args[]
}

/** Cases of a law that states no number. */
export const CASES_PER_LAW = 100

/** A law for all arguments drawn from the arbitraries. */
export function lawForAll<Subject, Args extends object>(
  sentence: string,
  arbitraries: Arbitraries<Args>,
  predicate: (subject: Subject, args: Args) => Verdict | Promise<Verdict>,
  { runs = CASES_PER_LAW, examples = [] }: Trying<NoInfer<Args>> = {},
): Law<Subject> {
  // Only the arbitraries of a law make its arguments, so the type of a law leaves them out.
  return {
    sentence,
    arbitraries: arbitraries as Law<Subject>['arbitraries'],
    predicate: predicate as Law<Subject>['predicate'],
    runs,
    examples: examples as readonly Case[],
  }
}

/** `lawForAll` for one kind of subject. */
export type LawForAll<Subject> = <Args extends object>(
  ...of: Parameters<typeof lawForAll<Subject, Args>>
) => Law<Subject>

/** A law without arguments. */
export function lawAlways<Subject>(
  sentence: string,
  check: (subject: Subject) => Verdict | Promise<Verdict>,
): Law<Subject> {
  return { sentence, arbitraries: {}, predicate: (subject) => check(subject), runs: 1, examples: [] }
}

/** A law of the inner subjects, as a law of outer subjects. */
export function lawOf<Outer, Inner>(law: Law<Inner>, innerOf: (outer: Outer) => Inner): Law<Outer> {
  return { ...law, predicate: (outer, args) => law.predicate(innerOf(outer), args) }
}

/** The name of the backend in the report of a law of the runtime. */
export const NO_BACKEND = 'none'

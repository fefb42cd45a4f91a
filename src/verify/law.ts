/**
 * What a law is: data. A sentence, what its arguments are drawn from, and a predicate that a subject keeps or breaks.
 *
 * The subject is whatever is judged: a backend, a way to load models, a way to select masks. Nothing here runs a law or
 * knows where it is run; check.ts does, in the test runner, on the command line and in a page alike. A predicate says no
 * by throwing, or by returning false. All chance in it comes from its arguments, so that equal arguments are equal cases.
 */
import type fc from 'fast-check'

/** What a law's arguments are drawn from, one arbitrary per argument. */
export type Arbitraries<Args extends unknown[]> = { [Index in keyof Args]: fc.Arbitrary<Args[Index]> }

/** `false`, or an error thrown, is a no. */
export type Verdict = boolean | void

/** A law of subjects of some kind. What it draws is its own affair. */
export interface Law<Subject> {
  /** What holds, in words: the name of the law. */
  readonly sentence: string
  /** None if nothing is drawn: then the law is tried once. */
  readonly arbitraries: readonly fc.Arbitrary<unknown>[]
  readonly predicate: (subject: Subject, ...args: unknown[]) => Verdict | Promise<Verdict>
  /** How many cases are tried, unless told. */
  readonly runs: number
  /** Cases that are tried before those drawn. */
  readonly examples: readonly (readonly unknown[])[]
}

/** How a law is tried. */
export interface Trying<Args extends unknown[]> {
  /** Cases, unless 100 are right. */
  readonly runs?: number
  readonly examples?: readonly Args[]
}

/** Cases a law tries unless it says another number. */
export const CASES_PER_LAW = 100

/** A law for all arguments drawn from the arbitraries. */
export function lawForAll<Subject, Args extends [unknown, ...unknown[]]>(
  sentence: string,
  arbitraries: Arbitraries<Args>,
  predicate: (subject: Subject, ...args: Args) => Verdict | Promise<Verdict>,
  { runs = CASES_PER_LAW, examples = [] }: Trying<Args> = {},
): Law<Subject> {
  // Its own arbitraries make its arguments: outside, their types need not be known.
  return { sentence, arbitraries, predicate: predicate as Law<Subject>['predicate'], runs, examples }
}

/** `lawForAll` for one kind of subject. */
export type LawForAll<Subject> = <Args extends [unknown, ...unknown[]]>(
  ...of: Parameters<typeof lawForAll<Subject, Args>>
) => Law<Subject>

/** A law without arguments. */
export function lawAlways<Subject>(
  sentence: string,
  check: (subject: Subject) => Verdict | Promise<Verdict>,
): Law<Subject> {
  return { sentence, arbitraries: [], predicate: (subject) => check(subject), runs: 1, examples: [] }
}

/** The same law of subjects that each hold one of the other kind. */
export function lawOf<Outer, Inner>(law: Law<Inner>, innerOf: (outer: Outer) => Inner): Law<Outer> {
  return { ...law, predicate: (outer, ...args) => law.predicate(innerOf(outer), ...args) }
}

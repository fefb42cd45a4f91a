/**
 * Whether two runs of the laws, on whatever runtimes, tried the same cases.
 */
import { NO_BACKEND, suite, verify, type LawReport, type VerifyOptions } from '../../src/verify/index.ts'
import { runSeed, scaledRuns } from '../harness/seed.ts'

/** What runtimes are compared on: the seed of this run, and few cases of each law. */
export function fewCases(...backends: string[]): VerifyOptions {
  return { backends, seed: runSeed(), runs: scaledRuns(5) / 100 }
}

/** The cases that this process draws for each law, once for all tests. What holds of them here is stated by the spec files of the laws. */
export function ownCases(): Promise<LawReport[]> {
  drawn ??= drawCases()
  return drawn
}

let drawn: Promise<LawReport[]> | undefined

async function drawCases(): Promise<LawReport[]> {
  const laws = suite.map((law) => ({ ...law, predicate: () => true }))
  const reports: LawReport[] = []
  for await (const report of verify({ ...fewCases('reference'), laws })) reports.push(report)
  return reports
}

/** The laws, in words, that were tried on other cases there than here, on another number of them, or on one side only. */
export function otherCases(here: readonly LawReport[], there: readonly LawReport[]): string[] {
  const casesOf = ({ runs, digest }: LawReport): string => `${runs} ${digest}`
  const known = new Map(here.map((report) => [report.law, casesOf(report)]))
  const tried = new Set(there.map(({ law }) => law))
  return [
    ...there.filter((report) => known.get(report.law) !== casesOf(report)).map(({ law }) => law),
    ...here.filter(({ law }) => !tried.has(law)).map(({ law }) => law),
  ]
}

/** What a run came to, in a line. */
export function inWords(where: string, reports: readonly LawReport[]): string {
  const backends = [...new Set(reports.map(({ backend }) => backend))].filter((name) => name !== NO_BACKEND)
  const cases = reports.reduce((total, { runs }) => total + runs, 0)
  const passed = reports.filter((report) => report.passed).length
  return `${where}: ${passed} of ${reports.length} laws hold on ${backends.join(', ')}, ${cases} cases\n`
}

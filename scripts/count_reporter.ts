/**
 * A vitest reporter that only counts, and says what the spec files cost.
 *
 * Started by `scripts/test.ts` it sends the counts to it; alone it ends the output with the line CI reads,
 * `N passed, N failed, N skipped`. It prints nothing else: put it after a reporter that does.
 */
import { stripVTControlCharacters } from 'node:util'
import type { SerializedError } from 'vitest'
import type { Reporter, TestModule } from 'vitest/node'

/** The results of the tests of one run. */
export interface Counts {
  passed: number
  /** Each failure in one line: its name, and why. */
  failures: string[]
  skipped: number
  /** What each spec file cost. */
  costs: FileCost[]
}

/** What one spec file cost. */
export interface FileCost {
  /** From the root of the run. */
  readonly path: string
  readonly tests: number
  /** Milliseconds of wall time in one worker: imports, hooks and tests. */
  readonly milliseconds: number
}

/** The counts of a run without tests. */
export const noCounts = (): Counts => ({ passed: 0, failures: [], skipped: 0, costs: [] })

/** The closing line. */
export function countingLine({ passed, failures, skipped }: Counts): string {
  return `${passed} passed, ${failures.length} failed, ${skipped} skipped`
}

/**
 * Counts every test, and as one failure each: a file or suite that broke outside its tests (it did not load, a hook
 * threw), and an error that belongs to no test. A test that never finished has failed.
 */
function countTests(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): Counts {
  const counts: Counts = { ...noCounts(), failures: unhandledErrors.map(describeError) }
  for (const module of modules) {
    const file = module.relativeModuleId
    const { collectDuration, duration, environmentSetupDuration, setupDuration } = module.diagnostic()
    const milliseconds = collectDuration + duration + environmentSetupDuration + setupDuration
    counts.costs.push({ path: file, tests: [...module.children.allTests()].length, milliseconds })
    const fail = (name: string, errors: readonly SerializedError[]): void => {
      counts.failures.push([name, ...errors.slice(0, 1).map(describeError)].join(': '))
    }
    if (module.errors().length > 0) fail(file, module.errors())
    for (const suite of module.children.allSuites())
      if (suite.errors().length > 0) fail(`${file} > ${suite.fullName}`, suite.errors())
    for (const test of module.children.allTests()) {
      const { state, errors = [] } = test.result()
      if (state === 'passed' || state === 'skipped') counts[state]++
      else fail(`${file} > ${test.fullName}${state === 'pending' ? ' (never finished)' : ''}`, errors)
    }
  }
  return counts
}

/** The number of characters of a reason. */
const REASON = 400

/** The first line of an error, those that differ, and its causes: one line, cut where it is long. */
function describeError({ message, diff, cause }: SerializedError & { diff?: string }): string {
  const [line] = stripVTControlCharacters(message).split('\n')
  // After the two lines that say which sign is whose.
  const differing = stripVTControlCharacters(diff ?? '')
    .split('\n')
    .filter((text) => /^[-+]/.test(text))
    .slice(2)
  const words = [line, ...differing, ...(cause === undefined ? [] : [describeError(cause)])]
  const reason = words.join(' ').replace(/\s+/g, ' ').trim()
  return reason.length > REASON ? `${reason.slice(0, REASON)}…` : reason
}

/** The reporter vitest loads by path. */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const counts = countTests(modules, unhandledErrors)
    if (process.send) process.send(counts)
    else process.stdout.write(`${countingLine(counts)}\n`)
  }
}

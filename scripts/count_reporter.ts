/**
 * A vitest reporter that only counts.
 *
 * Started by `scripts/test.ts` it sends the counts to it; alone it ends the output with the line CI reads,
 * `N passed, N failed, N skipped`. It prints nothing else: put it after a reporter that does.
 */
import type { SerializedError } from 'vitest'
import type { Reporter, TestModule } from 'vitest/node'

/** The results of the tests of one run. */
export interface Counts {
  passed: number
  /** The name of each failure. */
  failures: string[]
  skipped: number
}

/** The closing line. */
export function countingLine({ passed, failures, skipped }: Counts): string {
  return `${passed} passed, ${failures.length} failed, ${skipped} skipped`
}

/**
 * Counts every test, and as one failure each: a file or suite that broke outside its tests (it did not load, a hook
 * threw), and an error that belongs to no test. A test that never finished has failed.
 */
export function countTests(
  modules: readonly TestModule[],
  unhandledErrors: readonly SerializedError[],
): Counts {
  const counts: Counts = { passed: 0, failures: unhandledErrors.map(describeError), skipped: 0 }
  for (const module of modules) {
    const file = module.relativeModuleId
    if (module.errors().length > 0) counts.failures.push(file)
    for (const suite of module.children.allSuites())
      if (suite.errors().length > 0) counts.failures.push(`${file} > ${suite.fullName}`)
    for (const test of module.children.allTests()) {
      const { state } = test.result()
      if (state === 'passed' || state === 'skipped') counts[state]++
      else counts.failures.push(`${file} > ${test.fullName}${state === 'pending' ? ' (never finished)' : ''}`)
    }
  }
  return counts
}

/** The first lines of an error outside of tests, and of its causes, in one line. */
function describeError({ message, cause }: SerializedError): string {
  const [line] = message.split('\n')
  return cause === undefined ? line : `${line} ${describeError(cause)}`
}

/** The reporter vitest loads by path. */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const counts = countTests(modules, unhandledErrors)
    if (process.send) process.send(counts)
    else process.stdout.write(`${countingLine(counts)}\n`)
  }
}

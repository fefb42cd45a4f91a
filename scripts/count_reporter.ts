/**
 * A vitest reporter that only counts.
 *
 * Started by `scripts/test.ts` it hands the counts to it; alone it ends the output with the line CI reads,
 * `N passed, N failed, N skipped`. It prints nothing else: put it after a reporter that does.
 */
import type { SerializedError } from 'vitest'
import type { Reporter, TestModule } from 'vitest/node'

/** What became of the tests of one run. */
export interface Counts {
  passed: number
  failed: number
  skipped: number
}

/** The closing line. */
export function countingLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`
}

/**
 * Counts every test, and as one failure each: a file or suite that broke outside its tests (it did not load, a hook
 * threw), and an error that belongs to no test. A test that never finished has failed.
 */
export function countTests(
  modules: readonly TestModule[],
  unhandledErrors: readonly SerializedError[],
): Counts {
  const counts: Counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 }
  for (const module of modules) {
    for (const group of [module, ...module.children.allSuites()]) {
      if (group.errors().length > 0) counts.failed++
    }
    for (const test of module.children.allTests()) {
      const { state } = test.result()
      counts[state === 'pending' ? 'failed' : state]++
    }
  }
  return counts
}

/** The reporter vitest loads by path. */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const counts = countTests(modules, unhandledErrors)
    if (process.send) process.send(counts)
    else process.stdout.write(`${countingLine(counts)}\n`)
  }
}

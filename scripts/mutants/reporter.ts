/**
 * A vitest reporter for the judge of mutants: a line when a test ends, so that a hang is known by silence, and one for each spec
 * file, so that a run that is killed still tells what ended before.
 */
import type { Reporter, TestCase, TestModule } from 'vitest/node'

/** How the run of a spec file ended. */
export interface FileRun {
  readonly spec: string
  readonly seconds: number
  /** The full names of the tests that passed. */
  readonly passed: readonly string[]
  /** The tests that failed; a failure outside of them has no name. */
  readonly failed: readonly { readonly test: string; readonly message: string }[]
}

/** What the line of a spec file begins with. */
const mark = '@mutants '

/** The names of suites and test, as the option -t matches them. */
function nameOf({ fullName }: TestCase): string {
  return fullName.replaceAll(' > ', ' ')
}

function firstLines(errors: readonly { readonly message: string }[]): string {
  const text = errors.map(({ message }) => message).join('\n')
  return text.split('\n').slice(0, 3).join('\n').slice(0, 300)
}

/** See the head of this file. */
export default class MutantReporter implements Reporter {
  onTestCaseResult(): void {
    process.stdout.write('.\n')
  }

  onTestModuleEnd(module: TestModule): void {
    const { collectDuration, duration } = module.diagnostic()
    const tests = [...module.children.allTests()]
    const failed = tests.flatMap((test) => {
      const { state, errors = [] } = test.result()
      return state === 'failed' ? [{ test: nameOf(test), message: firstLines(errors) }] : []
    })
    const outside = [module, ...module.children.allSuites()].flatMap((part) => part.errors())
    const run: FileRun = {
      spec: module.relativeModuleId,
      seconds: (collectDuration + duration) / 1000,
      passed: tests.filter((test) => test.result().state === 'passed').map(nameOf),
      failed: [...failed, ...(outside.length > 0 ? [{ test: '', message: firstLines(outside) }] : [])],
    }
    process.stdout.write(`${mark}${JSON.stringify(run)}\n`)
  }
}

/** The spec files that ended in a run with this output. */
export function fileRunsIn(output: string): FileRun[] {
  const lines = output.split('\n').filter((line) => line.startsWith(mark))
  return lines.map((line) => JSON.parse(line.slice(mark.length)) as FileRun)
}

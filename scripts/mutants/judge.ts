/**
 * Decides whether a mutant is found: a test fails with it and passes without it.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import type { Checkout } from './checkout.ts'
import type { Mutant } from './derive.ts'

/** A test that failed. */
export interface Failure {
  readonly spec: string
  /** Its name; empty if the file failed outside of its tests. */
  readonly test: string
  readonly message: string
}

/** The verdict on a mutant. `undecided`: no test found it, and not all spec files ran within the time limit. */
export interface Verdict {
  readonly verdict: 'found' | 'timeout' | 'survived' | 'undecided'
  readonly by: Failure | null
  /** How many spec files ran, and how many depend on the mutated file. */
  readonly tried: number
  readonly of: number
}

interface Run {
  readonly timedOut: boolean
  readonly failures: readonly Failure[]
  /** The names of the tests that passed. */
  readonly passed: readonly string[]
}

/** A run hangs if it takes this long and several times as long as without the mutant. */
const HANG_SECONDS = 240
const HANG_FACTOR = 5

/** The check is incremental, because little changes from one to the next. */
const typeCheck = [
  '--project',
  '.',
  '--pretty',
  'false',
  '--incremental',
  '--tsBuildInfoFile',
  'build/mutants.tsbuildinfo',
]

/** How many spec files run together. The first group is one file, because the nearest file finds most mutants. */
const groupSizes = [1, 3, 8, 16, 32]

/** Files in groups of growing size. */
function groupsOf(files: readonly string[]): string[][] {
  const groups: string[][] = []
  for (let start = 0; start < files.length;) {
    const size = groupSizes[Math.min(groups.length, groupSizes.length - 1)]
    groups.push(files.slice(start, start + size))
    start += size
  }
  return groups
}

/** The part of a checkout that a judge uses. */
export type Ground = Pick<Checkout, 'folder' | 'with' | 'run'>

/** Plants mutants in one checkout and runs spec files on them. */
export class Judge {
  readonly #checkout: Ground
  readonly #seed: number
  /** Seconds that each spec file takes without a mutant. */
  readonly seconds = new Map<string, number>()
  /** Tests that pass without a mutant. */
  readonly #passing = new Set<string>()
  /** Spec files that fail without a mutant; they are left out. */
  readonly broken = new Set<string>()

  constructor(checkout: Ground, seed: number) {
    this.#checkout = checkout
    this.#seed = seed
  }

  /** The paths of the source files that the type check refuses while the mutants are planted. */
  async refusedBy(mutants: readonly Mutant[]): Promise<Set<string>> {
    const { code, output } = await this.#checkout.with(mutants, () =>
      this.#checkout.run('typescript/bin/tsc', typeCheck, { seconds: 600, seed: this.#seed }),
    )
    const files = new Set([...output.matchAll(/^(\S+)\(\d+,\d+\): error/gm)].map(([, path]) => path))
    if (code !== 0 && files.size === 0) throw new Error(`type check: ${output}`)
    return files
  }

  /** Runs spec files, nearest first, until one finds the mutant; starts no group after `seconds`. */
  async judge(mutant: Mutant, specs: readonly string[], seconds = Infinity): Promise<Verdict> {
    const start = performance.now()
    const of = specs.length
    let tried = 0
    for (const group of groupsOf(specs)) {
      if (performance.now() - start >= seconds * 1000) break
      const outcome = await this.#judgeGroup(mutant, group)
      tried += group.length
      if (outcome !== null) return { ...outcome, tried, of }
    }
    return { verdict: tried < of ? 'undecided' : 'survived', by: null, tried, of }
  }

  async #judgeGroup(
    mutant: Mutant,
    group: readonly string[],
  ): Promise<Pick<Verdict, 'verdict' | 'by'> | null> {
    for (;;) {
      const specs = group.filter((spec) => !this.broken.has(spec))
      if (specs.length === 0) return null
      const limit = this.#limitFor(specs)
      const run = await this.#checkout.with([mutant], () => this.#run(specs, limit))
      if (run.timedOut) {
        await this.#measure(specs)
        const left = specs.filter((spec) => !this.broken.has(spec))
        if (left.length < specs.length || this.#limitFor(left) > limit) continue
        return { verdict: 'timeout', by: null }
      }
      if (run.failures.length === 0) return null
      for (const by of run.failures) if (await this.#passesWithout(by)) return { verdict: 'found', by }
    }
  }

  /** Whether the failed test passes without a mutant, alone or with its whole file. A file that fails then is broken. */
  async #passesWithout({ spec, test }: Failure): Promise<boolean> {
    const key = JSON.stringify([spec, test])
    if (test !== '' && !this.#passing.has(key)) {
      const { failures, passed } = await this.#run([spec], HANG_FACTOR * HANG_SECONDS, test)
      if (failures.length === 0 && passed.includes(test)) this.#passing.add(key)
    }
    if (this.#passing.has(key)) return true
    await this.#measure([spec])
    return !this.broken.has(spec)
  }

  #limitFor(specs: readonly string[]): number {
    const known = specs.reduce((sum, spec) => sum + (this.seconds.get(spec) ?? 0), 0)
    return Math.max(HANG_SECONDS, HANG_FACTOR * known)
  }

  /** Runs spec files without a mutant, each file once per judge. */
  async #measure(specs: readonly string[]): Promise<void> {
    for (const spec of specs.filter((path) => !this.seconds.has(path))) {
      const start = performance.now()
      const { timedOut, failures } = await this.#run([spec], HANG_FACTOR * HANG_SECONDS)
      this.seconds.set(spec, (performance.now() - start) / 1000)
      if (timedOut || failures.length > 0) this.broken.add(spec)
    }
  }

  /** Runs spec files in one process, one after the other, until a test fails. @param test runs only the test of this name */
  async #run(specs: readonly string[], seconds: number, test?: string): Promise<Run> {
    const report = join(this.#checkout.folder, 'build/mutant_report.json')
    rmSync(report, { force: true })
    const named = test === undefined ? [] : ['-t', `^${test.replace(/[^\w\s]/g, '\\$&')}$`]
    const { code, output, timedOut } = await this.#checkout.run(
      'vitest/vitest.mjs',
      [
        'run',
        '--maxWorkers=1',
        '--bail=1',
        '--no-cache',
        '--reporter=json',
        `--outputFile=${report}`,
        ...named,
        ...specs,
      ],
      { seconds, seed: this.#seed },
    )
    if (timedOut || (code !== 0 && !existsSync(report)))
      return { timedOut, failures: timedOut ? [] : brokenRun(specs, output), passed: [] }
    const text = readFileSync(report, 'utf8')
    const failures = failuresIn(text, this.#checkout.folder)
    // The run failed outside of all tests and files.
    const unnamed = code !== 0 && failures.length === 0
    return { timedOut, failures: unnamed ? brokenRun(specs, output) : failures, passed: passedIn(text) }
  }
}

function brokenRun(specs: readonly string[], output: string): Failure[] {
  return specs.slice(0, 1).map((spec) => ({ spec, test: '', message: output.slice(-300) }))
}

interface Report {
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly message: string
    readonly assertionResults: readonly {
      readonly fullName: string
      readonly status: string
      readonly failureMessages?: readonly string[]
    }[]
  }[]
}

/** The failed tests of vitest's JSON report. */
function failuresIn(text: string, folder: string): Failure[] {
  const { testResults } = JSON.parse(text) as Report
  return testResults
    .filter(({ status }) => status === 'failed')
    .flatMap(({ name, message, assertionResults }) => {
      const spec = relative(folder, name).replaceAll('\\', '/')
      const tests = assertionResults.filter(({ status }) => status === 'failed')
      if (tests.length === 0) return [{ spec, test: '', message: firstLines(message) }]
      return tests.map(({ fullName, failureMessages }) => {
        return { spec, test: fullName, message: firstLines(failureMessages?.join('\n') ?? '') }
      })
    })
}

/** The full names of the passed tests of the same report. */
function passedIn(text: string): string[] {
  const { testResults } = JSON.parse(text) as Report
  return testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .filter(({ status }) => status === 'passed')
    .map(({ fullName }) => fullName)
}

function firstLines(text: string): string {
  return text.split('\n').slice(0, 3).join('\n').slice(0, 300)
}

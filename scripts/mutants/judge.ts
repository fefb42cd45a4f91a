/**
 * Decides whether a mutant is found: a test fails with it and passes without it.
 *
 * The spec files run in one process, nearest first, until a test fails: modules load once, and a file costs what its tests take.
 */
import { join } from 'node:path'
import { isFull, type Checkout, type Ended } from './checkout.ts'
import type { Mutant } from './derive.ts'
import { fileRunsIn, type FileRun } from './reporter.ts'

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

interface Run extends Pick<Ended, 'killed'> {
  readonly ended: readonly FileRun[]
  readonly failures: readonly Failure[]
  /** Whether it failed though no spec file of it did, with its last words. */
  readonly broke: string | null
}

/** A run hangs if no test of it ends for this long, and for several times as long as its file takes without the mutant. */
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

/** The part of a checkout that a judge uses. */
export type Ground = Pick<Checkout, 'folder' | 'with' | 'run'>

/** Plants mutants in one checkout and runs spec files on them. */
export class Judge {
  readonly #checkout: Ground
  readonly #seed: number
  /** Seconds that the tests of each spec file took in their last run here, in which all of them passed. */
  readonly took = new Map<string, number>()
  /** Seconds that spec files take in a process of their own, without a mutant. */
  readonly #alone = new Map<string, number>()
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
      this.#checkout.run('typescript/bin/tsc', typeCheck, { silence: 600, seed: this.#seed }),
    )
    const files = new Set([...output.matchAll(/^(\S+)\(\d+,\d+\): error/gm)].map(([, path]) => path))
    if (code !== 0 && files.size === 0) throw new Error(`type check: ${output}`)
    return files
  }

  /** Runs spec files, nearest first, until one finds the mutant, or `seconds` have passed. */
  async judge(mutant: Mutant, specs: readonly string[], seconds = Infinity): Promise<Verdict> {
    const start = performance.now()
    const secondsLeft = (): number => seconds - (performance.now() - start) / 1000
    const tried = new Set<string>()
    const verdict = (name: Verdict['verdict'], by: Failure | null = null): Verdict => {
      return { verdict: name, by, tried: tried.size, of: specs.length }
    }
    for (const group of [specs.filter((spec) => !isFull(spec)), specs.filter(isFull)]) {
      for (;;) {
        const left = group.filter((spec) => !tried.has(spec) && !this.broken.has(spec))
        if (left.length === 0) break
        if (secondsLeft() <= 0) return verdict('undecided')
        const silence = this.#silenceFor(left)
        const limits = { silence, seconds: secondsLeft() }
        const run = await this.#checkout.with([mutant], () => this.#run(left, limits))
        for (const { spec } of run.ended) tried.add(spec)
        for (const by of run.failures) if (await this.#passesWithout(by)) return verdict('found', by)
        if (run.killed === 'late') return verdict('undecided')
        const [next] = left.filter((spec) => !tried.has(spec))
        if (run.killed === 'silent') {
          await this.#measure(next)
          if (this.broken.has(next) || this.#silenceFor([next]) > silence) continue
          tried.add(next)
          return verdict('timeout')
        }
        if (run.failures.length > 0) continue
        for (const spec of left) tried.add(spec)
        // The run failed outside of all tests and files.
        if (run.broke !== null && (await this.#run(left, { silence })).broke === null)
          return verdict('found', { spec: next ?? left[0], test: '', message: run.broke })
      }
    }
    return verdict('survived')
  }

  /** Whether the failed test passes without a mutant, alone or with its whole file. A file that fails then is broken. */
  async #passesWithout({ spec, test }: Failure): Promise<boolean> {
    const key = JSON.stringify([spec, test])
    if (test !== '' && !this.#passing.has(key)) {
      const { failures, ended } = await this.#run([spec], { silence: HANG_FACTOR * HANG_SECONDS }, test)
      if (failures.length === 0 && ended.some(({ passed }) => passed.includes(test))) this.#passing.add(key)
    }
    if (this.#passing.has(key)) return true
    await this.#measure(spec)
    return !this.broken.has(spec)
  }

  #silenceFor(specs: readonly string[]): number {
    return Math.max(HANG_SECONDS, ...specs.map((spec) => HANG_FACTOR * (this.#alone.get(spec) ?? 0)))
  }

  /** Runs a spec file without a mutant, once per judge. */
  async #measure(spec: string): Promise<void> {
    if (this.#alone.has(spec)) return
    const start = performance.now()
    const { killed, failures, broke } = await this.#run([spec], { silence: HANG_FACTOR * HANG_SECONDS })
    this.#alone.set(spec, (performance.now() - start) / 1000)
    if (killed !== null || failures.length > 0 || broke !== null) this.broken.add(spec)
  }

  /** Runs spec files in one process, in this order, until a test fails. @param test runs only the test of this name */
  async #run(
    specs: readonly string[],
    limits: { readonly silence: number; readonly seconds?: number },
    test?: string,
  ): Promise<Run> {
    const named = test === undefined ? [] : ['-t', `^${test.replace(/[^\w\s]/g, '\\$&')}$`]
    const { code, output, killed } = await this.#checkout.run(
      'vitest/vitest.mjs',
      [
        'run',
        '--maxWorkers=1',
        '--bail=1',
        '--no-cache',
        `--reporter=${join(this.#checkout.folder, 'scripts/mutants/reporter.ts')}`,
        ...named,
        ...specs,
      ],
      { ...limits, seed: this.#seed },
    )
    const runs = fileRunsIn(output)
    // What is behind the first failure was skipped.
    const ended = runs.slice(0, runs.findIndex(({ failed }) => failed.length > 0) + 1 || runs.length)
    for (const { spec, seconds, failed, passed } of ended)
      if (test === undefined && failed.length === 0 && passed.length > 0) this.took.set(spec, seconds)
    const failures = ended.flatMap(({ spec, failed }) => failed.map((one) => ({ spec, ...one })))
    const broke = killed === null && code !== 0 && failures.length === 0 ? output.slice(-300) : null
    return { killed, ended, failures, broke }
  }
}

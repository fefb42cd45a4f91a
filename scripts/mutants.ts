/**
 * `npm run mutants`: plants small changes in the sources, one at a time, in a clone of the last commit, and reports which of
 * them a test finds: one of the quick tier, one of the full tier that names the module, or one of the files
 * `mutants.full.spec.ts`, which judge laws by planted bugs.
 *
 *   npm run mutants -- --count 60 --seed 1        a sample of 60; equal seeds and sources give equal samples
 *   npm run mutants -- --state build/mine.json    the file of the state; an interrupted run resumes from it
 *   npm run mutants -- --from before.json         tries the mutants of another run again, where their lines are unchanged
 *   npm run mutants -- --from before.json --only survived
 *   npm run mutants -- --seconds 300              runs spec files for at most 300 s a mutant
 *   npm run mutants -- --list                     lists the mutants and judges none
 *
 * A mutant that the type check refuses is replaced by the next of the sample. A mutant is found if a test fails that passes
 * without it, or if the tests hang only with it. The exit code is 1 if a mutant was not found, 2 for a wrong flag.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { specFilesOf } from '../spec/harness/tier.ts'
import { parseModule, readSources, root } from '../spec/harness/syntax.ts'
import { testsOf } from '../spec/harness/tested.ts'
import { Checkout, isFull } from './mutants/checkout.ts'
import { deriveMutants, findAgain, type Mutant } from './mutants/derive.ts'
import { whyEquivalent } from './mutants/equivalent.ts'
import { Judge } from './mutants/judge.ts'
import { doorsOf, nearestSpecs, rememberedTimes, rememberTimes, usersOf } from './mutants/nearest.ts'
import { candidatesOf, drawSlots } from './mutants/sample.ts'
import { chooseValid, summaryOf, tableOf, type Entry, type State } from './mutants/state.ts'

function readFlags() {
  const { values } = parseArgs({
    options: {
      count: { type: 'string', default: '60' },
      seed: { type: 'string', default: '1' },
      state: { type: 'string', default: 'build/mutants.json' },
      from: { type: 'string' },
      only: { type: 'string' },
      seconds: { type: 'string', default: 'Infinity' },
      list: { type: 'boolean', default: false },
    },
  })
  const number = (name: 'count' | 'seed' | 'seconds'): number => {
    const value = Number(values[name])
    if (value >= 0) return value
    throw new TypeError(`--${name}: expected a number, got ${values[name]}`)
  }
  return { ...values, count: number('count'), seed: number('seed'), seconds: number('seconds') }
}

type Flags = ReturnType<typeof readFlags>

function save(path: string, state: State): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(`${path}.tmp`, `${JSON.stringify(state, null, 1)}\n`)
  renameSync(`${path}.tmp`, path)
}

function readState(path: string): State {
  return JSON.parse(readFileSync(path, 'utf8')) as State
}

/** The mutants of another run, located in the current sources. */
function again(path: string, only: string | undefined): { seed: number; entries: Entry[] } {
  const { seed, mutants } = readState(path)
  const chosen = mutants.filter(({ verdict }) => verdict !== 'invalid' && (!only || verdict === only))
  const now = new Map<string, Mutant[]>()
  const entries = chosen.map((entry): Entry => {
    const { file, line, context, kind, start, before, after } = entry
    const mutant = { file, line, context, kind, start, before, after }
    if (!existsSync(root + file)) return { ...mutant, verdict: 'gone' }
    if (!now.has(file))
      now.set(file, deriveMutants(parseModule({ path: file, text: readFileSync(root + file, 'utf8') })))
    const found = findAgain(mutant, now.get(file) ?? [])
    return found ? { ...found, verdict: 'waiting' } : { ...mutant, verdict: 'gone' }
  })
  return { seed, entries }
}

/** The state to start from: that of the file, or a new one. */
async function beginning(flags: Flags, judge: Judge, commit: string): Promise<State> {
  if (existsSync(flags.state)) {
    const state = readState(flags.state)
    if (state.commit === commit) return state
    throw new TypeError(
      `--state: expected a state of commit ${commit}, got one of ${state.commit}; name another file`,
    )
  }
  if (flags.from !== undefined) {
    const { seed, entries } = again(flags.from, flags.only)
    return { commit, seed, leftOut: {}, mutants: entries }
  }
  const candidates = candidatesOf(readSources('src').map(parseModule))
  const slots = drawSlots(candidates, flags.count, flags.seed)
  const mutants = await chooseValid(slots, async (some) => {
    const files = await judge.refusedBy(some)
    process.stderr.write(`type check of ${some.length} mutants: ${files.size} files refused\n`)
    return files
  })
  return { commit, seed: flags.seed, leftOut: candidates.leftOut, mutants }
}

/** Mutants are planted in the last commit, so the working tree must not differ from it. */
function expectCommitted(): void {
  const args = ['status', '--porcelain', '--', 'src', 'spec', 'fixtures', 'scripts']
  const changed = execFileSync('git', args, { cwd: root, encoding: 'utf8' })
  if (changed !== '') throw new TypeError(`expected no uncommitted change, got\n${changed}`)
}

async function main(flags: Flags, checkout: Checkout): Promise<void> {
  const { seconds, state: path } = flags
  const judge = new Judge(checkout, flags.seed)
  const state = await beginning(flags, judge, checkout.commit)
  save(path, state)
  const modules = ['src', 'spec', 'scripts', 'fixtures']
    .flatMap((folder) => readSources(folder))
    .map(parseModule)
  const users = usersOf(modules, doorsOf())
  const { exclude } = specFilesOf('quick')
  const specs = modules
    .map((module) => module.path)
    // It compares a hash of the sources, which every change breaks.
    .filter((file) => file !== 'spec/cli/cuda_certify.spec.ts')
    .filter(
      (file) =>
        /^spec\/(ops|engine)\/mutants\.full\.spec\.ts$/.test(file) ||
        (file.endsWith('.spec.ts') && !exclude.some((glob) => file.endsWith(glob.split('*').at(-1) ?? ''))),
    )
  const remembered = rememberedTimes()
  const waiting = state.mutants.filter(({ verdict }) => verdict === 'waiting' || verdict === 'undecided')
  for (const [i, entry] of waiting.entries()) {
    const start = performance.now()
    const why = whyEquivalent(entry)
    if (why !== null) Object.assign(entry, { verdict: 'equivalent', why })
    else if (!flags.list) {
      const times = new Map([...remembered, ...judge.took])
      const own = testsOf(entry.file, modules)
      // Its own tests are asked in every tier.
      const asked = [...new Set([...specs, ...own.filter(isFull)])]
      const near = nearestSpecs(entry.file, asked, users, { own, seconds: times })
      Object.assign(entry, await judge.judge(entry, near, seconds))
      rememberTimes(new Map([...remembered, ...judge.took]))
    }
    entry.seconds = Math.round((performance.now() - start) / 1000)
    save(path, state)
    process.stderr.write(`${i + 1}/${waiting.length}  ${tableOf([entry])}`)
  }
  process.stdout.write(`${tableOf(state.mutants)}${summaryOf(state)}`)
  for (const spec of judge.broken) process.stdout.write(`${spec} fails without a mutant and was left out\n`)
  process.exitCode = state.mutants.some(({ verdict }) => verdict === 'survived' || verdict === 'undecided')
    ? 1
    : 0
}

try {
  const flags = readFlags()
  expectCommitted()
  using checkout = new Checkout()
  for (const [signal, code] of [['SIGINT', 130] as const, ['SIGTERM', 143] as const])
    process.once(signal, () => {
      checkout[Symbol.dispose]()
      process.exit(code)
    })
  await main(flags, checkout)
} catch (error) {
  if (!(error instanceof TypeError)) throw error
  process.stderr.write(`mutants: ${error.message}\n`)
  process.exitCode = 2
}

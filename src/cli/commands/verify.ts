/**
 * `shadowllm verify`: the laws of the suite on the backends of this machine, a line each.
 */
import type { Command } from 'commander'
import { backendNames, type Backend, type BackendName } from '../../backends/backend.ts'
import { createBackend } from '../../backends/select.ts'
import { MissingError, UsageError } from '../../tensor/errors.ts'
import { withPackages } from '../../tensor/packages.ts'
import { digestOfReports } from '../../verify/digest.ts'
import type * as Suite from '../../verify/index.ts'
import type { LawReport, SuiteLaw } from '../../verify/index.ts'
import { NO_BACKEND } from '../../verify/law.ts'
import { exitCodes } from '../failure.ts'
import { addFlags, type SharedFlags } from '../flags.ts'
import { jsonText } from '../../results/json_text.ts'
import { paintVerdicts } from '../screen.ts'
import type { Session } from '../session.ts'
import { formatCount } from '../words.ts'
import { listOf, number, whole, addOwnFlags, type FlagsOf } from '../values.ts'
import { nameOption } from '../../tensor/option.ts'

const help = `
Every law is tried on cases drawn from the seed. The cases are the same on every runtime; the checksum beside a law
proves it. A broken law is shown with the smallest case found that breaks it, and the command ends with exit code 1.
"npm test" draws the same cases from the same seed (SHADOWLLM_SEED).

Examples:
  $ shadowllm verify --runs 0.1
  $ shadowllm verify --backend wasm,reference --seed 7
  $ shadowllm verify --law "top_k" --runs 100`

/** Seeds of laws are what fast-check takes, without the negative ones. */
const MAX_SEED = 2 ** 31 - 1

/** What draws cases needs a package that its help does not. @throws MissingError PACKAGE_MISSING */
const loadSuite = (): Promise<typeof Suite> =>
  withPackages('verify', 'fast-check', () => import('../../verify/index.ts'))

const ownFlags = [
  listOf(
    '--backend <list>',
    'backends, separated by commas (default: all of this machine)',
    nameOption('BACKEND_NAME', ['all', ...backendNames]),
  ),
  ['--seed <number>', 'seed of all cases (default: a new one, which is printed)', whole(0, MAX_SEED)],
  ['--runs <factor>', 'how many times as many cases as each law says', number(0.001, 10_000), 1],
  ['--law <words>', 'only laws whose section or sentence contains these words (default: all)'],
] as const

type VerifyFlags = FlagsOf<typeof ownFlags> & SharedFlags<'json'>

/** A backend that this machine does not have. */
export interface Absent {
  readonly backend: BackendName
  readonly reason: string
}

/** A run and its reports so far. */
export interface Verification {
  readonly seed: number
  readonly runs: number
  /** Names of the backends of this machine. */
  readonly backends: readonly string[]
  readonly absent: readonly Absent[]
  /** How many reports there will be. */
  readonly expected: number
  readonly reports: LawReport[]
}

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  addOwnFlags(command, ownFlags)
  addFlags(command, 'json', 'quiet')
    .addHelpText('after', help)
    .action((flags: VerifyFlags) => runVerify(session, flags))
}

async function runVerify(session: Session, flags: VerifyFlags): Promise<void> {
  const { suite, tryingsOf, verifyBackends } = await loadSuite()
  const laws = lawsThatSay(suite, flags.law)
  const { started, absent } = await startBackends(flags.backend)
  const seed = flags.seed ?? crypto.getRandomValues(new Uint32Array(1))[0] >>> 1
  const found: Verification = {
    seed,
    runs: flags.runs,
    backends: started.map(({ name }) => name),
    absent,
    expected: tryingsOf(laws, started).length,
    reports: [],
  }
  try {
    if (!flags.json) await session.print(formatHeading(found))
    const { runs } = flags
    const reports = verifyBackends(started, { seed, runs, laws, signal: session.signal })
    await reportAll(session, reports, flags, found)
    // A signal after the last law interrupts nothing.
    if (found.reports.length < found.expected) session.signal.throwIfAborted()
  } finally {
    for (const backend of started) backend.dispose()
    // What was found is shown, whatever ended the run.
    await showVerdict(session, found, flags.json ?? false)
  }
}

async function reportAll(
  session: Session,
  all: AsyncIterable<LawReport>,
  { json }: VerifyFlags,
  found: Verification,
): Promise<void> {
  const { reports, expected } = found
  for await (const report of all) {
    reports.push(report)
    if (!json) await session.print(paintVerdicts(formatReport(report, found)))
    session.progress.update({ stage: 'laws', done: reports.length, total: expected, note: report.backend })
  }
}

/** @throws UsageError LAW if none does */
function lawsThatSay(suite: readonly SuiteLaw[], words = ''): readonly SuiteLaw[] {
  const found = suite.filter(({ sentence, chapter }) => `${chapter}: ${sentence}`.includes(words))
  if (found.length > 0) return found
  throw new UsageError('LAW', `--law: expected words of a law, got ${words}`)
}

/** Starts those named, which must be here, or all that are. @throws MissingError for one that is named and is not here */
async function startBackends(
  names: readonly (BackendName | 'all')[] = ['all'],
): Promise<{ started: Backend[]; absent: Absent[] }> {
  const wanted = names.includes('all') ? backendNames : (names as readonly BackendName[])
  const started: Backend[] = []
  const absent: Absent[] = []
  for (const name of wanted)
    try {
      const backend = await createBackend(name)
      // An adapter that does not keep the float contract has another backend than was asked for.
      if (started.some((other) => other.name === backend.name)) backend.dispose()
      else started.push(backend)
    } catch (error) {
      if (names.includes(name) || !(error instanceof MissingError)) throw error
      absent.push({ backend: name, reason: error.message })
    }
  return { started, absent }
}

/** What `--json` prints. */
export interface VerifyOutput extends Pick<Verification, 'seed' | 'runs' | 'absent'> {
  readonly passed: boolean
  /** Whether all laws were tried. */
  readonly complete: boolean
  /** A checksum of the cases on each backend; `-` is none. */
  readonly digests: Readonly<Record<string, string>>
  readonly laws: readonly LawReport[]
}

/** Prints the verdict; the session ends with exit code 1 if a law is broken. */
export async function showVerdict(session: Session, found: Verification, json: boolean): Promise<void> {
  const passed = found.reports.every((report) => report.passed)
  if (!passed) session.exitCode = exitCodes.checkFailed
  if (!json) return session.print(paintVerdicts(formatVerdict(found)))
  const { seed, runs, absent, expected, reports } = found
  const digests = Object.fromEntries(namesIn(found).map((name) => [name, digestOn(name, found)]))
  const complete = reports.length === expected
  const all: VerifyOutput = { seed, runs, passed, complete, digests, absent, laws: reports }
  await session.print(jsonText(all))
}

/** The backends, and `none` if a law is of the runtime. */
function namesIn({ backends, reports }: Verification): string[] {
  const isBare = reports.some(({ backend }) => backend === NO_BACKEND)
  return isBare ? [...backends, NO_BACKEND] : [...backends]
}

function digestOn(name: string, { reports }: Verification): string {
  return digestOfReports(reports.filter(({ backend }) => backend === name))
}

function formatHeading({ seed, runs, absent }: Verification): string {
  const cases = runs === 1 ? '' : `, cases x ${runs}`
  const names = absent.map(({ backend }) => backend).join(', ')
  const missing = names === '' ? '' : `not on this machine: ${names} ("shadowllm doctor" says why)\n`
  return `seed ${seed}${cases} (--seed ${seed} draws the same cases)\n${missing}`
}

/** A law on a backend: a line, and if it is broken the case that breaks it. */
export function formatReport(report: LawReport, { backends }: Verification): string {
  const { law, backend, runs, passed, digest, report: words = '' } = report
  const width = Math.max(...[NO_BACKEND, ...backends].map(({ length }) => length))
  const cells = [
    passed ? 'ok  ' : 'FAIL',
    backend.padEnd(width),
    `${formatCount(runs).padStart(6)} ${runs === 1 ? 'case ' : 'cases'}`,
    digest,
    law,
  ]
  const line = `${cells.join('  ')}\n`
  if (passed) return line
  return `${line}${words.replace(/^/gm, '      ')}\n`
}

function formatVerdict(found: Verification): string {
  const totals = namesIn(found).map((name) => {
    const own = found.reports.filter(({ backend }) => backend === name)
    const cases = own.reduce((total, { runs }) => total + runs, 0)
    const where = name === NO_BACKEND ? 'no backend' : name
    return `${where}: ${formatCount(own.length)} laws, ${formatCount(cases)} cases, digest ${digestOn(name, found)}\n`
  })
  return `${totals.join('')}${verdictWords(found)}\n`
}

function verdictWords({ reports, expected }: Verification): string {
  const failed = reports.filter(({ passed }) => !passed).length
  const words = failed > 0 ? `${failed} of ${reports.length} failed` : `${reports.length} passed`
  if (reports.length < expected)
    return `stopped: ${words}, and nothing is known of the other ${expected - reports.length}`
  return failed > 0 ? `failed: ${failed} of ${reports.length}` : `passed: all ${reports.length}`
}

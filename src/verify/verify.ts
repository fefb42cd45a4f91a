/**
 * Runs the suite on backends, one report per law and backend, on any runtime.
 *
 * Between cases other events run, so that a page responds and a signal arrives; a law without arguments is not interrupted.
 * A law that leaves a buffer behind on its backend fails.
 */
import type { Backend, BackendName } from '../backends/backend.ts'
import { createBackend } from '../backends/select.ts'
import { now } from '../platform/platform.ts'
import { UsageError } from '../tensor/errors.ts'
import { suite, type SuiteLaw } from './suite.ts'
import { pausing, tryCases, type Failure, type Outcome } from './check.ts'
import { describeCase } from './describe_case.ts'
import { CaseDigest } from './digest.ts'
import { NO_BACKEND } from './law.ts'
import { encode } from './values.ts'

/** How laws are tried. */
export interface TryOptions {
  /** A 32-bit signed integer: equal seeds draw equal cases on every runtime. */
  readonly seed: number
  /** How many times as many cases as each law says; default 1. A law tries at least one. */
  readonly runs?: number
  /** Ends the run between two cases. What it yielded stays; the law it was in is not reported. */
  readonly signal?: AbortSignal
  /** The laws to try; default: the whole suite. */
  readonly laws?: readonly SuiteLaw[]
}

/** The laws to run. */
export interface VerifyOptions extends TryOptions {
  /** Names of backends, as `createBackend` knows them. */
  readonly backends: readonly string[]
}

/** The result of one law on one backend, as plain data that another thread can receive. */
export interface LawReport {
  /** Its sentence. */
  readonly law: string
  /** The suite it belongs to. */
  readonly chapter: string
  /** Its name; "none" if the law is about the runtime. */
  readonly backend: string
  /** Cases tried. */
  readonly runs: number
  /** Whether no case broke it. */
  readonly passed: boolean
  /** The smallest arguments found that break the law, as JSON (values.ts). */
  readonly counterexample?: string
  /** What is wrong, these arguments by name, and how to replay them, in words: at most 18 lines. Present if it is broken. */
  readonly report?: string
  /** fast-check's path from the seed to the counterexample. */
  readonly path?: string
  /** What is wrong with them, in one line. */
  readonly error?: string
  /** Checksum of the cases tried (digest.ts): of all of them if the law passed. */
  readonly digest: string
  /** How long it took. */
  readonly milliseconds: number
}

/**
 * Tries the laws of the specification on backends by name, as `shadowllm verify` does, and reports one law after the other. A backend of your
 * own is tried by `verifyBackends`. Laws that are about the runtime are tried once. Backends are started before the first law
 * is tried, and disposed after the last.
 * @throws UsageError SEED, RUNS; BACKEND_NAME or no name at all; MissingError for a backend that is not here
 * @example
 * ```ts
 * import { suite, verify } from 'shadowllm/verify'
 *
 * const laws = suite.filter(({ sentence }) => sentence.includes('softmax'))
 * for await (const { law, runs, passed, report } of verify({ backends: ['wasm'], laws, seed: 1, runs: 20 }))
 *   console.log(passed ? `holds in ${runs} cases: ${law}` : report)
 * ```
 */
export async function* verify({
  backends,
  ...options
}: VerifyOptions): AsyncGenerator<LawReport, void, void> {
  checkTrying(options)
  const started: Backend[] = []
  try {
    for (const name of backends) started.push(await createBackend(name as BackendName))
    yield* verifyBackends(started, options)
  } finally {
    for (const backend of started) backend.dispose()
  }
}

/**
 * Tries the laws on backends that have been started, such as one of your own, and does not dispose them; otherwise as `verify`.
 * @param backends on which every law is tried
 * @throws UsageError SEED, RUNS; BACKEND_NAME for no backend at all
 */
export async function* verifyBackends(
  backends: readonly Backend[],
  options: TryOptions,
): AsyncGenerator<LawReport, void, void> {
  checkTrying(options)
  if (backends.length === 0) throw new UsageError('BACKEND_NAME', 'backends: expected at least one, got none')
  for (const [law, backend] of tryingsOf(options.laws ?? suite, backends)) {
    const report = await tryLaw(law, backend, options)
    if (report === null) return
    yield report
  }
}

/**
 * Which laws are tried on which backend, in order: as many as `verifyBackends` gives reports, to show how far it is.
 * @param laws of one or several suites
 * @param backends that have been started
 */
export function tryingsOf(
  laws: readonly SuiteLaw[],
  backends: readonly Backend[],
): [law: SuiteLaw, backend: Backend][] {
  return backends.flatMap((backend, i) =>
    laws.filter(({ ofRuntime }) => i === 0 || !ofRuntime).map((law): [SuiteLaw, Backend] => [law, backend]),
  )
}

/** Tries one law; null if the signal stopped it. */
async function tryLaw(law: SuiteLaw, backend: Backend, options: TryOptions): Promise<LawReport | null> {
  const { seed, runs = 1, signal } = options
  const digest = new CaseDigest(encode)
  const live = backend.liveBuffers
  const start = now()
  const outcome = await tryCases({
    arbitraries: law.arbitraries,
    predicate: (args) => law.predicate(backend, args),
    seed,
    runs: Math.max(1, Math.round(law.runs * runs)),
    examples: law.examples,
    onCase: (args) => digest.add(args),
    goOn: pausing(signal),
  })
  if (outcome.interrupted) return null
  return {
    law: law.sentence,
    chapter: law.chapter,
    backend: law.ofRuntime ? NO_BACKEND : backend.name,
    runs: outcome.runs,
    ...verdictOf(outcome, backend.liveBuffers - live),
    digest: digest.value,
    milliseconds: now() - start,
  }
}

type VerdictFields = Pick<LawReport, 'passed' | 'counterexample' | 'report' | 'path' | 'error'>

function verdictOf({ failure }: Outcome, leftBehind: number): VerdictFields {
  if (failure !== null) return { passed: false, ...fieldsOf(failure) }
  if (leftBehind === 0) return { passed: true }
  const error = new Error(`buffers left behind: expected 0, got ${leftBehind}`)
  return { passed: false, report: describeCase({ error }), error: error.message }
}

function fieldsOf({ counterexample, path, error, report }: Failure): Omit<VerdictFields, 'passed'> {
  const words = error instanceof Error ? error.message : String(error)
  return {
    ...(counterexample === null ? {} : { counterexample: JSON.stringify(encode(counterexample)) }),
    report,
    ...(path === null ? {} : { path }),
    error: words.replace(/\s+/g, ' ').trim(),
  }
}

function checkTrying({ seed, runs = 1 }: TryOptions): void {
  if (seed !== (seed | 0)) throw new UsageError('SEED', `seed: expected a 32-bit signed integer, got ${seed}`)
  if (!(runs > 0 && Number.isFinite(runs)))
    throw new UsageError('RUNS', `runs: expected a number above 0, got ${runs}`)
}

/**
 * `shadowllm parity run` and `parity verify-certificate`: a backend of this project against the reference, and whether what
 * was found of it still holds.
 */
import type { Command } from 'commander'
import type { Backend, BackendName } from '../../backends/backend.ts'
import { createBackend } from '../../backends/select.ts'
import { describeWorst } from '../../parity/check.ts'
import {
  checkHolds,
  hasPassed,
  makeCertificate,
  readCertificate,
  renderCertificate,
  type CertificateSummary,
} from '../../parity/certificate.ts'
import { owesBits, shareOfAllowed } from '../../testing/op_agreement.ts'
import { runModel, type ModelOutcome } from '../../parity/run_model.ts'
import { runOps, type OpOutcome } from '../../parity/run_ops.ts'
import { placeOf } from '../../parity/worst.ts'
import { hashFiles, modelSource, type ModelSource } from '../../results/provenance.ts'
import { kernelNames, type KernelName } from '../../ops/catalog.ts'
import type { Sizes } from '../../ops/op.ts'
import type { ShadowModel } from '../../library/shadow_model.ts'
import { UsageError } from '../../tensor/errors.ts'
import { addFlags, type ModelFlags, type SharedFlags } from '../flags.ts'
import { exitCodes } from '../failure.ts'
import { withModel } from '../open_model.ts'
import { checkOutput, writeOutput } from '../output.ts'
import { wrapLines } from '../../results/fold.ts'
import { printResult } from '../report.ts'
import { paintVerdicts } from '../screen.ts'
import type { Session } from '../session.ts'
import { formatColumns, formatCount, formatError, formatFacts, formatMilliseconds } from '../words.ts'
import { listOf, addOwnFlags, type FlagsOf } from '../values.ts'
import { nameOption } from '../../tensor/option.ts'

const runHelp = `
Every op of the catalogue is called on seeded cases: each size 0, 1 and odd, more than a tile on extreme numbers, then
the sizes of OPT-125m, whose time is shown. Numbers must be those of its definition, bit for bit, or within the bound of
its row if the backend may leave products unrounded (wasm-relaxed) or also add in another order (cuda-fast,
webgpu-fast). Then the model is compared with the reference: logits, activations, gradients, criteria, masks, logits
under a mask and greedy tokens. A difference is named, and the command ends with exit code 1.

Examples:
  $ shadowllm parity run
  $ shadowllm parity run --backend wasm-relaxed --certificate relaxed.json
  $ shadowllm parity run --ops linear,attention --seed 7`

const verifyHelp = `
A certificate holds for the kernels and the definitions it names. Ends with exit code 1 if either has changed since.

Examples:
  $ shadowllm parity verify-certificate relaxed.json`

/** `--ops`: names of the catalogue. */
export const opsOption = (description: string) =>
  listOf('--ops <list>', description, nameOption('OPS', kernelNames))

/** Lines of what one of two sides has alone, by their titles. */
export function onlyWords(lists: Readonly<Record<string, readonly string[]>>): string {
  const lines = Object.entries(lists).filter(([, names]) => names.length > 0)
  return lines.map(([title, names]) => `${title}: ${names.join(' ')}\n`).join('')
}

const runFlags = [
  opsOption('only these ops, separated by commas, and no model'),
  ['--small', 'leave out the sizes of OPT-125m'],
  ['--certificate <file>', 'write the findings as JSON, with the hash of the kernels they hold for'],
] as const

type RunFlags = FlagsOf<typeof runFlags> & ModelFlags & SharedFlags<'seed' | 'json'>

/** Adds both commands. */
export function addParityRun(parity: Command, session: Session): void {
  const running = parity
    .command('run')
    .description('compare a backend with the reference: every op, then a whole model')
  addFlags(running, 'backend', 'model', 'seed')
  addOwnFlags(running, runFlags)
  addFlags(running, 'json', 'quiet')
    .addHelpText('after', runHelp)
    .action((flags: RunFlags) => runParity(session, flags))
  const verifying = parity
    .command('verify-certificate')
    .description('check that a certificate still holds for the kernels and definitions of this version')
    .argument('<file>', 'as "parity run --certificate" writes it')
  addFlags(verifying, 'json')
    .addHelpText('after', verifyHelp)
    .action((file: string, flags: { json?: boolean }) => runVerify(session, file, flags))
}

/** The findings so far. */
export interface Findings {
  ops: OpOutcome[]
  model: ModelOutcome | null
  /** Whether that is all that was asked for. */
  complete: boolean
}

async function runParity(session: Session, flags: RunFlags): Promise<void> {
  for (const name of ['model', 'revision'] as const)
    if (flags.ops !== undefined && flags[name] !== undefined)
      throw new UsageError('FLAGS', `--${name}: expected no --ops beside it, got some`)
  if (flags.certificate !== undefined) await checkOutput(flags.certificate)
  if (flags.ops !== undefined) return runAll(session, flags, null)
  await withModel(session, { ...flags, backend: 'reference' }, (reference) =>
    withModel(session, flags, (opt) => runAll(session, flags, { opt, reference })),
  )
}

/** The same model in the backend and in the reference. */
interface Models {
  readonly opt: ShadowModel
  readonly reference: ShadowModel
}

async function runAll(session: Session, flags: RunFlags, models: Models | null): Promise<void> {
  const found: Findings = { ops: [], model: null, complete: false }
  const backend = await createBackend(flags.backend)
  try {
    await runOpsOn(session, backend, flags, found)
    if (models) found.model = await runModelsOn(session, flags, models)
    found.complete = true
    if (flags.certificate !== undefined) {
      const { ops, model } = found
      const source = models ? await sourceOf(models.opt) : { name: 'none', hash: '' }
      const run = { backend, source, seed: flags.seed, argv: session.args, ops, model }
      await writeOutput(flags.certificate, renderCertificate(await makeCertificate(run)))
    }
  } finally {
    backend.dispose()
    // What was found is shown, whatever ended the run.
    if (found.ops.length > 0) await showFindings(session, { ...flags, backend: backend.name }, found)
  }
}

async function runOpsOn(session: Session, backend: Backend, flags: RunFlags, found: Findings): Promise<void> {
  const { ops = kernelNames, seed, small } = flags
  const onProgress = (done: number, total: number, op: KernelName | null): void =>
    session.progress.update({ stage: 'ops', done, total, ...(op && { note: op }) })
  for await (const outcome of runOps(backend, { ops, seed, small, signal: session.signal, onProgress }))
    found.ops.push(outcome)
}

function runModelsOn(session: Session, flags: RunFlags, { opt, reference }: Models): Promise<ModelOutcome> {
  return runModel(opt.model, reference.model, {
    seed: flags.seed,
    strict: owesBits(opt.model.backend),
    signal: session.signal,
    onProgress: (done, total, note) => session.progress.update({ stage: 'model', done, total, note }),
  })
}

async function sourceOf({ name, files, origin }: ShadowModel): Promise<ModelSource> {
  return modelSource(name, await hashFiles(files), origin)
}

/** What `parity run --json` prints. */
export interface ParityRunOutput extends Findings {
  readonly backend: BackendName
  readonly seed: number
  readonly passed: boolean
}

/** What `parity verify-certificate --json` prints. */
export type CertificateOutput = { readonly holds: true } & CertificateSummary

/** Prints what was found; the session ends with exit code 1 if anything of it disagrees. */
export async function showFindings(
  session: Session,
  flags: Pick<RunFlags, 'backend' | 'seed' | 'json'>,
  found: Findings,
): Promise<void> {
  const passed = hasPassed(found)
  const all: ParityRunOutput = { backend: flags.backend, seed: flags.seed, passed, ...found }
  await printResult(session, flags, all, (_, { columns }) =>
    paintVerdicts(formatFindings(flags.backend, found, columns)),
  )
  if (!passed) session.exitCode = exitCodes.checkFailed
}

function formatFindings(backend: BackendName, found: Findings, columns: number): string {
  const heading = ['', 'op', 'owes', 'cases', 'differ', 'worst', 'of bound', 'seen at', 'reference', backend]
  const fit = { columns, keys: 2 }
  const table = formatColumns([heading, ...found.ops.map(formatOp)], [3, 4, 5, 6, 8, 9], fit)
  const model = found.model ? `\n${formatModel(found.model, backend, columns)}` : ''
  return `${table}${model}${formatVerdict(found)}\n`
}

function formatOp(outcome: OpOutcome): string[] {
  const { op, passed, owes, cases, differing, worst, milliseconds, referenceMilliseconds } = outcome
  const share = worst?.tolerance ? shareOfAllowed(worst).toPrecision(2) : ''
  return [
    passed ? 'ok' : 'FAIL',
    op,
    owes,
    String(cases),
    formatCount(differing),
    formatError(worst?.error ?? 0),
    share,
    worst === null ? '' : formatSizes(worst.sizes),
    formatMilliseconds(referenceMilliseconds),
    milliseconds === null ? '-' : formatMilliseconds(milliseconds),
  ]
}

/** Sizes in the order of their row: "T=1 O=3". */
export function formatSizes(sizes: Sizes): string {
  return Object.entries(sizes)
    .map(([letter, size]) => `${letter}=${size}`)
    .join(' ')
}

function formatModel(outcome: ModelOutcome, backend: BackendName, columns: number): string {
  const { report, checks, milliseconds, referenceMilliseconds } = outcome
  const { tensors } = report
  const failed = tensors.filter(({ passed }) => !passed)
  const largest = Math.max(...tensors.map(({ worstRelative }) => worstRelative))
  const words =
    failed.length === 0
      ? `${tensors.length} within tolerance, worst relative error ${formatError(largest)}`
      : `${failed.map(({ name }) => name).join(' ')} past tolerance`
  const rows = [
    [failed.length === 0 ? 'ok' : 'FAIL', 'tensors', words],
    ...checks.map(({ passed, name, detail }) => [passed ? 'ok' : 'FAIL', name, detail]),
    [
      '',
      'time',
      `reference ${formatMilliseconds(referenceMilliseconds)}, ${backend} ${formatMilliseconds(milliseconds)}`,
    ],
  ]
  return wrapLines(formatColumns(rows), columns, ' '.repeat(6))
}

function formatVerdict(found: Findings): string {
  const { ops, model, complete } = found
  const failed = ops.filter(({ passed }) => !passed)
  if (failed.length > 0) {
    const more =
      failed.length > 1 ? `, and ${failed.length - 1} more: ${failed.map(({ op }) => op).join(' ')}` : ''
    return `failed: ${describeFailed(failed[0])}${more}`
  }
  const broken = model?.checks.find(({ passed }) => !passed)
  if (model?.report.worst) return `failed: the model's ${describeWorst(model.report.worst)}`
  if (broken) return `failed: the model's ${broken.name}: ${broken.detail}`
  const passed = `${ops.length} ${ops.length === 1 ? 'op' : 'ops'}${model ? ' and the model' : ''}`
  return complete ? `passed: ${passed}` : `stopped: ${passed} passed, and nothing is known of the rest`
}

function describeFailed({ op, worst, fault }: OpOutcome): string {
  if (worst === null || worst.passed) return `${op}: ${fault}`
  return `${op}: ${placeOf(op, worst)} is ${worst.actual}, expected ${worst.expected}, at ${formatSizes(worst.sizes)}`
}

async function runVerify(session: Session, file: string, flags: { json?: boolean }): Promise<void> {
  const certificate = await readCertificate(file)
  await checkHolds(file, certificate)
  const all: CertificateOutput = { holds: true, ...certificate }
  await printResult(session, flags, all, (found, { columns }) => {
    const { backend, version, date, device, ops, hasModel } = found
    const rows: [string, string][] = [
      ['backend', device === null ? backend : `${backend} on ${device}`],
      ['made', `${date}, version ${version}`],
      ['covers', `${ops} of ${kernelNames.length} ops${hasModel ? ' and a model' : ''}`],
      ['kernels', 'unchanged'],
      ['definitions', 'unchanged'],
    ]
    return paintVerdicts(`${formatFacts(rows, columns)}holds: ${file}\n`)
  })
}

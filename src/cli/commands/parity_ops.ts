/**
 * `shadowllm parity export-ops` and `parity check-ops`: any backend, in any language, op by op.
 *
 * The first writes calls and what the definitions make of them, the second compares a backend's answers. spec/parity.md says
 * what the files hold.
 */
import type { Command } from 'commander'
import { checkOps, type OpCheck, type OpsReport } from '../../parity/check_ops.ts'
import { shareOfAllowed, type Owed } from '../../testing/op_agreement.ts'
import { opFile, opFileName } from '../../parity/op_files.ts'
import { placeOf } from '../../parity/worst.ts'
import { encodeSafetensors } from '../../io/safetensors_writer.ts'
import { kernelNames } from '../../ops/catalog.ts'
import { joinPath, makeFolder } from '../../platform/platform.ts'
import { UsageError } from '../../tensor/errors.ts'
import { pause } from '../../platform/pause.ts'
import { exitCodes } from '../failure.ts'
import { addFlags, type SharedFlags } from '../flags.ts'
import { checkOutputFolder, whileWriting, writeOutput } from '../output.ts'
import { printResult } from '../report.ts'
import { paintVerdicts } from '../screen.ts'
import type { Session } from '../session.ts'
import { formatBytes, formatColumns, formatCount, formatError } from '../words.ts'
import { formatSizes, onlyWords, opsOption } from './parity_run.ts'
import { addOwnFlags, number, required, type FlagsOf } from '../values.ts'

const exportHelp = `
Writes a file <op>.safetensors for each op: of case 3 the arrays it reads as 3.in.x, what the definition writes as
3.out.y, sizes and scalars as text 3.T in the metadata. A backend answers with files of the same names that hold the
outputs.

Examples:
  $ shadowllm parity export-ops --output expected
  $ shadowllm parity export-ops --output expected --ops linear,linear_input_major --small`

const checkHelp = `
Numbers must have the bits of the definition. --relaxed allows products of multiply-adds to stay unrounded, within the
bound of each row; --tolerance allows a share of an output's largest number. If a failure has the numbers of a common
mistake, the mistake is named. Ends with exit code 1 if an op fails, and with --strict also if a file is in one folder only.

Examples:
  $ shadowllm parity check-ops expected actual
  $ shadowllm parity check-ops expected actual --strict
  $ shadowllm parity check-ops expected actual --relaxed`

const exportFlags = [
  required('-o, --output <dir>', 'folder for the files; made if it does not exist'),
  opsOption('only these ops, separated by commas'),
  ['--small', 'leave out the sizes of OPT-125m'],
] as const

const checkFlags = [
  ['--strict', 'fail if a file is in one folder only'],
  ['--relaxed', 'allow the error of unrounded products of multiply-adds'],
  [
    '--tolerance <share>',
    "one bound for every op, relative to an output's largest number; 0 asks for equal bits",
    number(0),
  ],
] as const

type ExportFlags = FlagsOf<typeof exportFlags> & SharedFlags<'seed'>
type CheckFlags = FlagsOf<typeof checkFlags> & SharedFlags<'json'>

/** Adds both commands. */
export function addParityOps(parity: Command, session: Session): void {
  const exporting = parity
    .command('export-ops')
    .description('write calls of ops and their results, for a backend in any language')
  addFlags(addOwnFlags(exporting, exportFlags), 'seed', 'quiet')
    .addHelpText('after', exportHelp)
    .action((flags: ExportFlags) => runExportOps(session, flags))
  const checking = parity
    .command('check-ops')
    .description("compare a backend's results with those, op by op")
    .argument('<expected>', 'folder that "parity export-ops" wrote')
    .argument('<actual>', 'folder of files of the same names with the outputs')
  addFlags(addOwnFlags(checking, checkFlags), 'json', 'quiet')
    .addHelpText('after', checkHelp)
    .action((expected: string, actual: string, flags: CheckFlags) =>
      runCheckOps(session, expected, actual, flags),
    )
}

async function runExportOps(session: Session, flags: ExportFlags): Promise<void> {
  const { output, ops = kernelNames, small, seed } = flags
  await checkOutputFolder(output)
  await whileWriting(output, () => makeFolder(output))
  let total = 0
  for (const [done, op] of ops.entries()) {
    session.progress.update({ stage: 'writing', done, total: ops.length, note: op })
    await pause(session.signal)
    const { tensors, metadata } = opFile(op, { seed, small })
    const bytes = encodeSafetensors(tensors, metadata)
    await writeOutput(joinPath(output, opFileName(op)), bytes)
    total += bytes.length
  }
  await session.print(`${output}: ${ops.length} ${ops.length === 1 ? 'op' : 'ops'}, ${formatBytes(total)}\n`)
}

async function runCheckOps(
  session: Session,
  expected: string,
  actual: string,
  flags: CheckFlags,
): Promise<void> {
  const report = await checkOps(expected, actual, {
    owed: owedBy(flags),
    strict: flags.strict,
    signal: session.signal,
    onProgress: (done, total, op) =>
      session.progress.update({ stage: 'checking', done, total, ...(op && { note: op }) }),
  })
  await printResult(session, flags, report, (found, { columns }) =>
    paintVerdicts(formatReport(found, columns)),
  )
  if (!report.passed) session.exitCode = exitCodes.checkFailed
}

function owedBy({ relaxed, tolerance }: CheckFlags): Owed {
  if (relaxed && tolerance !== undefined)
    throw new UsageError('FLAGS', '--tolerance: expected no --relaxed beside it, got both')
  if (tolerance !== undefined) return { share: tolerance }
  return relaxed ? 'relaxed' : 'row'
}

function formatReport(report: OpsReport, columns: number): string {
  const { ops, onlyExpected, onlyActual } = report
  const heading = ['', 'op', 'cases', 'failed', 'numbers', 'differ', 'worst', 'of bound']
  const fit = { columns, keys: 2 }
  const table = formatColumns([heading, ...ops.map(formatOp)], [2, 3, 4, 5, 6, 7], fit)
  const only = onlyWords({ 'only expected': onlyExpected, 'only answered': onlyActual })
  const failed = ops.filter(({ passed }) => !passed)
  return `${table}${only}${failed.map(describeFailed).join('')}${verdictOf(report)}\n`
}

/** What came of it, and how many of the expected ops it is about. */
function verdictOf({ passed, ops, onlyExpected }: OpsReport): string {
  const failed = ops.filter((op) => !op.passed).length
  const of = ops.length + onlyExpected.length
  const compared =
    onlyExpected.length === 0
      ? `${ops.length} ${ops.length === 1 ? 'op' : 'ops'}`
      : `${ops.length} of ${of} ops compared`
  if (passed) return `passed: ${compared}`
  return failed === 0 ? `failed: ${compared}, --strict` : `failed: ${failed} of ${compared}`
}

function formatOp({
  passed,
  op,
  cases,
  failedCases,
  compared,
  differing,
  worst,
  mismatch,
}: OpCheck): string[] {
  return [
    passed ? 'ok' : 'FAIL',
    op,
    String(cases),
    mismatch === null ? String(failedCases.length) : '-',
    formatCount(compared),
    formatCount(differing),
    formatError(worst?.error ?? 0),
    worst?.tolerance ? shareOfAllowed(worst).toPrecision(2) : '',
  ]
}

function describeFailed({ op, worst, mismatch, hint }: OpCheck): string {
  if (mismatch !== null || worst === null) return `${op}: ${mismatch}\n`
  const place = `case ${worst.case}, ${placeOf(op, worst)}`
  const line = `${op}: ${place}: expected ${worst.expected}, got ${worst.actual} at ${formatSizes(worst.sizes)}`
  return `${line}\n${hint === null ? '' : `${op}: ${hint}\n`}`
}

/**
 * `shadowllm parity`: how anyone validates a backend, in any language.
 *
 * `export` writes what the model computes on some cases; `check` compares two such files tensor by tensor.
 */
import type { Command } from 'commander'
import { checkParity, describeWorst, type ParityReport } from '../../parity/check.ts'
import { exportParity } from '../../parity/export.ts'
import { readParityCases, readParityFile } from '../../parity/files.ts'
import { describeBound } from '../../parity/kinds.ts'
import { encodeSafetensors } from '../../io/safetensors_writer.ts'
import { exitCodes } from '../failure.ts'
import { addFlags, type SharedFlags } from '../flags.ts'
import { withModel } from '../open_model.ts'
import { checkOutput, writeOutput } from '../output.ts'
import { printResult } from '../report.ts'
import { paintVerdicts } from '../screen.ts'
import type { Session } from '../session.ts'
import { countOf, formatBytes, formatColumns, formatError } from '../words.ts'
import { addParityOps } from './parity_ops.ts'
import { addParityRun, onlyWords } from './parity_run.ts'
import { flagOf, number, addOwnFlags, required, type FlagsOf } from '../values.ts'

const exportHelp = `
FILE of --cases holds input_ids [B, T] and, as wanted, attention_mask and labels [B, T] (-100 is not scored),
head_mask [L, H] and ffn_mask [L, F]. The output repeats them and adds logits, nll, hidden.0..L, head_out, fc1_act;
with labels loss, head_out_grad, fc1_act_grad and crit.*; with masks masked.logits and masked.loss.

Examples:
  $ shadowllm parity export -m DIR --cases cases.safetensors --output ours.safetensors
  $ shadowllm parity export -m DIR --cases cases.safetensors --output reference.safetensors --backend reference`

const checkHelp = `
Tolerances, unless --tolerance gives one for all:
  logits, nll                 2e-4 absolute
  loss                        1e-5 relative
  gradients, criteria, others 1e-4 of the tensor's largest value
  ids, labels, masks          equal
Rows where attention_mask is 0 in either file are left out. Ends with exit code 1 if a tensor is past its tolerance.

Examples:
  $ shadowllm parity check reference.safetensors ours.safetensors
  $ shadowllm parity check reference.safetensors wasm.safetensors --tolerance 0`

const parityHelp = `
Examples:
  $ shadowllm parity export -m DIR --cases cases.safetensors --output reference.safetensors --backend reference
  $ shadowllm parity export -m DIR --cases cases.safetensors --output ours.safetensors
  $ shadowllm parity check reference.safetensors ours.safetensors`

/** Gives the command its arguments, flags and action. */
export function define(parity: Command, session: Session): void {
  parity.addHelpText('after', parityHelp)
  addParityRun(parity, session)
  addParityOps(parity, session)
  const exporting = parity
    .command('export')
    .description('run a model on cases and write every intermediate result')
  addFlags(exporting, 'model')
  addOwnFlags(exporting, exportFlags)
  addFlags(exporting, 'backend', 'quiet')
    .addHelpText('after', exportHelp)
    .action((flags: ExportFlags) => runExport(session, flags))
  const checking = parity
    .command('check')
    .description('compare two parity files, tensor by tensor')
    .argument('<a>', 'safetensors, such as a golden file')
    .argument('<b>', 'safetensors to compare with it')
    .addOption(
      flagOf(
        '--tolerance <share>',
        'one bound for every tensor, relative to its largest value; 0 asks for equality',
        number(0),
      ),
    )
  addFlags(checking, 'json')
    .addHelpText('after', checkHelp)
    .action((a: string, b: string, flags: { tolerance?: number; json?: boolean }) =>
      runCheck(session, a, b, flags),
    )
}

const exportFlags = [
  required('--cases <file>', 'safetensors with the cases'),
  required('-o, --output <file>', 'safetensors to write'),
] as const

type ExportFlags = FlagsOf<typeof exportFlags> & SharedFlags<'model' | 'backend' | 'quiet'>

async function runExport(session: Session, flags: ExportFlags): Promise<void> {
  await checkOutput(flags.output)
  const cases = await readParityCases(flags.cases)
  const onProgress = (done: number, total: number): void =>
    session.progress.update({ stage: 'running', done, total })
  const tensors = await withModel(session, flags, ({ model }) =>
    exportParity(model, cases, { signal: session.signal, onProgress }),
  )
  const bytes = encodeSafetensors(tensors, { backend: flags.backend })
  await writeOutput(flags.output, bytes)
  await session.print(`${flags.output}: ${countOf(tensors.size, 'tensor')}, ${formatBytes(bytes.length)}\n`)
}

async function runCheck(
  session: Session,
  a: string,
  b: string,
  { tolerance, json }: { tolerance?: number; json?: boolean },
): Promise<void> {
  const report = checkParity(await readParityFile(a), await readParityFile(b), tolerance ?? null)
  await printResult(session, { json }, report, (found, { columns }) =>
    paintVerdicts(formatReport(found, columns)),
  )
  if (!report.passed) session.exitCode = exitCodes.checkFailed
}

function formatReport(report: ParityReport, columns: number): string {
  const rows = report.tensors.map((tensor) => [
    tensor.passed ? 'ok' : 'FAIL',
    tensor.name,
    `[${tensor.shape.join(', ')}]`,
    tensor.mismatch ?? formatError(tensor.worstAbsolute),
    tensor.mismatch ? '' : formatError(tensor.worstRelative),
    describeBound(tensor.tolerance, tensor.measure),
  ])
  const headings = ['', 'tensor', 'shape', 'absolute', 'relative', 'tolerance']
  const table = formatColumns([headings, ...rows], [], { columns, keys: 2 })
  const only = onlyWords({ 'only in the first': report.onlyInA, 'only in the second': report.onlyInB })
  return `${table}${only}${formatVerdict(report)}\n`
}

function formatVerdict({ tensors, worst, unknown, onlyInA }: ParityReport): string {
  const all = tensors.length + onlyInA.length
  const compared = onlyInA.length === 0 ? `${all} tensors` : `${tensors.length} of ${all} tensors`
  if (worst) {
    const failed = tensors.filter(({ passed }) => !passed).length
    return `failed: ${failed} of ${tensors.length} tensors past tolerance, worst ${describeWorst(worst)}`
  }
  if (unknown.length > 0) return `failed: no tensor has the name ${unknown.join(', ')}`
  return `passed: ${compared} within tolerance`
}

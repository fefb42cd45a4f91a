/**
 * Compares what a backend answered, op by op, with what the definitions gave: two folders of the files of op_files.ts.
 *
 * Of an answer only the outputs are read, `3.out.y`. An op whose file is in one folder only is listed, and a failure if that is
 * asked for; of an op that is there every case must be.
 */
import { kindOf } from '../io/files.ts'
import { refusal } from '../io/refusal.ts'
import { openSafetensors } from '../io/safetensors.ts'
import { kernels, type KernelName } from '../ops/catalog.ts'
import type { Numbers } from '../ops/op.ts'
import { joinPath, list } from '../platform/platform.ts'
import { closing, type RawTensorSource } from '../tensor/tensor_source.ts'
import { InputError } from '../tensor/errors.ts'
import { pause } from '../platform/pause.ts'
import { isObject } from '../tensor/arguments.ts'
import { checkOptions, expectOption, kinds, required, type Kinds } from '../tensor/option.ts'
import { compareOutputs, type Owed } from '../testing/op_agreement.ts'
import { arraysOf } from '../testing/op_case.ts'
import { openOpFile, opFileName, opsOfFiles, readNumbers, type StoredCase } from './op_files.ts'
import { hintOf, type AnsweredCase } from './op_hints.ts'
import type { OpOutcome } from './run_ops.ts'
import { worseOf, type PlacedDifference } from './worst.ts'

/** The result of the file of one op. */
export interface OpCheck extends Pick<
  OpOutcome,
  'op' | 'passed' | 'cases' | 'compared' | 'differing' | 'worst'
> {
  /** Cases in which a number is past what is allowed. */
  readonly failedCases: readonly number[]
  /** Why there are no numbers to compare, or null. */
  readonly mismatch: string | null
  /** What the failure usually means, where that could be told; null otherwise. */
  readonly hint: string | null
}

/** What was found of two folders. */
export interface OpsReport {
  readonly passed: boolean
  readonly ops: readonly OpCheck[]
  readonly onlyExpected: readonly string[]
  readonly onlyActual: readonly string[]
}

/** How folders are compared, and what watches it. */
export interface CheckOpsOptions {
  readonly owed: Owed
  /** Whether a file that is in one folder only is a failure. Default: no. */
  readonly strict?: boolean
  readonly signal?: AbortSignal
  /** Called before each op and at the end. */
  readonly onProgress?: (done: number, total: number, op: KernelName | null) => void
}

const checkFields: Kinds<CheckOpsOptions> = {
  owed: required({
    words: 'row, relaxed, fast or { share }',
    holds: (value) =>
      isObject(value) ? 'share' in value : value === 'row' || value === 'relaxed' || value === 'fast',
  }),
  strict: kinds.flag,
  signal: kinds.signal,
  onProgress: kinds.call,
}

/**
 * Judges ops that another program computed: compares its files with those of the reference, of the ops that both folders have.
 * @param expectedFolder files of cases with the numbers of the reference
 * @param actualFolder files of the same names with the numbers that are judged
 * @throws InputError FILE_MISSING, FILE_KIND, FILE_READ for what is no folder, PARITY_NOTHING if they have none in common,
 *   PARITY_OP_FILE and what `openSafetensors` throws for a
 *   file of expected numbers that is not one; UsageError PATH, OPTIONS, OPTION_NAME, OPTION_TYPE for arguments of other names or types;
 *   the signal's reason
 * @example
 * ```ts no-run
 * import { checkOps } from 'shadowllm/eval'
 *
 * // The first folder is of `shadowllm parity export-ops`; examples/own_backend.ts writes the second.
 * const { passed, ops } = await checkOps('expected', 'actual', { owed: 'row' })
 * console.log(passed, ops.length)
 * ```
 */
export async function checkOps(
  expectedFolder: string,
  actualFolder: string,
  options: CheckOpsOptions,
): Promise<OpsReport> {
  for (const [name, folder] of Object.entries({ expectedFolder, actualFolder }))
    expectOption(name, folder, kinds.path)
  checkOptions(options, checkFields)
  const { owed, strict = false, signal, onProgress } = options
  const [expected, actual] = await Promise.all([listFiles(expectedFolder), listFiles(actualFolder)])
  const common = opsOfFiles(expected.filter((name) => actual.includes(name)))
  if (common.length === 0)
    throw new InputError(
      'PARITY_NOTHING',
      'parity check-ops: expected files <op>.safetensors that both folders have, got none',
    )
  const ops: OpCheck[] = []
  for (const [index, op] of common.entries()) {
    onProgress?.(index, common.length, op)
    await pause(signal)
    const file = opFileName(op)
    ops.push(await checkOp(op, joinPath(expectedFolder, file), joinPath(actualFolder, file), owed))
  }
  onProgress?.(common.length, common.length, null)
  const others = (names: readonly string[]): string[] =>
    names.filter((name) => name.endsWith('.safetensors') && !common.some((op) => opFileName(op) === name))
  const [onlyExpected, onlyActual] = [others(expected), others(actual)]
  const isWhole = onlyExpected.length + onlyActual.length === 0
  return { passed: ops.every(({ passed }) => passed) && (isWhole || !strict), ops, onlyExpected, onlyActual }
}

async function listFiles(folder: string): Promise<string[]> {
  const kind = await kindOf(folder)
  if (kind === 'missing') throw refusal('FILE_MISSING', folder, 'a folder', 'nothing')
  if (kind !== 'directory')
    throw refusal('FILE_KIND', folder, 'a folder', kind === 'file' ? 'a file' : 'a device')
  return list(folder)
}

/** One op's files. */
function checkOp(op: KernelName, expectedPath: string, actualPath: string, owed: Owed): Promise<OpCheck> {
  return closing(openOpFile(expectedPath, op), (stored) =>
    closing(openSafetensors(actualPath), async (answers) => {
      const cases: AnsweredCase[] = []
      let mismatch: string | null = null
      const found = { compared: 0, differing: 0, worst: null as PlacedDifference | null }
      for (let index = 0; index < stored.count && mismatch === null; index++) {
        const one = await stored.read(index)
        try {
          const actual = await readAnswer(actualPath, answers, op, one)
          const comparison = compareOutputs(op, one.values, one.expected, actual, owed)
          found.compared += comparison.compared
          found.differing += comparison.differing
          found.worst = worseOf(found.worst, comparison.worst, one)
          cases.push({ ...one, actual, passed: comparison.passed })
        } catch (error) {
          if (!(error instanceof InputError)) throw error
          mismatch = error.message
        }
      }
      const failedCases = cases.filter(({ passed }) => !passed).map(({ index }) => index)
      return {
        op,
        passed: failedCases.length === 0 && mismatch === null,
        cases: stored.count,
        failedCases,
        ...found,
        mismatch,
        hint: mismatch === null ? hintOf(op, cases, owed) : null,
      }
    }),
  )
}

async function readAnswer(
  path: string,
  answers: RawTensorSource,
  op: KernelName,
  { index, sizes, expected }: StoredCase,
): Promise<Record<string, Numbers>> {
  const actual: Record<string, Numbers> = {}
  for (const param of arraysOf(kernels[op]))
    if (expected[param.name])
      actual[param.name] = await readNumbers(path, answers, `${index}.out.${param.name}`, param, sizes)
  return actual
}

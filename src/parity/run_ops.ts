/**
 * `parity run`, kernel by kernel: a backend's ops on the cases of op_suite.ts, against their definitions.
 *
 * Every call stands between guard words and must leave its inputs alone (op_call.ts). A call that fails is a finding of
 * its op, not the end of the run.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { opCall, type Argument, type FlatArgument } from '../backends/calls.ts'
import { kernelNames, kernels, type KernelName } from '../ops/catalog.ts'
import { bufferShape, type Kernel, type Sizes } from '../ops/op.ts'
import { now } from '../platform/platform.ts'
import { pause } from '../platform/pause.ts'
import {
  checkOptions,
  expectOption,
  kinds,
  listOption,
  nameOption,
  required,
  seedOption,
  type Kinds,
} from '../tensor/option.ts'
import { isObject } from '../tensor/arguments.ts'
import { aligned, callAll, sizesOf, type RawCall, type Values } from '../testing/op_call.ts'
import { boundOf, compareOutputs, evaluate, owedBy, type Comparison } from '../testing/op_agreement.ts'
import { batchesOf, casesOf, type OpCase, type SuiteOptions } from './op_suite.ts'
import { worseOf, type PlacedDifference } from './worst.ts'

/** The result of one op. */
export interface OpOutcome extends Omit<Comparison, 'worst'> {
  readonly op: KernelName
  /** What it owes: equal bits, or to be within the bound of its row. */
  readonly owes: 'bits' | 'bound'
  /** Calls made. */
  readonly cases: number
  /** The number that is furthest past what is allowed, else furthest off, and the call it was seen in. */
  readonly worst: PlacedDifference | null
  /** What the first call that failed said, or null. */
  readonly fault: string | null
  /** A call of the last case, the largest: its sizes, and the time of the backend and of the definition. */
  readonly timedSizes: Sizes
  readonly milliseconds: number | null
  readonly referenceMilliseconds: number
}

/** Which ops on which cases, and what watches them. */
export interface RunOpsOptions extends SuiteOptions {
  /** The ops that are judged. */
  readonly ops: readonly KernelName[]
  /** Ends the work; the call then throws its reason. */
  readonly signal?: AbortSignal
  /** Called before each op and at the end. */
  readonly onProgress?: (done: number, total: number, op: KernelName | null) => void
}

const runFields: Kinds<RunOpsOptions> = {
  ops: required(listOption('a list of ops', nameOption('OPTION_TYPE', kernelNames))),
  seed: required(seedOption),
  small: kinds.flag,
  signal: kinds.signal,
  onProgress: kinds.call,
}

/**
 * Judges a backend op by op: runs each on drawn cases, compares with its definition, and gives one outcome after the other.
 * `makeCertificate` takes them.
 * @throws UsageError OPTIONS, OPTION_NAME, OPTION_TYPE, SEED for arguments of other names or types; the signal's reason
 */
export async function* runOps(backend: Backend, options: RunOpsOptions): AsyncGenerator<OpOutcome> {
  expectOption('backend', backend, { words: 'a backend of createBackend', holds: isBackend })
  checkOptions(options, runFields)
  const { ops, signal, onProgress } = options
  for (const [index, op] of ops.entries()) {
    onProgress?.(index, ops.length, op)
    await pause(signal)
    yield runOp(backend, op, options)
  }
  onProgress?.(ops.length, ops.length, null)
}

function isBackend(value: unknown): boolean {
  return isObject(value) && 'name' in value && 'liveBuffers' in value
}

/** The call of a case. */
function callOf({ op, index, values, aliased }: OpCase): RawCall {
  const placing = index % 2 === 0 ? aligned : { offset: index % 4 }
  return { name: op, given: values, placing: { ...placing, aliased } }
}

/** One op on all of its cases. */
export function runOp(backend: Backend, op: KernelName, options: SuiteOptions): OpOutcome {
  const owed = owedBy(backend)
  const found = { cases: 0, compared: 0, differing: 0 }
  let worst: PlacedDifference | null = null
  let fault: string | null = null
  let last = null as OpCase | null
  for (const batch of batchesOf(casesOf(op, options))) {
    const results = callAll(backend, batch.map(callOf))
    for (const [i, one] of batch.entries()) {
      found.cases++
      last = one
      const actual = results[i]
      if (actual instanceof Error) {
        fault ??= actual.message
        continue
      }
      const comparison = compareOutputs(op, one.values, evaluate(op, one.values), actual, owed)
      found.compared += comparison.compared
      found.differing += comparison.differing
      worst = worseOf(worst, comparison.worst, one)
    }
  }
  let milliseconds: number | null = null
  try {
    if (last !== null) milliseconds = timeOn(backend, op, last.values)
  } catch (error) {
    fault ??= messageOf(error)
  }
  return {
    op,
    passed: fault === null && (worst?.passed ?? true),
    owes: boundOf(op, owed) === null ? 'bits' : 'bound',
    ...found,
    worst,
    fault,
    timedSizes: last?.sizes ?? {},
    milliseconds,
    referenceMilliseconds: last === null ? 0 : quickest(() => void evaluate(op, last.values)),
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** A call is repeated for this long, but not more often than so; the quickest counts. */
const ENOUGH = 4 // ms
const MAX_CALLS = 64

/** Milliseconds of a call, its arrays being there already; reading a number waits for a backend that works on its own. */
function timeOn(backend: Backend, op: KernelName, values: Values): number {
  const row = kernels[op]
  return BufferScope.within(backend, (scope) => {
    const args = argumentsOn(scope, row, values)
    const output = args[row.params.findIndex((param) => param.kind === 'array' && param.role !== 'in')]
    const call = opCall(op, args)
    const run = backend.ops[call.op] as (...all: Argument[]) => void
    const first = backend.view(output as Buffer, [Math.min(1, (output as Buffer).length)])
    return quickest(() => {
      run(...call.args)
      backend.read(first)
    })
  })
}

/** The arguments of a call as buffers of a scope, by the names of the op's row; outputs that are only written are made. */
export function argumentsOn(scope: BufferScope, row: Kernel, values: Values): FlatArgument[] {
  const sizes = sizesOf(row, values)
  return row.params.map((param) => {
    const value = values[param.name] ?? null
    if (param.kind !== 'array' || typeof value === 'number') return value as number
    const shape = bufferShape(param, sizes)
    if (value !== null) return scope.upload(value, shape, param.dtype)
    return param.role === 'out' ? scope.allocate(param.dtype, shape) : null
  })
}

/** Milliseconds of a piece of work, the first time left out. */
function quickest(work: () => void): number {
  work()
  const start = now()
  let least = Infinity
  for (let calls = 0; calls < MAX_CALLS && (calls === 0 || now() - start < ENOUGH); calls++) {
    const before = now()
    work()
    least = Math.min(least, now() - before)
  }
  return least
}

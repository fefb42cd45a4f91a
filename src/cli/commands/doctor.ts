/**
 * `shadowllm doctor`: what this machine and runtime offer, and whether each backend really computes here.
 */
import type { Command } from 'commander'
import {
  backendNames,
  kernelSet,
  type AdapterLimits,
  type BackendName,
  type KernelSet,
} from '../../backends/backend.ts'
import { createBackend, tryWide, type WideReport } from '../../backends/select.ts'
import { hugePages, type PageReport } from '../../platform/huge_pages.ts'
import { machine, residentMemory, runtime, type Machine, type Runtime } from '../../platform/platform.ts'
import { probeWasm, type WasmFeatures } from '../../platform/wasm_features.ts'
import { MissingError } from '../../tensor/errors.ts'
import { exitCodes } from '../failure.ts'
import { addFlags } from '../flags.ts'
import { printResult } from '../report.ts'
import { paintVerdicts, type Screen, type Text } from '../screen.ts'
import type { Session } from '../session.ts'
import { dependencies, version } from '../../tensor/version.ts'
import { checkThreads, describeThreads, type ThreadCheck } from '../thread_check.ts'
import { formatBytes, formatFacts } from '../words.ts'

const help = `
Ends with exit code 1 if a backend does not work. Not counted: wasm-relaxed without relaxed SIMD, cuda and cuda-fast
without a GPU, the emulated ones without their emulator, and webgpu without an adapter or its package.

A backend is exact if it owes the bits of the definitions; relaxed and fast ones owe bounds. webgpu tries its adapter at
the start: one that does not keep the float contract runs webgpu-fast, and what it got wrong is named. Beside the adapter
stands how much of a matrix one binding holds (larger ones are split), and what its shaders could use; no kernel needs
half precision or subgroups.

Examples:
  $ shadowllm doctor
  $ shadowllm doctor --json`

/** Whether a backend computes here. */
export interface BackendState {
  readonly name: BackendName
  readonly works: boolean
  /** What it computes on; null where that is the processor, or where it does not work. */
  readonly device: string | null
  /** What that allows, where it is an adapter of WebGPU; null otherwise. */
  readonly limits: AdapterLimits | null
  /** Its kernels; null where it does not work. */
  readonly set: KernelSet | null
  /** Why these are not the exact ones, where its device decides; null otherwise. */
  readonly notExact: string | null
  /** Whether what it needs is not on this machine: no driver, no device, no adapter, no package, no emulator. */
  readonly absent: boolean
  /** Why it does not, or null. */
  readonly reason: string | null
}

/** Codes of errors that say so. */
const absences = ['CUDA_DRIVER', 'CUDA_DEVICE', 'GPU_MISSING']

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  addFlags(command, 'json')
    .addHelpText('after', help)
    .action(async (flags: { json?: boolean }) => {
      const report = await examine()
      await printResult(session, flags, report, formatReport)
      if (report.backends.some((state) => isBroken(state, report.wasm)))
        session.exitCode = exitCodes.checkFailed
    })
}

/** What `--json` prints. */
export interface DoctorOutput {
  /** Of shadowllm. */
  readonly version: string
  readonly runtime: Runtime
  readonly machine: Machine
  /** Bytes of this process; null if unknown. */
  readonly residentMemory: number | null
  readonly wasm: WasmFeatures
  readonly threads: ThreadCheck
  readonly backends: readonly BackendState[]
  /** Whether the backend wasm computes with vectors of 32 bytes. */
  readonly wide: WideReport
  /** Whether the memory of large models has pages of 2 MiB. */
  readonly pages: PageReport
  /** Versions by the names of packages. */
  readonly dependencies: Readonly<Record<string, string>>
}

async function examine(): Promise<DoctorOutput> {
  const threads = await checkThreads()
  const backends = await Promise.all(backendNames.map(tryBackend))
  return {
    version,
    runtime,
    machine: machine(),
    residentMemory: residentMemory(),
    wasm: probeWasm(),
    threads,
    backends,
    wide: await tryWide(),
    pages: hugePages(),
    dependencies,
  }
}

/** Whether a backend does not work, though nothing says that it could not. */
function isBroken({ name, works, absent }: BackendState, { relaxedSimd }: WasmFeatures): boolean {
  return !works && !absent && (name !== 'wasm-relaxed' || relaxedSimd)
}

/** Starts a backend and has it compute something small. */
async function tryBackend(name: BackendName): Promise<BackendState> {
  const none = { name, works: false, device: null, limits: null, set: null, notExact: null, absent: false }
  try {
    const backend = await createBackend(name)
    try {
      const { device = null, limits = null, notExact = null } = backend
      const x = backend.upload(Float32Array.of(-1, 2))
      backend.ops.relu(x, x)
      const [first, second] = backend.readF32(x)
      backend.free(x)
      const works = first === 0 && second === 2
      const reason = works ? null : `relu of -1, 2: expected 0, 2, got ${first}, ${second}`
      return { ...none, works, device, limits, set: kernelSet(backend.name), notExact, reason }
    } finally {
      backend.dispose()
    }
  } catch (error) {
    const absent = error instanceof MissingError && absences.includes(error.code)
    return { ...none, absent, reason: error instanceof Error ? error.message : String(error) }
  }
}

function formatReport(
  { runtime, machine, residentMemory, wasm, threads, backends, wide, pages, dependencies }: DoctorOutput,
  { columns }: Screen,
): Text {
  const yes = (has: boolean): string => (has ? 'yes' : 'no')
  const size = (bytes: number | null): string => (bytes === null ? 'unknown' : formatBytes(bytes))
  const rows: [string, string][] = [
    ['shadowllm', version],
    ['runtime', `${runtime.name} ${runtime.version}, ${runtime.system}`],
    ['processor', `${machine.processor}, ${machine.threads} threads`],
    [
      'memory',
      `${size(machine.totalMemory)}, ${size(machine.freeMemory)} free, ${size(residentMemory)} in this process`,
    ],
    ['wasm SIMD', yes(wasm.simd)],
    ['wasm relaxed SIMD', yes(wasm.relaxedSimd)],
    ['wasm threads', `${yes(wasm.threads)}, shared memory: ${yes(wasm.sharedMemory)}`],
    ['wasm 32 bytes', wide.used ? 'used' : `not used: ${wide.reason}`],
    ['memory pages', pages.huge ? '2 MiB for large models' : `none of 2 MiB: ${pages.reason}`],
    ['--threads auto', describeThreads(threads)],
    ...backendRows(backends),
    ...Object.entries(dependencies),
  ]
  return paintVerdicts(formatFacts(rows, columns), /(?<=^backend \S+ +)(works|does not work)\b/gm)
}

/** A row for each backend; those that lack the same share one. */
export function backendRows(backends: readonly BackendState[]): [string, string][] {
  const isHere = ({ absent }: BackendState): boolean => !absent
  const missing = Object.groupBy(
    backends.filter(({ absent }) => absent),
    (state) => reasonOf(state),
  )
  return [
    ...backends
      .filter(isHere)
      .map((state): [string, string] => [`backend ${state.name}`, describeBackend(state)]),
    ...Object.entries(missing).map(([reason, states = []]): [string, string] => [
      'not here',
      `${states.map(({ name }) => name).join(', ')}: ${reason}`,
    ]),
  ]
}

/** Why a backend does not work, without its name. */
const reasonOf = ({ name, reason }: BackendState): string => `${reason}`.replace(`backend ${name}: `, '')

/** A backend in words: "works, exact: llvmpipe". */
export function describeBackend(state: BackendState): string {
  const { works, device, limits, set, notExact } = state
  if (!works) return `does not work: ${reasonOf(state)}`
  const kernels = notExact === null ? set : `${set} (${notExact})`
  return `works, ${kernels}${device === null ? '' : `: ${device}`}${limits === null ? '' : `; ${describeLimits(limits)}`}`
}

function describeLimits({ bindingBytes, bindings, f16, subgroups }: AdapterLimits): string {
  const has = [f16 ? 'f16' : 'no f16', subgroups ? 'subgroups' : 'no subgroups']
  return `${bindings} bindings of ${formatBytes(bindingBytes)} at most, ${has.join(', ')}`
}

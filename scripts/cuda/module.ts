/**
 * Builds the module with nvcc: every kernel as PTX. Equal sources give equal bytes in any folder.
 */
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fastOps } from '../../src/backends/cuda/launch.ts'
import { kernelNames } from '../../src/ops/catalog.ts'
import { root } from '../sources.ts'
import { compile } from '../tool.ts'
import { kernelsHash } from './sources.ts'

/** The committed module, and the file that says what it is. */
export const modulePath: string = join(root, 'src/backends/cuda/kernels.ptx')
export const manifestPath: string = join(root, 'src/backends/cuda/kernels.json')

/** The kernels of the module: every op's, then those of the fast set. */
export const symbols: readonly string[] = [
  ...kernelNames.map((name) => `${name}_exact`),
  ...fastOps.map((name) => `${name}_fast`),
]

/** The oldest device the module runs on, by its compute capability. */
const OLDEST = 'compute_80'
/** The devices it is tried on: what ptxas makes of it there. */
export const architectures = ['sm_80', 'sm_90'] as const

/**
 * The language version that the module says it is in. nvcc writes its own, which older drivers refuse, though nothing in
 * the module is newer than this one, the first for those devices; ptxas refuses a module that is.
 */
const PTX_VERSION = '7.0'

const flags = ['-std=c++17', '-Werror', 'all-warnings']

/** What is said of the module. */
export interface Manifest {
  /** SHA-256 of its sources. */
  readonly sources: string
  /** SHA-256 of the module itself. */
  readonly module: string
}

/** What a kernel takes of a device. */
export interface Usage {
  readonly kernel: string
  readonly registers: number
  /** Bytes of shared memory, beside what a launch asks for. */
  readonly shared: number
  readonly stack: number
  readonly spilled: number
}

async function inFolder<Result>(work: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-cuda-'))
  try {
    return await work(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The module as text. @throws Error with what nvcc said */
export function compileModule(): Promise<string> {
  return inFolder(async (folder) => {
    const output = join(folder, 'kernels.ptx')
    const args = [...flags, '-ptx', `-arch=${OLDEST}`, '-o', output, 'kernels.cu']
    await compile('nvcc', args, join(root, 'cuda'))
    const text = readFileSync(output, 'utf8').replace(/^\.version .*$/m, `.version ${PTX_VERSION}`)
    return `// sources: ${kernelsHash()}\n${text}`
  })
}

/** What the module's file says of it. */
export function manifestOf(module: string): Manifest {
  return { sources: kernelsHash(), module: createHash('sha256').update(module).digest('hex') }
}

/** What every kernel takes on a device, as ptxas finds when it compiles the module for it. */
function usageOn(architecture: string): Promise<Usage[]> {
  return inFolder(async (folder) => {
    const args = ['-v', `-arch=${architecture}`, '-o', 'kernels.cubin', modulePath]
    return parseUsage(await compile('ptxas', args, folder))
  })
}

/** Reads what `ptxas -v` prints. */
export function parseUsage(text: string): Usage[] {
  return text
    .split('Compiling entry function ')
    .slice(1)
    .map((part) => {
      const number = (pattern: RegExp): number => Number(pattern.exec(part)?.[1] ?? 0)
      return {
        kernel: /^'(\w+)'/.exec(part)?.[1] ?? '',
        registers: number(/Used (\d+) registers/),
        shared: number(/(\d+) bytes smem/),
        stack: number(/(\d+) bytes stack frame/),
        spilled: number(/(\d+) bytes spill stores/) + number(/(\d+) bytes spill loads/),
      }
    })
    .sort((a, b) => (a.kernel < b.kernel ? -1 : 1))
}

/** What every kernel takes on each device. */
export function usageOnAll(): Promise<Usage[][]> {
  return Promise.all(architectures.map(usageOn))
}

/** The same as a table in Markdown; shared memory is the same on all of them. */
export function usageTable(columns: readonly (readonly Usage[])[]): string {
  const heads = ['kernel', ...architectures.map((name) => `registers, ${name}`), 'shared bytes', 'spilled']
  const rows = columns[0].map(({ kernel, shared }, i) => {
    const spilled = columns.reduce((total, usage) => total + usage[i].spilled, 0)
    return [kernel, ...columns.map((usage) => usage[i].registers), shared, spilled].map(String)
  })
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map((row) => row[i].length)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |\n`
  return [heads, widths.map((width) => '-'.repeat(width)), ...rows].map(line).join('')
}

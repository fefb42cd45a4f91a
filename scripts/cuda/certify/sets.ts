/**
 * The sets of kernels that the module has: how each is launched, and what it owes.
 */
import { launchOf, type Launch } from '../../../src/backends/cuda/launch.ts'
import type { BackendName } from '../../../src/backends/backend.ts'
import type { Owed } from '../../../src/eval/parity/op_agreement.ts'
import { opNames, type OpName } from '../../../src/ops/catalog.ts'

/** One kernel for each op, or for some. */
export interface KernelSet {
  /** What the names of its kernels end with: linear_exact. */
  readonly ending: string
  /** The backends that run it: on a GPU, and emulated. */
  readonly backend: BackendName
  readonly emulated: BackendName
  readonly owed: Owed
  readonly launchOf: (op: OpName) => (size: (letter: string) => number) => Launch
}

/** All sets. A kernel of the module that is in none of them fails the build of the bundle. */
export const kernelSets: readonly KernelSet[] = [
  { ending: 'exact', backend: 'cuda', emulated: 'cuda-emulated', owed: 'row', launchOf },
]

/** The kernels of a module, by name. */
export function kernelsOf(module: string): string[] {
  return [...module.matchAll(/\.visible \.entry (\w+)\(/g)].map(([, name]) => name)
}

/**
 * The ops that a set has kernels of, in the order of the catalogue.
 * @throws Error if the module has a kernel that is in no set
 */
export function opsOf(set: KernelSet, module: string): OpName[] {
  const kernels = new Set(kernelsOf(module))
  const known = new Set(kernelSets.flatMap(({ ending }) => opNames.map((op) => `${op}_${ending}`)))
  const stray = [...kernels].find((name) => !known.has(name))
  if (stray !== undefined) throw new Error(`kernels.ptx: expected kernels of a known set, got ${stray}`)
  return opNames.filter((op) => kernels.has(`${op}_${set.ending}`))
}

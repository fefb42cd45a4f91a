/**
 * The sets of kernels that the module has, and what each owes.
 */
import type { BackendName } from '../../../src/backends/backend.ts'
import { fastOps, kernelIn } from '../../../src/backends/cuda/launch.ts'
import { owedBy, type Owed } from '../../../src/testing/op_agreement.ts'
import { kernelNames, type KernelName } from '../../../src/ops/catalog.ts'

/** Kernels that a backend of their own runs. */
export interface KernelSet {
  /** What the names of its kernels end with: linear_exact. */
  readonly ending: 'exact' | 'fast'
  /** The backends that run it: on a GPU, and emulated. */
  readonly backend: BackendName
  readonly emulated: BackendName
  readonly owed: Owed
  /** The ops that have such a kernel, in the order of the catalogue; others are run by their exact ones. */
  readonly ops: readonly KernelName[]
}

/** All sets. A kernel of the module that is in none of them fails the build of the bundle. */
export const kernelSets: readonly KernelSet[] = [
  {
    ending: 'exact',
    backend: 'cuda',
    emulated: 'cuda-emulated',
    owed: owedBy({ name: 'cuda' }),
    ops: kernelNames,
  },
  {
    ending: 'fast',
    backend: 'cuda-fast',
    emulated: 'cuda-fast-emulated',
    owed: owedBy({ name: 'cuda-fast' }),
    ops: fastOps,
  },
]

/** @throws Error if a module has another kernel than those of the sets, or lacks one of them */
export function checkKernels(module: string): void {
  const there = [...module.matchAll(/\.visible \.entry (\w+)\(/g)].map(([, name]) => name)
  const known = kernelSets.flatMap(({ ending, ops }) => ops.map((op) => kernelIn(ending, op).symbol))
  const stray = there.find((name) => !known.includes(name))
  if (stray !== undefined) throw new Error(`kernels.ptx: expected kernels of a known set, got ${stray}`)
  const lost = known.find((name) => !there.includes(name))
  if (lost !== undefined) throw new Error(`kernels.ptx: expected ${lost}, got none`)
}

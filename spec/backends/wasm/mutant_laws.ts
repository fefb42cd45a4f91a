/**
 * The laws that find bugs planted in sources of wasm kernels: each is given the backend of the broken kernels, and throws.
 */
import type { Backend } from '../../../src/backends/backend.ts'
import type { KernelName } from '../../../src/ops/catalog.ts'
import { agreementLaws } from '../../../src/verify/ops/agreement.ts'
import type { BackendLaw } from '../../../src/verify/ops/law.ts'
import type { Plant } from '../../../scripts/sources.ts'
import { oneEach, verdict } from '../../harness/mutate.ts'
import { manyGradients, manyQueries, type Attention } from './block_laws.ts'

/** Where a bug is planted, and what finds it. */
export interface Mutant extends Plant {
  /** The law that finds it: throws. */
  readonly law: (backend: Backend) => void | Promise<void>
}

/** Mutants by their bugs. */
export type Mutants = Readonly<Record<string, Mutant>>

/** A law of every backend. */
export function common(law: BackendLaw): Mutant['law'] {
  return async (backend) => {
    const why = await verdict(law, backend)
    if (why !== null) throw new Error(why)
  }
}

/** Every small size of an op. */
export const smallSizes: (name: KernelName) => Mutant['law'] = oneEach((name) =>
  common(agreementLaws(name)[0]),
)

/** Random sizes of an op, up to several tiles. */
export const randomSizes: (name: KernelName) => Mutant['law'] = oneEach((name) =>
  common(agreementLaws(name)[1]),
)

/** Many queries, at the edges of blocks, tiles and streams. */
export const edgesOf: (name: Attention) => Mutant['law'] = oneEach((name) => (backend) => {
  for (let seed = 0; seed < 40; seed++) manyQueries(backend, name, seed)
})

/** Gradients of many queries, at the edges of blocks and windows. */
export const gradientsAtEdges: Mutant['law'] = (backend) => {
  for (let seed = 0; seed < 40; seed++) manyGradients(backend, seed)
}

/**
 * Bugs planted in the CUDA kernels' sources: each is compiled for the emulator and must be found, by a law of its
 * op or by the emulator itself; without it the same laws must pass.
 */
import { describe, expect, test } from 'vitest'
import { whyNoEmulator } from '../../../scripts/cuda/emulator.ts'
import type { Plant } from '../../../scripts/sources.ts'
import type { Backend } from '../../../src/backends/backend.ts'
import type { CudaName } from '../../../src/backends/cuda/cuda_backend.ts'
import type { KernelSet } from '../../../src/backends/backend.ts'
import { createBackend } from '../../../src/backends/select.ts'
import type { KernelName } from '../../../src/ops/catalog.ts'
import { agreementLaws } from '../../../src/verify/ops/agreement.ts'
import type { BackendLaw } from '../../../src/verify/ops/law.ts'
import { oneEach, verdict } from '../../harness/mutate.ts'
import { runSeed } from '../../harness/seed.ts'
import { pastABlock, whereverItStands } from './block_laws.ts'
import { withEmulator } from './emulator.ts'

/** Where a bug is planted, and what finds it. */
export interface Mutant extends Plant {
  /** The file that is compiled; the file with the bug, unless that is a header. */
  readonly unit?: string
  readonly ops: readonly KernelName[]
  /** What finds it: throws. Default: every small size of the first op. */
  readonly law?: (backend: Backend) => void | Promise<void>
  /** What is said; default: that numbers differ. */
  readonly says?: RegExp
}

/** Mutants by their bugs. */
export type Mutants = Readonly<Record<string, Mutant>>

/** A law of every backend. */
export const keeps =
  (law: BackendLaw): NonNullable<Mutant['law']> =>
  async (backend) => {
    const why = await verdict(law, backend)
    if (why !== null) throw new Error(why)
  }

const lawOf = ({ law, ops }: Mutant): NonNullable<Mutant['law']> => law ?? keeps(agreementLaws(ops[0])[0])

/** A law on several draws: the numbers of one may all be alike. */
const drawn = (
  law: (backend: Backend, name: KernelName, seed: number) => void,
): ((name: KernelName) => Mutant['law']) =>
  oneEach((name) => (backend: Backend) => {
    for (let draw = 0; draw < 4; draw++) law(backend, name, runSeed() + draw)
  })

/** Seen where a block is full. */
export const edges: ReturnType<typeof drawn> = drawn(pastABlock)

/** Seen where a kernel reads several numbers at once. */
export const wide: ReturnType<typeof drawn> = drawn(whereverItStands)

const missing = await whyNoEmulator()

/** States that each mutant of a set of kernels is found, and that the laws which find them pass on the backend of the set. */
export function stateMutants(set: KernelSet, mutants: Mutants): void {
  const whole: CudaName = set === 'fast' ? 'cuda-fast-emulated' : 'cuda-emulated'
  const why = missing === null ? '' : `, which is not here: ${missing}`
  describe.skipIf(missing !== null)(`built by g++${why}`, () => {
    test.each(Object.entries(mutants))('%s: found', async (_, mutant) => {
      const { file, from, to, unit = file, ops, says = /: expected / } = mutant
      const build = { plant: { file, from, to }, part: { file: unit, ops, set } }
      await withEmulator(build, async (backend) => {
        await expect((async () => lawOf(mutant)(backend))()).rejects.toThrow(says)
      })
    })

    // Small sizes pass without a bug in spec/ops/agreement.spec.ts and fast.full.spec.ts.
    test('without a bug the other laws pass', async () => {
      const backend = await createBackend(whole)
      for (const law of new Set(Object.values(mutants).map(({ law }) => law))) await law?.(backend)
      backend.dispose()
    })
  })
}

/**
 * What a mutant is: an op, the bug planted in it, and the laws that claim to see it.
 */
import type { Backend } from '../../src/backends/backend.ts'
import { kernels, type KernelName } from '../../src/ops/catalog.ts'
import { agreementLaws } from '../../src/verify/ops/agreement.ts'
import { gradientLaw } from '../../src/verify/ops/gradients.ts'
import type { BackendLaw } from '../../src/verify/ops/law.ts'
import { mutateKernel, type Definition } from '../harness/mutate.ts'

export interface Mutant {
  readonly op: KernelName
  /** What is wrong with it; reads on after the op's name. */
  readonly bug: string
  readonly laws: readonly BackendLaw[]
  /** The backend with the bug. */
  readonly plant: (backend: Backend) => Backend
  /** The backend with the op replaced by itself: what `plant` does, without the bug. */
  readonly plantNothing: (backend: Backend) => Backend
}

/** A mutant; `change` makes the wrong function of typed arrays from the right one. */
export function mutant<Name extends KernelName>(
  op: Name,
  bug: string,
  laws: readonly BackendLaw[],
  change: (definition: Definition<Name>) => Definition<Name>,
): Mutant {
  return {
    op,
    bug,
    laws,
    plant: (backend) => mutateKernel(backend, op, change),
    plantNothing: (backend) => mutateKernel(backend, op, (definition) => definition),
  }
}

/** Both agreement laws of an op. */
export const agree: (name: KernelName) => readonly BackendLaw[] = agreementLaws

/** The law of every gradient rule of an op. */
export function gradients(name: KernelName): BackendLaw[] {
  return kernels[name].gradients.map((rule) => gradientLaw(name, rule))
}

/**
 * Bugs planted in any operation of src/ops/catalog.ts, made from its row: families of mutants, for the laws that operations share.
 */
import type { Backend } from '../../src/backends/backend.ts'
import { kernelNames, kernels, type KernelName } from '../../src/ops/catalog.ts'
import type { Numbers, Kernel } from '../../src/ops/op.ts'
import { poison } from '../../src/testing/op_call.ts'
import { allIsDense, choosingOps, chosenIsZeroed, othersAreUnseen } from '../../src/verify/ops/chosen.ts'
import { gradientLaw } from '../../src/verify/ops/gradients.ts'
import type { BackendLaw } from '../../src/verify/ops/law.ts'
import { tokenOps, tokensApart } from '../../src/verify/ops/tokens.ts'
import { mutateKernel, type Definition } from '../harness/mutate.ts'
import { arraysOf } from '../../src/testing/op_case.ts'
import { agree, type Mutant } from './mutant.ts'

/** The arguments of a call by name, arrays as typed arrays. */
type Named = Readonly<Record<string, Numbers | number | null>>

/** Any op, its argument types forgotten. */
type AnyKernel = (...args: unknown[]) => void

/** A mutant that runs the definition, then spoils what it wrote. */
function spoilt(
  op: KernelName,
  bug: string,
  laws: readonly BackendLaw[],
  spoil: (given: Named, row: Kernel) => void,
): Mutant {
  const row = kernels[op]
  const change =
    (definition: AnyKernel): AnyKernel =>
    (...args) => {
      definition(...args)
      spoil(Object.fromEntries(row.params.map(({ name }, i) => [name, args[i]])) as Named, row)
    }
  const plantWith = (backend: Backend, by: (definition: AnyKernel) => AnyKernel): Backend =>
    mutateKernel(backend, op, by as unknown as (definition: Definition<KernelName>) => Definition<KernelName>)
  return {
    op,
    bug,
    laws,
    plant: (backend) => plantWith(backend, change),
    plantNothing: (backend) => plantWith(backend, (definition) => definition),
  }
}

/** The arrays an op writes, without those that are absent. */
function written(given: Named, row: Kernel): Numbers[] {
  return arraysOf(row)
    .filter(({ role }) => role !== 'in')
    .map(({ name }) => given[name] as Numbers | null)
    .filter((numbers) => numbers !== null)
}

/** Adds to everything an op wrote. */
function nudge(given: Named, row: Kernel, by: number): void {
  for (const numbers of written(given, row)) for (let i = 0; i < numbers.length; i++) numbers[i] += by
}

/** The laws of gradient rules that `op` computes, for another op: one that is its own gradient stays so. */
function rulesOf(op: KernelName): BackendLaw[] {
  return kernelNames.flatMap((name) =>
    kernels[name].gradients
      .filter((rule) => rule.op === op && rule.op !== name)
      .map((rule) => gradientLaw(name, rule)),
  )
}

const floatOps = kernelNames.filter((name) => name !== 'top_k')

const doubled = floatOps.map((op) =>
  spoilt(op, 'gives twice what it should', [...agree(op), ...rulesOf(op)], (given, row) => {
    for (const numbers of written(given, row)) for (let i = 0; i < numbers.length; i++) numbers[i] *= 2
  }),
)

const crowded = tokenOps().map((op) =>
  spoilt(op, 'minds how many tokens there are', [tokensApart(op)], (given, row) =>
    nudge(given, row, (given.T as number) > 1 ? 1 : 0),
  ),
)

/** The list of a call. */
function listOf(given: Named, row: Kernel): Int32Array | null {
  const param = arraysOf(row).find(({ holds }) => holds === 'ascending')
  return param ? (given[param.name] as Int32Array | null) : null
}

const choosy = choosingOps().flatMap((op) => [
  spoilt(op, 'minds whether there is a list', [allIsDense(op), chosenIsZeroed(op)], (given, row) =>
    nudge(given, row, listOf(given, row) ? 1 : 0),
  ),
  spoilt(op, 'looks at what was not chosen', [othersAreUnseen(op)], (given, row) => {
    const seen = arraysOf(row).some(
      ({ name, role, dtype }) =>
        role === 'in' && dtype !== 'i32' && (given[name] as Numbers | null)?.includes(poison[dtype]),
    )
    if (seen) nudge(given, row, NaN)
  }),
])

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [...doubled, ...crowded, ...choosy]

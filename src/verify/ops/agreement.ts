/**
 * Agreement (law 3): a backend's op gives the numbers of the function in src/ops, as closely as the catalogue row says.
 *
 * What is compared, and how near it must be, is what the parity path holds foreign backends to
 * (src/testing/op_agreement.ts): here it is tried at every size and offset, and on random cases.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { kernels, type KernelName } from '../../ops/catalog.ts'
import { compareOutputs, evaluate, owedBy } from '../../testing/op_agreement.ts'
import type { Kernel, Numbers, Sizes } from '../../ops/op.ts'
import { callRaw, sizesOf, type Placing, type Values } from '../../testing/op_call.ts'
import { Data, type DataKind } from '../../testing/seeded_data.ts'
import { arraysOf, fitSizes, lettersOf, limitsOf, makeValues, variantsOf } from '../../testing/op_case.ts'
import { anyData } from '../drawn_data.ts'
import { always, forAll, type BackendLaw } from './law.ts'
import { remembered } from '../../tensor/records.ts'

/** Twice the lanes of a striped reduction, and one. */
const mostSmall = 33
const kinds: readonly DataKind[] = ['plain', 'steep', 'ties', 'wild', 'edges', 'broken']

/** The largest value of a letter in the random sweep: past the tiles of a blocked GEMM, small enough to be quick. */
const mostLarge: Readonly<Record<string, number>> = { T: 19, S: 70, C: 90, P: 40, H: 5, G: 5, K: 70, B: 9 }

/**
 * @param expected the definition's outputs, for callers that compare several backends with them
 * @returns the outputs of the backend's call
 * @throws Error naming the number in which the backend's call differs most from the reference, by more than it may.
 */
export function checkAgreement(
  backend: Backend,
  name: KernelName,
  values: Values,
  placing: Placing,
  expected: Record<string, Numbers> = evaluate(name, values),
): Record<string, Numbers> {
  const actual = callRaw(backend, name, values, placing)
  const { passed, worst } = compareOutputs(name, values, expected, actual, owedBy(backend))
  if (!passed && worst !== null)
    throw new Error(
      `${name}.${worst.output}[${worst.index}]: expected ${worst.expected}, got ${worst.actual} at ${JSON.stringify(sizesOf(kernels[name], values))}`,
    )
  return actual
}

/** A call, where its arrays stand, and what the definition makes of it: the same for every backend. */
export interface KnownCall {
  readonly values: Values
  readonly placing: Placing
  readonly expected: Record<string, Numbers>
}

/** A call of the sweep over small sizes. */
export interface SmallCall {
  readonly values: Values
  readonly placing: Placing
  /** The size that is swept, and the place of the variant among all. */
  readonly at: readonly [size: number, way: number]
  /** What the definition makes of it, once somebody asked. */
  expected?: Record<string, Numbers>
}

/** Every size 0..33 of each letter, the others small, at every offset, in every variant. */
function* smallCalls(name: KernelName): Generator<SmallCall, void> {
  const row = kernels[name]
  const variants = variantsOf(row)
  const data = new Data(1)
  for (const letter of lettersOf(row))
    for (let size = 0; size <= mostSmall; size++)
      for (let offset = 0; offset <= 4; offset++)
        for (const [way, { absent, aliased }] of variants.entries()) {
          const wanted: Record<string, number> = {}
          for (const other of lettersOf(row)) wanted[other] = data.pick([1, 2, 3, 5])
          for (const limit of limitsOf(row)) if (data.chance(0.5)) wanted[limit] = mostSmall
          const sizes = fitSizes(row, { ...wanted, [letter]: size }, letter)
          const values = makeValues(name, sizes, data, data.pick(kinds), absent)
          yield { values, placing: { offset, aliased }, at: [size, way] }
        }
}

/** Keeps calls of an op for the next backend. */
interface KeptCalls {
  of(name: KernelName, make: (name: KernelName) => Generator<SmallCall, void>): Iterable<SmallCall>
}

/**
 * Agreement at every small size.
 * @param kept calls that are kept for the next backend; default: each makes them anew
 * @param isSparing whether each size has one offset in each variant, another than its neighbours, and not every one. It has on WebGPU,
 *   whose kernels count numbers from the start of a binding and know no alignment.
 */
export function everySmallSize(name: KernelName, kept?: KeptCalls, isSparing = false): BackendLaw {
  return always(`${name}: every size 0..${mostSmall} at every offset`, (backend) => {
    const hasOneOffset = isSparing || backend.name.startsWith('webgpu')
    for (const call of kept?.of(name, smallCalls) ?? smallCalls(name)) {
      const { values, placing } = call
      const [size, way] = call.at
      if (hasOneOffset && placing.offset !== (size + way) % 5) continue
      call.expected ??= evaluate(name, values)
      checkAgreement(backend, name, values, placing, call.expected)
    }
  })
}

/** Calls by their cases. */
interface KnownCalls {
  get(key: string): KnownCall | undefined
  set(key: string, call: KnownCall): void
}

/**
 * Random sizes, up to several tiles of a blocked GEMM.
 * @param known calls that are kept for the next backend; default: each makes them anew
 */
export function randomSizes(name: KernelName, known?: KnownCalls): BackendLaw {
  const row = kernels[name]
  const variants = variantsOf(row)
  const letters = lettersOf(row).map((letter) => [letter, fc.nat({ max: mostLarge[letter] ?? 200 })])
  const sizes: fc.Arbitrary<Sizes> = fc.record(Object.fromEntries(letters))
  return forAll(
    `${name}: random sizes, lists and data`,
    { wanted: sizes, offset: fc.nat({ max: 4 }), data: anyData },
    (backend, { wanted, offset, data }) => {
      const key = JSON.stringify([name, wanted, offset, data.plan])
      const same = known?.get(key)
      try {
        if (same) return void checkAgreement(backend, name, same.values, same.placing, same.expected)
      } catch {
        // What breaks the law is dealt anew, so that the report shows it.
      }
      const { absent, aliased } = data.oneOf('variant', variants)
      const fitted = fitSizes(row, shortenLists(row, wanted))
      const values = makeValues(name, fitted, data, data.oneOf('kind', kinds), absent)
      const [placing, expected] = [{ offset, aliased }, evaluate(name, values)]
      checkAgreement(backend, name, values, placing, expected)
      known?.set(key, { values, placing, expected })
    },
    { runs: 150 },
  )
}

/** Brings the length of each list into range, so that it does not blow up what it chooses from. */
function shortenLists(row: Kernel, wanted: Sizes): Sizes {
  const sizes: Record<string, number> = { ...wanted }
  for (const { holds, role, shape, below } of arraysOf(row))
    if (holds === 'ascending' && role === 'in') sizes[shape[0]] %= sizes[below as string] + 1
  return sizes
}

const made = new Map<KernelName, readonly BackendLaw[]>()

/** The agreement laws of one op; the same objects each time. */
export function agreementLaws(name: KernelName): readonly BackendLaw[] {
  return remembered(made, name, () => [everySmallSize(name), randomSizes(name)])
}

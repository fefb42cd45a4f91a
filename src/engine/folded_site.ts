/**
 * The matrices that add the units of a layer up, with skipped units folded into kept ones (masks/compensation.ts): made once for a
 * mask, in the storage of the model, so that every execution strategy uses them like the model's own.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import type { Compensation, Folded } from '../masks/compensation.ts'
import type { UnitKind } from '../masks/mask.ts'
import type { HeldWeights } from './packing.ts'
import { parametersOf, type UnitSite } from './plan.ts'
import { storageIn, type Matrix } from './storages/index.ts'
import { chosenUnits, rowsOfUnits } from './unit_lists.ts'

/** What the matrices of a layer read over the prompt; null where that is not asked for. */
type PromptInputs = Readonly<Record<UnitKind, Float32Array>> | null // [T, N]

/** How a layer is compensated. */
export interface LayerCompensation {
  readonly by: Compensation
  readonly layer: number
  readonly prompt: PromptInputs
}

/** A site whose skipped units are folded. */
export interface FoldedSite {
  /** The parameters, with the folded matrices in place of their own. */
  readonly weights: HeldWeights
  /** By the places of the products that add units up. */
  readonly matrices: ReadonlyMap<number, Matrix>
  readonly biases: ReadonlyMap<number, Buffer>
  /** Of the matrices; the biases live as long as the layer. */
  readonly scope: BufferScope
}

/**
 * Folds what a mask skips of a site; null where nothing is added.
 * @param mask [units]
 * @param scope of the layer
 * @throws MissingError BACKEND_MEMORY, and as `Compensation.fold`
 */
export function foldSite(
  { step, size, readers }: UnitSite,
  { backend, matrices }: HeldWeights,
  mask: Float32Array,
  { by, layer, prompt }: LayerCompensation,
  scope: BufferScope,
): FoldedSite | null {
  const chosen = chosenUnits(mask)
  if (chosen.length === step.count || readers.some(({ value }) => value.op !== 'combine')) return null
  const kept = rowsOfUnits(chosen, size)
  const skipped = rowsOfUnits(chosenUnits(mask.map((value) => Number(value === 0))), size)
  const own = new BufferScope(backend)
  const changed = new Map(matrices)
  const folded = new Map<number, Matrix>()
  const biases = new Map<number, Buffer>()
  try {
    for (const { place, value } of readers) {
      const [{ name }, bias] = parametersOf(value)
      const held = matrices.get(name) as Matrix
      const work = new BufferScope(backend)
      try {
        const weight = widened(work, held, step.width, value.width)
        const shown = prompt?.[step.kind] ?? null
        const added = by.fold({ backend, layer, kind: step.kind, weight, kept, skipped, prompt: shown })
        const matrix = withRows(own, work, held, weight, kept, added)
        if (matrix) {
          changed.set(name, matrix)
          folded.set(place, matrix)
        }
        if (added.bias) {
          const before = bias ? backend.readF32(matrices.get(bias.name) as Buffer) : null
          biases.set(place, scope.upload(added.bias.map((more, d) => (before ? before[d] + more : more))))
        }
      } finally {
        work.dispose()
      }
    }
  } catch (error) {
    own.dispose()
    throw error
  }
  return { weights: { backend, matrices: changed }, matrices: folded, biases, scope: own }
}

/** A matrix [N, D] in float32; itself where it is. */
function widened(scope: BufferScope, held: Matrix, N: number, D: number): Buffer {
  const storage = storageIn(held)
  if (storage.dtype === 'f32') return held as Buffer
  const row = storage.open(scope.backend, held, D)
  const values = new Float32Array(N * D)
  for (let n = 0; n < N; n++) values.set(row(n), n * D)
  return scope.upload(values, [N, D])
}

/** A matrix with more in the rows that are kept, in the storage of what is held; null where nothing is added. */
function withRows(
  own: BufferScope,
  work: BufferScope,
  held: Matrix,
  weight: Buffer,
  kept: Int32Array,
  { rows }: Folded,
): Matrix | null {
  if (!rows?.some((value) => value !== 0)) return null
  const { backend } = own
  const [N, D] = weight.shape
  const shape = [kept.length, D]
  // A weight of -0 keeps its sign where nothing is added to it.
  const more = work.upload(
    rows.map((value) => (value === 0 ? -0 : value)),
    shape,
  )
  const list = work.upload(kept)
  const sums = work.allocate('f32', shape, 'anything')
  backend.ops.copy_rows(sums, weight, null, list)
  backend.ops.add(sums, sums, more)
  const storage = storageIn(held)
  const whole = (storage.dtype === 'f32' ? own : work).allocate('f32', [N, D], 'anything')
  backend.ops.copy_rows(whole, weight, null, work.upload(Int32Array.from({ length: N }, (_, n) => n)))
  backend.ops.copy_rows(whole, sums, list, work.upload(kept.map((_, k) => k)))
  if (storage.dtype === 'f32') return whole
  return narrowed(own, storage, backend, whole)
}

/** A matrix [N, D] in another storage. */
function narrowed(
  scope: BufferScope,
  storage: ReturnType<typeof storageIn>,
  backend: Backend,
  whole: Buffer,
): Matrix {
  const [N, D] = whole.shape
  const turned = backend.allocate('f32', [D, N], 'anything')
  try {
    backend.ops.transpose(turned, whole)
    const builder = storage.builder(scope, [D, N], true)
    builder.add({ start: 0, values: backend.readF32(turned) })
    return builder.build()
  } finally {
    backend.free(turned)
  }
}

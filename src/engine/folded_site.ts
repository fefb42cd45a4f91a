/**
 * The matrices that add the units of a layer up, with skipped units folded into kept ones (masks/compensation.ts): made once for a
 * mask, in the storage of the model, so that every execution strategy uses them like the model's own.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import type { Compensation } from '../masks/compensation.ts'
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
  { step, size, readers, isSkippable }: UnitSite,
  { backend, matrices }: HeldWeights,
  mask: Float32Array,
  { by, layer, prompt }: LayerCompensation,
  scope: BufferScope,
): FoldedSite | null {
  const chosen = chosenUnits(mask)
  if (chosen.length === step.count || !isSkippable) return null
  const kept = rowsOfUnits(chosen, size)
  const skipped = rowsOfUnits(chosenUnits(mask.map((value) => Number(value === 0))), size)
  const own = new BufferScope(backend)
  const changed = new Map(matrices)
  const foldedMatrices = new Map<number, Matrix>()
  const biases = new Map<number, Buffer>()
  try {
    for (const { place, value } of readers) {
      const [{ name }, bias] = parametersOf(value)
      const held = matrices.get(name) as Matrix
      const shape = [step.width, value.width] as const
      BufferScope.within(backend, (work) => {
        const shown = prompt?.[step.kind] ?? null
        let wide: Buffer | null = null
        const weight = (): Buffer => (wide ??= widened(work, held, shape))
        const asked = { backend, layer, kind: step.kind, of: held, shape, weight, kept, skipped }
        const folded = by.fold({ ...asked, prompt: shown })
        if (folded.rows) {
          const matrix = withRows(own, held, shape, kept, folded.rows)
          changed.set(name, matrix)
          foldedMatrices.set(place, matrix)
        }
        if (folded.bias) {
          const before = bias ? backend.readF32(matrices.get(bias.name) as Buffer) : null
          biases.set(place, scope.upload(folded.bias.map((more, d) => (before ? before[d] + more : more))))
        }
      })
    }
  } catch (error) {
    own.dispose()
    throw error
  }
  return { weights: { backend, matrices: changed }, matrices: foldedMatrices, biases, scope: own }
}

/** A matrix [N, D] in float32; itself where it is. */
function widened(scope: BufferScope, held: Matrix, [N, D]: readonly [number, number]): Buffer {
  const storage = storageIn(held)
  if (storage.dtype === 'f32') return held as Buffer
  const row = storage.open(scope.backend, held, D)
  const values = new Float32Array(N * D)
  for (let n = 0; n < N; n++) values.set(row(n), n * D)
  return scope.upload(values, [N, D])
}

/** Rows of a matrix that are handed over at a time. */
const STRIP = 64

/** A matrix [N, D] with these rows [K, D] where they are kept and zeros elsewhere, in the storage of what is held. */
function withRows(
  scope: BufferScope,
  held: Matrix,
  shape: readonly [number, number],
  kept: Int32Array,
  rows: Float32Array,
): Matrix {
  const storage = storageIn(held)
  const [N, D] = shape
  // Rows that are rounded one by one are held alike whichever way the matrix lies.
  const isTurned = storage.block > 1
  const builder = storage.builder(scope, isTurned ? [D, N] : shape, isTurned)
  const strip = new Float32Array((isTurned ? N : STRIP) * D)
  for (let top = 0, k = 0; top < N; top += strip.length / D) {
    const values = strip.subarray(0, Math.min(strip.length, (N - top) * D)).fill(0)
    for (; k < kept.length && (kept[k] - top) * D < values.length; k++)
      values.set(rows.subarray(k * D, (k + 1) * D), (kept[k] - top) * D)
    builder.add({ start: top * D, values: isTurned ? turned(scope.backend, values, shape) : values })
  }
  return builder.build()
}

/** [D, N] of a matrix [N, D]. */
function turned(backend: Backend, values: Float32Array, shape: readonly [number, number]): Float32Array {
  return BufferScope.within(backend, (scope) => {
    const to = scope.allocate('f32', shape.toReversed(), 'anything')
    backend.ops.transpose(to, scope.upload(values, shape))
    return backend.readF32(to)
  })
}

/**
 * The moments of a model's units over a text: sums over tokens of a and of b bᵀ, where a are the heads' outputs of a layer, side by
 * side, or the activations of its neurons, before any mask. Of heads, b is a; of neurons, it is a divided by its root mean square:
 *
 *   b = a / root of (sum of a² / N + 10⁻⁶)
 *
 * So each token counts alike. Gated neurons of a first token can be a thousand times as large as those of any other (massive
 * activations, Sun et al. 2024, arXiv 2402.17762), and least squares over a would be about that token alone.
 *
 * The sums grow inside the backend, by `linear_backward_weight` and `linear_backward_bias`, token after token in float32. So they can be read between two
 * windows and begun from again: what is collected in parts is what is collected at once, bit for bit on a backend that adds
 * in the stated order. A sum of T terms is off by at most T 2⁻²⁴ of the sum of their sizes.
 */
import type { Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { contextWidth } from '../engine/config.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { siteIn } from '../engine/plan.ts'
import { traceForward } from '../engine/trace.ts'
import { recordOf } from '../tensor/records.ts'
import { unitKinds, type UnitKind, type UnitMask } from '../masks/mask.ts'

/** N: the numbers that the units of each kind give in a layer. */
export type MomentWidths = Readonly<Record<UnitKind, number>>

/** Sums over tokens. */
export interface MomentTables<Numbers> {
  /** Of a. */
  readonly first: Numbers // [N]
  /** Of b bᵀ, symmetric. */
  readonly second: Numbers // [N, N]
}

/** Those of a layer. */
export type LayerMoments = Readonly<Record<UnitKind, MomentTables<Float32Array>>>

/** The widths of a model's moments: H K of heads, F of neurons. */
export function momentWidths(config: LanguageModel['config']): MomentWidths {
  return { heads: contextWidth(config), neurons: config.neurons }
}

/** ε of b, in the head of this file: a token whose neurons are all zero keeps its zeros. */
const EPSILON = 1e-6

/** The b of each token: [T, N]. @param scope holds it until it is disposed @param a [T, N] */
export function sized(scope: BufferScope, kind: UnitKind, a: Buffer): Buffer {
  if (kind === 'heads') return a
  const [, N] = a.shape
  const b = scope.allocate('f32', a.shape, 'anything')
  scope.backend.ops.rms_norm(b, a, scope.upload(new Float32Array(N).fill(1)), EPSILON)
  return b
}

/** Sums that grow window by window. Dispose them. */
export class MomentSums {
  readonly #model: LanguageModel
  readonly #scope: BufferScope
  readonly #sums: readonly Readonly<Record<UnitKind, MomentTables<Buffer>>>[] // [L]

  /**
   * @param begun sums to go on from: [L]; default zeros
   * @throws MissingError BACKEND_MEMORY
   */
  constructor(model: LanguageModel, begun: readonly LayerMoments[] | null = null) {
    this.#model = model
    this.#scope = new BufferScope(model.backend)
    const widths = momentWidths(model.config)
    const sum = (layer: number, kind: UnitKind): MomentTables<Buffer> => {
      const table = (name: keyof LayerMoments['heads'], shape: readonly number[]): Buffer =>
        begun ? this.#scope.upload(begun[layer][kind][name], shape) : this.#scope.allocate('f32', shape)
      const N = widths[kind]
      return { first: table('first', [N]), second: table('second', [N, N]) }
    }
    try {
      this.#sums = Array.from({ length: model.config.layers }, (_, layer) => {
        return { heads: sum(layer, 'heads'), neurons: sum(layer, 'neurons') }
      })
    } catch (error) {
      this.#scope.dispose()
      throw error
    }
  }

  /**
   * Adds the tokens of a window [T], in one forward pass. @param mask multiplied in, so that what later layers see is pruned
   * @throws as `traceForward`
   */
  add(tokens: Int32Array, mask: UnitMask | null = null): void {
    const trace = traceForward(this.#model, tokens, { mask })
    const { backend } = this.#model
    try {
      for (const [layer, sums] of this.#sums.entries()) {
        const { section, frame } = trace.sections[layer + 1]
        for (const kind of unitKinds) {
          const a = frame[siteIn(section, kind).inner]
          backend.ops.linear_backward_bias(sums[kind].first, a, null)
          BufferScope.within(backend, (scope) => {
            const b = sized(scope, kind, a)
            backend.ops.linear_backward_weight(sums[kind].second, b, b, null)
          })
        }
      }
    } finally {
      trace.dispose()
    }
  }

  /** The sums of a layer, copied. */
  layer(layer: number): LayerMoments {
    const { backend } = this.#model
    return recordOf(unitKinds, (kind) => {
      const { first, second } = this.#sums[layer][kind]
      return { first: backend.readF32(first), second: backend.readF32(second) }
    })
  }

  dispose(): void {
    this.#scope.dispose()
  }
}

/**
 * The predictor of ShadowLLM: one pair of small networks for the whole model (arXiv 2406.16635).
 *
 * From the last prompt token's layer-0 context [D] one network predicts a score for every head of layers 1 to L-1, the
 * other for every neuron. Layer 0 has run by then and is not predicted. It is asked once per sequence; nothing after
 * the prompt is seen. Training is in src/train; the file form in `shadow_file.ts`.
 */
import type { Backend } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import type { UnitShape } from '../masks/mask.ts'
import type { UnitScores } from '../masks/selection.ts'
import { UsageError } from '../tensor/errors.ts'
import {
  lastTokenContext,
  scaleFeatures,
  scoresFromOutputs,
  type FeatureScaling,
  type TargetScaling,
} from './features.ts'
import { Mlp, type MlpShape, type MlpValues } from './mlp.ts'

/** What is known of a predictor besides its numbers; kept with it in its file. */
export interface PredictorCard {
  readonly shape: UnitShape
  /** D, the width of the model it was made for. */
  readonly width: number
  /** Hidden units of the two networks. */
  readonly headHidden: number
  readonly neuronHidden: number
  readonly features: FeatureScaling
  readonly targets: TargetScaling
  /** The criterion its targets come from. */
  readonly criterion: string
  readonly seed: number
  /** Examples it was trained on. */
  readonly examples: number
  /** SHA-256 of the calibration text, or null where it was not hashed. */
  readonly dataHash: string | null
}

/** The two kinds of unit, each with a network of its own. */
export const unitKinds = ['heads', 'neurons'] as const
export type UnitKind = (typeof unitKinds)[number]

/** The shape of one of the networks. */
export function networkShape(card: PredictorCard, kind: UnitKind): MlpShape {
  return {
    inputs: card.width,
    hidden: kind === 'heads' ? card.headHidden : card.neuronHidden,
    outputs: Math.max(0, card.shape.layers - 1) * card.shape[kind],
  }
}

/** A trained predictor inside a backend. Dispose it. */
export class ShadowPredictor {
  readonly card: PredictorCard
  readonly backend: Backend
  readonly networks: Readonly<Record<UnitKind, Mlp>>

  /** @throws UsageError MLP_SHAPE if the values do not fit the card */
  constructor(backend: Backend, card: PredictorCard, values: Readonly<Record<UnitKind, MlpValues>>) {
    this.card = card
    this.backend = backend
    this.networks = {
      heads: new Mlp(backend, networkShape(card, 'heads'), values.heads),
      neurons: new Mlp(backend, networkShape(card, 'neurons'), values.neurons),
    }
  }

  /**
   * Predicted scores of every unit; row 0 is zeros.
   * @param context the layer-0 context of the prompt's tokens, as it left the attention: [T, D]
   * @param tokens T, at least 1
   * @throws UsageError FEATURE_SHAPE
   */
  predict(context: Float32Array, tokens: number): UnitScores {
    const { width, shape, features } = this.card
    if (tokens < 1 || context.length !== tokens * width)
      throw new UsageError(
        'FEATURE_SHAPE',
        `context: expected [${tokens}, ${width}], got ${context.length} numbers`,
      )
    const scope = new BufferScope(this.backend)
    try {
      const x = scope.upload(scaleFeatures(lastTokenContext(context, tokens), features))
      const run = (kind: UnitKind): Float32Array => {
        const pass = this.networks[kind].makePass(scope, 1)
        this.networks[kind].forward(pass, x, 1)
        return this.backend.readF32(pass.y)
      }
      return scoresFromOutputs(shape, run('heads'), run('neurons'))
    } finally {
      scope.dispose()
    }
  }

  dispose(): void {
    for (const kind of unitKinds) this.networks[kind].dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

/**
 * What a sequence needs of the model it runs: its weights and what all its sequences share. `LanguageModel` is it.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import type { UnitShape } from '../masks/mask.ts'
import type { Rotary } from '../ops/rotary.ts'
import type { ModelConfig } from './config.ts'
import type { Plan } from './plan.ts'
import type { ModelWeights } from './weights.ts'

/** A model whose weights are in a backend. */
export interface LoadedModel {
  readonly config: ModelConfig
  readonly backend: Backend
  readonly plan: Plan
  readonly weights: ModelWeights
  /** How many heads and neurons can be masked. */
  readonly shape: UnitShape

  /**
   * Whether tokens can follow `past` others.
   * @throws UsageError TOKENS for none or an id outside the vocabulary, CONTEXT_LENGTH past the last position
   */
  checkTokens(tokens: Int32Array, past: number): void

  /** Positions from `past` on plus an offset: a view of [T] i32, never freed by itself. */
  positionRows(past: number, T: number, offset: number): Buffer

  /** A factor of the program, in a backend that holds layers or what stands beside them: [1]. */
  factor(backend: Backend, value: number): Buffer

  /** The rotations of T tokens from position `past` on, in a backend that holds layers: a view of [T, R]. */
  angleRows(backend: Backend, past: number, T: number, rotary: Rotary): Buffer
}

/**
 * What a sequence needs of the model it runs: its weights and what all its sequences share. `LanguageModel` begins sequences.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import type { UnitShape } from '../masks/mask.ts'
import { rotaryTable, type Rotary } from '../ops/rotary.ts'
import { stepsOf } from '../spec/program.ts'
import { UsageError } from '../tensor/errors.ts'
import type { ModelConfig } from './config.ts'
import type { Plan } from './plan.ts'
import { modelPlan } from './program.ts'
import type { ModelWeights } from './weights.ts'

/** A model whose weights are in a backend. */
export class LoadedModel {
  readonly config: ModelConfig
  readonly backend: Backend
  readonly weights: ModelWeights
  /** How many heads and neurons can be masked. */
  readonly shape: UnitShape
  readonly plan: Plan
  /** Positions in order, plus each offset, so that a pass takes a slice instead of uploading a list. */
  readonly #positions = new Map<number, Buffer>() // [positions] i32
  /** Cosines and sines of every position, in each backend that holds layers. */
  readonly #angles = new Map<Rotary, Map<Backend, Buffer>>() // [positions, R]
  /** The factors of steps, in each backend that holds layers or what stands beside them. */
  readonly #factors = new Map<number, Map<Backend, Buffer>>() // [1]
  #disposed = false

  /** Takes over the weights; `LanguageModel.load` is the usual way here. */
  constructor(config: ModelConfig, backend: Backend, weights: ModelWeights) {
    this.config = config
    this.backend = backend
    this.weights = weights
    this.shape = { layers: config.layers, heads: config.heads, neurons: config.neurons }
    this.plan = modelPlan(config)
    for (const step of stepsOf(this.plan.program))
      if (step.op === 'positions') this.#placePositions(step.offset)
      else if (step.op === 'rotate') this.#placeAngles(step.rotary, step.headSize)
      else if (step.op === 'scale') this.#placeFactor(step.factor)
  }

  #placeFactor(value: number): void {
    if (this.#factors.has(value)) return
    const holders = [...new Set([this.backend, ...this.weights.layers])]
    this.#factors.set(
      value,
      new Map(holders.map((holder) => [holder, holder.upload(Float32Array.of(value))])),
    )
  }

  #placePositions(offset: number): void {
    if (this.#positions.has(offset)) return
    const ids = Int32Array.from({ length: this.config.positions }, (_, p) => p + offset)
    this.#positions.set(offset, this.backend.upload(ids))
  }

  #placeAngles(rotary: Rotary, K: number): void {
    if (this.#angles.has(rotary)) return
    const { positions } = this.config
    const table = rotaryTable(rotary, positions, K)
    const held = [...new Set(this.weights.layers)].map(
      (holder) => [holder, holder.upload(table, [positions, table.length / positions])] as const,
    )
    this.#angles.set(rotary, new Map(held))
  }

  /**
   * Whether `tokens` can follow `past` others.
   * @throws UsageError TOKENS for none or an id outside the vocabulary, CONTEXT_LENGTH past the last position
   */
  checkTokens(tokens: Int32Array, past: number): void {
    const { positions, vocabulary } = this.config
    if (tokens.length === 0) throw new UsageError('TOKENS', 'tokens: expected at least one, got none')
    const outside = tokens.find((id) => id < 0 || id >= vocabulary)
    if (outside !== undefined)
      throw new UsageError('TOKENS', `tokens: expected ids from 0 to ${vocabulary - 1}, got ${outside}`)
    const end = past + tokens.length
    if (end > positions)
      throw new UsageError('CONTEXT_LENGTH', `tokens: expected at most ${positions} positions, got ${end}`)
  }

  /** `T` positions from `past` on plus an `offset`: a view of [T] i32, never freed by itself. */
  positionRows(past: number, T: number, offset: number): Buffer {
    return this.backend.view(this.#positions.get(offset) as Buffer, [T], past)
  }

  /** The factor `value` of the program, in a backend that holds layers or what stands beside them: [1]. */
  factor(backend: Backend, value: number): Buffer {
    return this.#factors.get(value)?.get(backend) as Buffer
  }

  /** The rotations of `T` tokens from position `past` on, in a backend that holds layers: a view of [T, R]. */
  angleRows(backend: Backend, past: number, T: number, rotary: Rotary): Buffer {
    const table = this.#angles.get(rotary)?.get(backend) as Buffer
    const [, R] = table.shape
    return backend.view(table, [T, R], past * R)
  }

  /** Frees the weights. Sequences of this model cannot be fed afterwards. Safe to call twice. */
  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    for (const ids of this.#positions.values()) this.backend.free(ids)
    for (const held of [...this.#angles.values(), ...this.#factors.values()])
      for (const [backend, buffer] of held) backend.free(buffer)
    this.weights.dispose()
  }

  /** As `dispose`. */
  [Symbol.dispose](): void {
    this.dispose()
  }
}

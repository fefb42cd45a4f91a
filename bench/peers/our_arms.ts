/**
 * The arms of this project: models of src/engine on a backend. A storage format or a planner that is to be compared is
 * one more entry of the list.
 */
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { planOf } from '../../src/bench/methods.ts'
import { randomPredictor } from '../../src/bench/predictors.ts'
import type { Plan } from '../../src/evaluation/decode.ts'
import { makeMethod } from '../../src/results/method.ts'
import type { ModelConfig } from '../../src/engine/config.ts'
import type { Storage } from '../../src/engine/matrix.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import type { Sequence } from '../../src/engine/sequence.ts'
import type { TensorSource } from '../../src/tensor/tensor_source.ts'
import { F32_TOLERANCE, INT8_TOLERANCE, type Arm, type Decoder } from './decoder.ts'

const SEED = 1

/** What an arm of ours is made of. */
export interface OurModel {
  readonly config: ModelConfig
  readonly source: TensorSource
  /** Positions a sequence makes room for when it begins. */
  readonly capacity: number
}

class OurDecoder implements Decoder {
  readonly #backend: Backend
  readonly #model: LanguageModel
  readonly #plan: Plan
  readonly #capacity: number
  #sequence: Sequence | null = null

  constructor(backend: Backend, model: LanguageModel, plan: Plan, capacity: number) {
    this.#backend = backend
    this.#model = model
    this.#plan = plan
    this.#capacity = capacity
  }

  begin(prompt: Int32Array): Float32Array {
    this.#sequence?.dispose()
    const capacity = this.#capacity
    this.#sequence = this.#model.begin({ ...this.#plan, capacity, expectedTokens: capacity })
    return this.#sequence.feed(prompt, 'last')
  }

  /** @throws Error before `begin` */
  next(token: number): Float32Array {
    if (!this.#sequence) throw new Error('next: expected a sequence that has begun')
    return this.#sequence.feed(Int32Array.of(token), 'last')
  }

  dispose(): void {
    this.#backend.dispose()
  }
}

async function makeOurs(
  { config, source, capacity }: OurModel,
  storage: Storage,
  sparsity: number,
): Promise<OurDecoder> {
  const backend = await createBackend('wasm')
  const model = await LanguageModel.load(config, source, backend, { storage })
  if (sparsity === 0) return new OurDecoder(backend, model, {}, capacity)
  const predictors = [randomPredictor('shadow', config, backend, storage, SEED)]
  const cache = storage === 'int8' ? 'int8' : 'f32'
  const inputs = { predictors, mask: null, mode: 'auto', cache, seed: SEED } as const
  const method = makeMethod({ planner: 'shadow', sparsity })
  return new OurDecoder(backend, model, planOf(method, model, inputs), capacity)
}

/** Every arm of ours. All arms, peers too, must agree with the first. */
export const ourArms: readonly Arm<OurModel>[] = [
  {
    name: 'shadowllm wasm f32',
    threads: 1,
    tolerance: F32_TOLERANCE,
    make: (model) => makeOurs(model, 'f32', 0),
  },
  {
    name: 'shadowllm wasm int8',
    threads: 1,
    tolerance: INT8_TOLERANCE,
    make: (model) => makeOurs(model, 'int8', 0),
  },
  {
    name: 'shadowllm wasm int8, 50 % skipped',
    threads: 1,
    tolerance: null,
    make: (model) => makeOurs(model, 'int8', 0.5),
  },
]

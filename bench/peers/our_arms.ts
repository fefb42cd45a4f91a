/**
 * The arms of this project: models of src/model on a backend. A storage format or a planner that is to be compared is
 * one more entry of the list.
 */
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import type { OptConfig } from '../../src/model/opt/config.ts'
import { OptModel } from '../../src/model/opt/opt_model.ts'
import type { Sequence } from '../../src/model/opt/sequence.ts'
import type { TensorSource } from '../../src/tensor/tensor_source.ts'
import { F32_TOLERANCE, type Arm, type Decoder } from './decoder.ts'

/** What an arm of ours is made of. */
export interface OurModel {
  readonly config: OptConfig
  readonly source: TensorSource
  /** Positions a sequence makes room for when it begins. */
  readonly capacity: number
}

class OurDecoder implements Decoder {
  readonly #backend: Backend
  readonly #model: OptModel
  readonly #capacity: number
  #sequence: Sequence

  constructor(backend: Backend, model: OptModel, capacity: number) {
    this.#backend = backend
    this.#model = model
    this.#capacity = capacity
    this.#sequence = model.begin({ capacity })
  }

  begin(prompt: Int32Array): Float32Array {
    this.#sequence.dispose()
    this.#sequence = this.#model.begin({ capacity: this.#capacity })
    return this.#sequence.feed(prompt, 'last')
  }

  next(token: number): Float32Array {
    return this.#sequence.feed(Int32Array.of(token), 'last')
  }

  dispose(): void {
    this.#backend.dispose()
  }
}

/** Every arm of ours. All arms, peers too, must agree with the first. */
export const ourArms: readonly Arm<OurModel>[] = [
  {
    name: 'shadowllm wasm f32',
    threads: 1,
    tolerance: F32_TOLERANCE,
    async make({ config, source, capacity }) {
      const backend = await createBackend('wasm')
      return new OurDecoder(backend, await OptModel.load(config, source, backend), capacity)
    },
  },
]

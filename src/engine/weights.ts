/**
 * The parameters of a model inside a backend, or in several where one has no room for all.
 *
 * A matrix has a row per output; one that `combine` reads is turned at load, so that it has a row per input (weight_layout.ts says
 * why). Tensors are read in parts (weight_reader.ts): besides the backend's copy, the host holds a few megabytes of a tensor, and a
 * second copy of a matrix while it is turned.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { valuesOf } from '../backends/calls.ts'
import { UsageError } from '../tensor/errors.ts'
import { expectOption } from '../tensor/option.ts'
import type { TensorSource } from '../tensor/tensor_source.ts'
import type { ModelConfig } from './config.ts'
import { loadParameter, parameterBytes, storageOf } from './weight_layout.ts'
import { storageOption, type Matrix, type Storage } from './storages/index.ts'
import { matrixBytes } from './storages/storage.ts'
import { matchTensors } from './names.ts'
import { modelParameters } from './program.ts'
import { WeightReader, type LoadOptions } from './weight_reader.ts'

/** Every parameter of a model. */
export interface ModelWeights {
  /** The storage of its matrices. */
  readonly storage: Storage
  /** The parameters as they are held, by Hugging Face name, in the order of the forward pass. */
  readonly matrices: ReadonlyMap<string, Matrix>
  /** The backend that holds each layer. */
  readonly layers: readonly Backend[] // [L]
  /** The numbers of the parameters, without scales. */
  readonly parameters: ReadonlyMap<string, Buffer>
  /** Bytes that all matrices take. */
  readonly bytes: number
  /** Tensors of the checkpoint that were not needed. */
  readonly unused: readonly string[]
  dispose(): void
}

/** The default of `bytesPerBackend`. */
const BYTES_PER_BACKEND = 1.75 * 2 ** 30

/**
 * Loads every parameter. The given backend holds the parameters outside the layers, and layers until it holds `bytesPerBackend`.
 * Its siblings, which the weights own, hold the other layers.
 * @throws InputError TENSOR_MISSING, TENSOR_SHAPE, TENSOR_DUPLICATE, TENSOR_EXTRA before anything is read;
 *   WEIGHT_NOT_FINITE, WEIGHT_RANGE while reading; UsageError STORAGE; what the source throws; the signal's reason
 */
export async function loadWeights(
  config: ModelConfig,
  source: TensorSource,
  backend: Backend,
  options: LoadOptions = {},
): Promise<ModelWeights> {
  const { storage = 'f32', bytesPerBackend = BYTES_PER_BACKEND } = options
  checkStorage(storage, options.allowNonFinite ?? false)
  const { stored, unused } = matchTensors(config, source.tensors)
  const reader = new WeightReader(source, stored, options)
  const places = new Places(config, backend, storage, bytesPerBackend)
  const matrices = new Map<string, Matrix>()
  try {
    for (const [name, parameter] of modelParameters(config)) {
      const own = storageOf(parameter, storage)
      const scope = places.scopeOf(parameter.layer)
      matrices.set(
        name,
        await loadParameter(scope, parameter, own, reader.chunks(name, own, parameter.offset)),
      )
    }
  } catch (error) {
    places.dispose()
    throw error
  }
  return {
    storage,
    matrices,
    layers: Array.from({ length: config.layers }, (_, layer) => places.scopeOf(layer).backend),
    parameters: new Map([...matrices].map(([name, matrix]) => [name, valuesOf(matrix)])),
    bytes: [...matrices.values()].reduce((sum, one) => sum + matrixBytes(one), 0),
    unused,
    dispose: () => places.dispose(),
  }
}

/** @throws UsageError STORAGE for an unknown one, or one that has no room for what is not finite */
function checkStorage(storage: Storage, allowNonFinite: boolean): void {
  expectOption('storage', storage, storageOption)
  if (storage !== 'f32' && allowNonFinite)
    throw new UsageError(
      'STORAGE',
      `storage: expected f32 for weights that may not be finite, got ${storage}`,
    )
}

/** Which backend each parameter is held in. */
class Places {
  /** Scopes of the backend given and of its siblings, in the order of the layers. */
  readonly #scopes: BufferScope[]
  /** An index into the scopes for each layer. */
  readonly #layers: number[] = []

  constructor(config: ModelConfig, home: Backend, storage: Storage, most: number) {
    this.#scopes = [new BufferScope(home)]
    const bytes = new Array<number>(config.layers).fill(0)
    let held = 0
    for (const parameter of modelParameters(config).values()) {
      const size = parameterBytes(parameter, storageOf(parameter, storage))
      const { layer } = parameter
      if (layer === null) held += size
      else bytes[layer] += size
    }
    for (const size of bytes) {
      held += size
      if (held > most && (this.#layers.length > 0 || held > size)) {
        this.#scopes.push(new BufferScope(home.sibling()))
        held = size
      }
      this.#layers.push(this.#scopes.length - 1)
    }
  }

  /** @param layer null outside the layers */
  scopeOf(layer: number | null): BufferScope {
    return this.#scopes[layer === null ? 0 : this.#layers[layer]]
  }

  dispose(): void {
    const [home, ...siblings] = this.#scopes
    home.dispose()
    for (const { backend } of siblings) backend.dispose()
  }
}

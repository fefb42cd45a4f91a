/**
 * The parameters of a model inside a backend, or in several where one has no room for all.
 *
 * q, k, v, fc1, up, the projections and the lm_head stay one row per output; out and fc2 are turned at load to one row
 * per input (weight_layout.ts says why). They are loaded by ranges (weight_reader.ts): beside what the backend holds
 * there are never more than a few megabytes of a tensor, and a second copy of one matrix while it is turned.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { valuesOf } from '../backends/calls.ts'
import { UsageError } from '../tensor/errors.ts'
import type { TensorSource } from '../tensor/tensor_source.ts'
import type { ModelConfig } from './config.ts'
import { loadInt4, loadParameter, parameterBytes, storageOf } from './weight_layout.ts'
import { matrixBytes, storages, type Linear, type Matrix, type Storage } from './matrix.ts'
import { layerOf, matchTensors, moduleName, namesOf, parameterShapes, type Module } from './names.ts'
import { WeightReader, type LoadOptions } from './weight_reader.ts'

/** What a norm scales by, and shifts by if it does. */
export interface Affine {
  readonly weight: Buffer // [D]
  readonly bias: Buffer | null // [D]
}

/** One block, in the memory of one backend. */
export interface BlockWeights {
  readonly backend: Backend
  readonly attentionNorm: Affine
  readonly query: Linear // [H K, D], [H K]
  readonly key: Linear // [G K, D], [G K]
  readonly value: Linear // [G K, D], [G K]
  readonly out: Linear // input-major: [H K, D], [D]
  readonly ffnNorm: Affine
  readonly fc1: Linear // [F, D], [F]; the gate of a gated block
  readonly up: Linear | null // [F, D], of a gated block
  readonly fc2: Linear // input-major: [F, D], [D]
}

/** Every parameter of a model. */
export interface ModelWeights {
  /** What its matrices are stored as. */
  readonly storage: Storage
  readonly tokenTable: Matrix // [V, E]
  readonly positionTable: Buffer | null // [positions + 2, D], of a model without rotations
  readonly projectIn: Matrix | null // [D, E]
  readonly blocks: readonly BlockWeights[] // [L]
  readonly finalNorm: Affine | null
  readonly projectOut: Matrix | null // [E, D]
  /** The token table itself where the head is tied. */
  readonly head: Matrix // [V, E]
  /** The same buffers by Hugging Face name, in the order of the forward pass. */
  readonly parameters: ReadonlyMap<string, Buffer>
  /** Bytes all of them take. */
  readonly bytes: number
  /** Tensors of the checkpoint that were not needed. */
  readonly unused: readonly string[]
  dispose(): void
}

/** The default of `bytesPerBackend`. */
const BYTES_PER_BACKEND = 1.75 * 2 ** 30

/**
 * Loads every parameter. What stands outside the blocks goes into the backend given, blocks too until it holds
 * `bytesPerBackend`; further ones go into its siblings, which the weights own.
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
  const parameters = new Map<string, Matrix>()
  try {
    for (const [name, shape] of parameterShapes(config)) {
      const own = storageOf(name, shape, storage)
      const scope = places.scopeOf(name)
      const loaded =
        own === 'int4'
          ? loadInt4(scope, name, shape, reader.blocks(name))
          : loadParameter(scope, name, shape, own, reader.chunks(name, own))
      parameters.set(name, await loaded)
    }
  } catch (error) {
    places.dispose()
    throw error
  }
  return arrange(config, places, parameters, storage, unused)
}

/** @throws UsageError STORAGE for an unknown one, or one that has no room for what is not finite */
function checkStorage(storage: Storage, allowNonFinite: boolean): void {
  if (!storages.includes(storage))
    throw new UsageError('STORAGE', `storage: expected one of ${storages.join(', ')}, got ${String(storage)}`)
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
  /** Of each layer: an index into the scopes. */
  readonly #layers: number[] = []

  constructor(config: ModelConfig, home: Backend, storage: Storage, most: number) {
    this.#scopes = [new BufferScope(home)]
    const bytes = new Array<number>(config.layers).fill(0)
    let held = 0
    for (const [name, shape] of parameterShapes(config)) {
      const size = parameterBytes(name, shape, storageOf(name, shape, storage))
      const layer = layerOf(name)
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

  scopeOf(name: string): BufferScope {
    const layer = layerOf(name)
    return this.#scopes[layer === null ? 0 : this.#layers[layer]]
  }

  dispose(): void {
    const [home, ...siblings] = this.#scopes
    home.dispose()
    for (const { backend } of siblings) backend.dispose()
  }
}

function arrange(
  config: ModelConfig,
  places: Places,
  parameters: ReadonlyMap<string, Matrix>,
  storage: Storage,
  unused: readonly string[],
): ModelWeights {
  const matrix = (name: string): Matrix => parameters.get(name) as Matrix
  const vector = (name: string): Buffer => valuesOf(matrix(name))
  const optional = (name: string): Matrix | null => parameters.get(name) ?? null
  const optionalVector = (name: string): Buffer | null => (parameters.has(name) ? vector(name) : null)
  const names = namesOf(config)
  const module = (layer: number, name: Module): string => moduleName(config, layer, name)
  const affine = (name: string): Affine => ({
    weight: vector(`${name}.weight`),
    bias: optionalVector(`${name}.bias`),
  })
  const linear = (name: string): Linear => ({
    weight: matrix(`${name}.weight`),
    bias: optionalVector(`${name}.bias`),
  })
  const block = (layer: number): BlockWeights => ({
    backend: places.scopeOf(module(layer, 'fc1')).backend,
    attentionNorm: affine(module(layer, 'attentionNorm')),
    query: linear(module(layer, 'query')),
    key: linear(module(layer, 'key')),
    value: linear(module(layer, 'value')),
    out: linear(module(layer, 'out')),
    ffnNorm: affine(module(layer, 'ffnNorm')),
    fc1: linear(module(layer, 'fc1')),
    up: config.gated ? linear(module(layer, 'up')) : null,
    fc2: linear(module(layer, 'fc2')),
  })
  return {
    storage,
    tokenTable: matrix(names.tokenTable),
    positionTable: optionalVector(names.positionTable),
    projectIn: optional(names.projectIn),
    blocks: Array.from({ length: config.layers }, (_, layer) => block(layer)),
    finalNorm: config.finalNorm ? affine(names.finalNorm) : null,
    projectOut: optional(names.projectOut),
    head: optional(names.head) ?? matrix(names.tokenTable),
    parameters: new Map([...parameters].map(([name, own]) => [name, valuesOf(own)])),
    bytes: [...parameters.values()].reduce((sum, one) => sum + matrixBytes(one), 0),
    unused,
    dispose: () => places.dispose(),
  }
}

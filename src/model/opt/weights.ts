/**
 * The parameters of an OPT model inside a backend.
 *
 * q, k, v, fc1, the projections and the lm_head stay one row per output; out_proj and fc2 are turned at load to one row
 * per input (held_parameters.ts says why). The host copy of a tensor is dropped as soon as it is uploaded.
 */
import type { Backend, Buffer } from '../../backends/backend.ts'
import { BufferScope } from '../../backends/buffer_scope.ts'
import { InputError } from '../../tensor/errors.ts'
import type { TensorSource } from '../../tensor/tensor_source.ts'
import type { OptConfig } from './config.ts'
import { uploadParameter } from './held_parameters.ts'
import type { Linear, Matrix } from './matrix.ts'
import { matchTensors, moduleName, names, parameterShapes } from './names.ts'

/** What a layer norm scales and shifts by. */
export interface Affine {
  readonly weight: Buffer // [D]
  readonly bias: Buffer // [D]
}

/** One block, in the memory of one backend. */
export interface BlockWeights {
  readonly backend: Backend
  readonly attentionNorm: Affine
  readonly query: Linear // [D, D], [D]
  readonly key: Linear // [D, D], [D]
  readonly value: Linear // [D, D], [D]
  readonly out: Linear // input-major: [D in, D out], [D]
  readonly ffnNorm: Affine
  readonly fc1: Linear // [F, D], [F]
  readonly fc2: Linear // input-major: [F, D], [D]
}

/** Every parameter of a model. */
export interface OptWeights {
  readonly tokenTable: Matrix // [V, E]
  readonly positionTable: Buffer // [positions + 2, D]
  readonly projectIn: Matrix | null // [D, E]
  readonly blocks: readonly BlockWeights[] // [L]
  readonly finalNorm: Affine | null
  readonly projectOut: Matrix | null // [E, D]
  /** The token table itself where the head is tied. */
  readonly head: Matrix // [V, E]
  /** The same buffers by Hugging Face name, in the order of the forward pass. */
  readonly parameters: ReadonlyMap<string, Buffer>
  /** Tensors of the checkpoint that were not needed. */
  readonly unused: readonly string[]
  dispose(): void
}

/** How far a load has come. */
export interface LoadProgress {
  /** Parameters loaded so far, and in all. */
  readonly loaded: number
  readonly total: number
  /** The tensor just loaded. */
  readonly name: string
}

/** How a load is watched, and what it accepts. */
export interface LoadOptions {
  /** Ends the load between two tensors; what was uploaded is freed. */
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: LoadProgress) => void
  /** Accept NaN and infinity among the weights. */
  readonly allowNonFinite?: boolean
}

/**
 * Loads every parameter into a backend.
 * @throws InputError TENSOR_MISSING, TENSOR_SHAPE, TENSOR_DUPLICATE, TENSOR_EXTRA before anything is read;
 *   WEIGHT_NOT_FINITE while reading; what the source throws; the signal's reason
 */
export async function loadWeights(
  config: OptConfig,
  source: TensorSource,
  backend: Backend,
  options: LoadOptions = {},
): Promise<OptWeights> {
  const { stored, unused } = matchTensors(config, source.tensors)
  const shapes = parameterShapes(config)
  const scope = new BufferScope(backend)
  const parameters = new Map<string, Buffer>()
  let loaded = 0
  try {
    for (const [name, storedName] of stored) {
      options.signal?.throwIfAborted()
      const values = await source.read(storedName)
      if (!options.allowNonFinite) refuseNonFinite(storedName, values)
      parameters.set(name, uploadParameter(scope, name, values, shapes.get(name) as readonly number[]))
      loaded++
      options.onProgress?.({ loaded, total: stored.size, name: storedName })
    }
  } catch (error) {
    scope.dispose()
    throw error
  }
  return arrange(config, backend, parameters, unused, () => scope.dispose())
}

function refuseNonFinite(name: string, values: Float32Array): void {
  for (let i = 0; i < values.length; i++)
    if (!Number.isFinite(values[i]))
      throw new InputError('WEIGHT_NOT_FINITE', `${name}[${i}]: expected a finite number, got ${values[i]}`, {
        tensor: name,
      })
}

function arrange(
  config: OptConfig,
  backend: Backend,
  parameters: ReadonlyMap<string, Buffer>,
  unused: readonly string[],
  dispose: () => void,
): OptWeights {
  const get = (name: string): Buffer => parameters.get(name) as Buffer
  const matrix = (name: string): Matrix => ({ weight: get(name) })
  const optional = (name: string): Matrix | null => (parameters.has(name) ? matrix(name) : null)
  const affine = (name: string): Affine => ({ weight: get(`${name}.weight`), bias: get(`${name}.bias`) })
  const block = (layer: number): BlockWeights => ({
    backend,
    attentionNorm: affine(moduleName(layer, 'attentionNorm')),
    query: affine(moduleName(layer, 'query')),
    key: affine(moduleName(layer, 'key')),
    value: affine(moduleName(layer, 'value')),
    out: affine(moduleName(layer, 'out')),
    ffnNorm: affine(moduleName(layer, 'ffnNorm')),
    fc1: affine(moduleName(layer, 'fc1')),
    fc2: affine(moduleName(layer, 'fc2')),
  })
  return {
    tokenTable: matrix(names.tokenTable),
    positionTable: get(names.positionTable),
    projectIn: optional(names.projectIn),
    blocks: Array.from({ length: config.layers }, (_, layer) => block(layer)),
    finalNorm: config.finalNorm ? affine(names.finalNorm) : null,
    projectOut: optional(names.projectOut),
    head: optional(names.head) ?? matrix(names.tokenTable),
    parameters,
    unused,
    dispose,
  }
}

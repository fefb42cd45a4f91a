/**
 * The parameters of an OPT model inside a backend.
 *
 * q, k, v, fc1, the projections and the lm_head stay one row per output; out_proj and fc2 are turned at load to one row
 * per input (held_parameters.ts says why). They are loaded by ranges (weight_reader.ts): beside what the backend holds
 * there are never more than a few megabytes of a tensor, and a second copy of one matrix while it is turned.
 */
import type { Backend, Buffer } from '../../backends/backend.ts'
import { BufferScope } from '../../backends/buffer_scope.ts'
import type { TensorSource } from '../../tensor/tensor_source.ts'
import type { OptConfig } from './config.ts'
import { loadParameter } from './held_parameters.ts'
import { matchTensors, moduleName, names, parameterShapes } from './names.ts'
import { WeightReader, type LoadOptions } from './weight_reader.ts'

/** A weight and a bias. */
export interface Affine {
  readonly weight: Buffer
  readonly bias: Buffer
}

/** One block. */
export interface BlockWeights {
  readonly attentionNorm: Affine // [D], [D]
  readonly query: Affine // [D, D], [D]
  readonly key: Affine // [D, D], [D]
  readonly value: Affine // [D, D], [D]
  readonly out: Affine // input-major: [D in, D out], [D]
  readonly ffnNorm: Affine // [D], [D]
  readonly fc1: Affine // [F, D], [F]
  readonly fc2: Affine // input-major: [F, D], [D]
}

/** Every parameter of a model. */
export interface OptWeights {
  readonly tokenTable: Buffer // [V, E]
  readonly positionTable: Buffer // [positions + 2, D]
  readonly projectIn: Buffer | null // [D, E]
  readonly blocks: readonly BlockWeights[] // [L]
  readonly finalNorm: Affine | null // [D], [D]
  readonly projectOut: Buffer | null // [E, D]
  /** The token table itself where the head is tied. */
  readonly head: Buffer // [V, E]
  /** The same buffers by Hugging Face name, in the order of the forward pass. */
  readonly parameters: ReadonlyMap<string, Buffer>
  /** Tensors of the checkpoint that were not needed. */
  readonly unused: readonly string[]
  dispose(): void
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
  const reader = new WeightReader(source, stored, options)
  const scope = new BufferScope(backend)
  const parameters = new Map<string, Buffer>()
  try {
    for (const [name, shape] of parameterShapes(config))
      parameters.set(name, await loadParameter(scope, name, shape, reader.chunks(name)))
  } catch (error) {
    scope.dispose()
    throw error
  }
  return arrange(config, parameters, unused, () => scope.dispose())
}

function arrange(
  config: OptConfig,
  parameters: ReadonlyMap<string, Buffer>,
  unused: readonly string[],
  dispose: () => void,
): OptWeights {
  const get = (name: string): Buffer => parameters.get(name) as Buffer
  const affine = (name: string): Affine => ({ weight: get(`${name}.weight`), bias: get(`${name}.bias`) })
  const block = (layer: number): BlockWeights => ({
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
    tokenTable: get(names.tokenTable),
    positionTable: get(names.positionTable),
    projectIn: parameters.get(names.projectIn) ?? null,
    blocks: Array.from({ length: config.layers }, (_, layer) => block(layer)),
    finalNorm: config.finalNorm ? affine(names.finalNorm) : null,
    projectOut: parameters.get(names.projectOut) ?? null,
    head: parameters.get(names.head) ?? get(names.tokenTable),
    parameters,
    unused,
    dispose,
  }
}

/**
 * A model of `src/spec` from the tensors of a checkpoint, and a network of a predictor from its parameters.
 */
import type { ModelConfig } from '../../engine/config.ts'
import type { CacheStorage } from '../../engine/layer_cache.ts'
import { moduleName, namesOf, readsUnits, type Module } from '../../engine/names.ts'
import type { Rotary } from '../../ops/rotary_table.ts'
import {
  layerParameterNames,
  networkParameterShapes,
  type NetworkShape,
  type NetworkValues,
} from '../../predictor/network.ts'
import {
  store,
  storeWeight,
  tensor,
  type Norm,
  type Storage,
  type Table,
  type Tensor,
} from '../../spec/arrays.ts'
import { llama, type LlamaModel } from '../../spec/llama.ts'
import type { Linear, Model } from '../../spec/model.ts'
import { opt, type OptModel } from '../../spec/opt.ts'
import type { Network } from '../../spec/predictor.ts'
import type { HostTensor } from '../../tensor/memory_source.ts'

/** Tensors by Hugging Face name, and in its layout. */
type Tensors = ReadonlyMap<string, HostTensor>

/** The model of either family. */
export function plainModel(
  config: ModelConfig,
  tensors: Tensors,
  storage: Storage,
  cache: CacheStorage,
): Model {
  return config.family === 'opt'
    ? opt(plainOpt(config, tensors, storage, cache))
    : llama(plainLlama(config, tensors, storage, cache))
}

/** A model of OPT. */
export function plainOpt(
  config: ModelConfig,
  tensors: Tensors,
  storage: Storage,
  cache: CacheStorage,
): OptModel {
  const { find, matrix, linear } = partsOf(config, tensors, storage)
  const names = namesOf(config)
  const norm = (name: string): Norm => ({ weight: find(`${name}.weight`), bias: find(`${name}.bias`) })
  const isProjected = config.embeddingWidth !== config.width
  const tokenTable = matrix(names.tokenTable)
  return {
    heads: config.heads,
    preNorm: config.preNorm,
    cache,
    tokenTable,
    projectIn: isProjected ? matrix(names.projectIn) : null,
    positionTable: store(find(names.positionTable), 'f32'),
    layers: Array.from({ length: config.layers }, (_, l) => ({
      attentionNorm: norm(moduleName(config, l, 'attentionNorm')),
      query: linear(l, 'query'),
      key: linear(l, 'key'),
      value: linear(l, 'value'),
      out: linear(l, 'out'),
      ffnNorm: norm(moduleName(config, l, 'ffnNorm')),
      fc1: linear(l, 'fc1'),
      fc2: linear(l, 'fc2'),
    })),
    finalNorm: config.finalNorm ? norm(names.finalNorm) : null,
    projectOut: isProjected ? matrix(names.projectOut) : null,
    head: config.tied ? tokenTable : matrix(names.head),
  }
}

/** A model of the Llama family. */
export function plainLlama(
  config: ModelConfig,
  tensors: Tensors,
  storage: Storage,
  cache: CacheStorage,
): LlamaModel {
  const { find, matrix, linear } = partsOf(config, tensors, storage)
  const names = namesOf(config)
  const tokenTable = matrix(names.tokenTable)
  const norm = (l: number, module: Module): Tensor => find(`${moduleName(config, l, module)}.weight`)
  return {
    heads: config.heads,
    headSize: config.headSize,
    epsilon: config.epsilon,
    rotary: config.rotary as Rotary,
    cache,
    tokenTable,
    layers: Array.from({ length: config.layers }, (_, l) => ({
      attentionNorm: norm(l, 'attentionNorm'),
      query: linear(l, 'query'),
      key: linear(l, 'key'),
      value: linear(l, 'value'),
      out: linear(l, 'out').weight,
      ffnNorm: norm(l, 'ffnNorm'),
      gate: linear(l, 'fc1').weight,
      up: linear(l, 'up').weight,
      down: linear(l, 'fc2').weight,
    })),
    finalNorm: find(`${names.finalNorm}.weight`),
    head: config.tied ? tokenTable : matrix(names.head),
  }
}

/** A network of a predictor. */
export function plainNetwork(shape: NetworkShape, values: NetworkValues): Network {
  const shapes = networkParameterShapes(shape)
  return layerParameterNames.map((name) => tensor(values[name], ...(shapes.get(name) ?? [0])))
}

/** Ways to find the parts of a model. */
function partsOf(config: ModelConfig, tensors: Tensors, storage: Storage) {
  const find = (name: string): Tensor => {
    const { shape, values } = tensors.get(name) as HostTensor
    return tensor(values, ...shape)
  }
  // Tables, the head and what stands beside them are int8 where the matrices of the layers are int4.
  const matrix = (name: string): Table => store(find(name), storage === 'int4' ? 'int8' : storage)
  const linear = (l: number, module: Module): Linear => {
    const name = moduleName(config, l, module)
    return {
      weight: storeWeight(find(`${name}.weight`), storage, readsUnits(`${name}.weight`)),
      bias: tensors.has(`${name}.bias`) ? find(`${name}.bias`) : null,
    }
  }
  return { find, matrix, linear }
}

/**
 * A model of `src/spec` from the tensors of a checkpoint, and a network of a predictor from its parameters.
 */
import type { ModelConfig } from '../../engine/config.ts'
import type { CacheStorage } from '../../engine/layer_cache.ts'
import { storageNamed, type Storage } from '../../engine/storages/index.ts'
import type { StorageRecord } from '../../engine/storages/storage.ts'
import { programOf } from '../../engine/program.ts'
import { attention_i8 } from '../../ops/attention_i8.ts'
import { cache_append_i8 } from '../../ops/cache_append_i8.ts'
import {
  layerParameterNames,
  networkParameterShapes,
  type NetworkShape,
  type NetworkValues,
} from '../../predictor/network.ts'
import { modelOf, type Model } from '../../spec/model.ts'
import { result, tensor, type Attend, type Matrix, type Tensor, type Weights } from '../../spec/plain.ts'
import type { Network } from '../../spec/predictor.ts'
import type { HostTensor } from '../../tensor/memory_source.ts'
import { remembered } from '../../tensor/records.ts'

/** Tensors by Hugging Face name, and in its layout. */
type Tensors = ReadonlyMap<string, HostTensor>

/** The model of either family. */
export function plainModel(
  config: ModelConfig,
  tensors: Tensors,
  storage: Storage,
  cache: CacheStorage,
): Model {
  const attention = cache === 'int8' ? attendRounded : undefined
  return modelOf(programOf(config), plainWeights(tensors, storage), attention)
}

/** The numbers of a checkpoint, matrices in a storage. Each is rounded once. */
export function plainWeights(tensors: Tensors, storage: Storage): Weights {
  const known = new Map<string, Matrix>()
  const numbers = (name: string): Tensor => {
    const { shape, values } = tensors.get(name) as HostTensor
    return tensor(values, ...shape)
  }
  return {
    vector: ({ name }) => numbers(name),
    matrix: ({ name }, isTurned) =>
      remembered(known, `${name} ${isTurned}`, () => storageOf(name, storage).plain(numbers(name), isTurned)),
  }
}

/** Tables, the head and what stands beside them may have another storage than the layers; positions are float32. */
function storageOf(name: string, storage: Storage): StorageRecord {
  if (name.endsWith('embed_positions.weight')) return storageNamed('f32')
  const record = storageNamed(storage)
  return (!name.includes('.layers.') && record.outside) || record
}

/** Attention over keys and values that a cache rounds to int8, with a scale for each key head and token. */
const attendRounded: Attend = (q, k, v, { headSize: K, scale, cap, window }) => {
  const [T, width] = q.shape
  const [H, G] = [width / K, k.shape[1] / K]
  const rounded = (x: Tensor): readonly [numbers: Int8Array, scales: Float32Array] => {
    const [numbers, scales] = [new Int8Array(x.size), new Float32Array(G * T)]
    cache_append_i8(numbers, scales, x.data, null, 0, T, T, G, K, G)
    return [numbers, scales]
  }
  return result(q.shape, (y) =>
    attention_i8(
      y,
      q.data,
      ...rounded(k),
      ...rounded(v),
      null,
      null,
      scale,
      cap,
      T,
      T,
      window,
      T,
      H,
      G,
      K,
      H,
    ),
  )
}

/** A network of a predictor. */
export function plainNetwork(shape: NetworkShape, values: NetworkValues): Network {
  const shapes = networkParameterShapes(shape)
  return layerParameterNames.map((name) => tensor(values[name], ...(shapes.get(name) ?? [0])))
}

/**
 * A model of `src/spec` from the tensors of a checkpoint.
 */
import type { OptConfig } from '../../engine/config.ts'
import { isInputMajor } from '../../engine/weight_layout.ts'
import type { CacheStorage } from '../../engine/layer_cache.ts'
import type { Storage } from '../../engine/matrix.ts'
import { moduleName, names, type modules } from '../../engine/names.ts'
import { transpose } from '../../ops/transpose.ts'
import { store, tensor, zeros, type Matrix, type Norm, type Tensor } from '../../spec/arrays.ts'
import type { Linear } from '../../spec/model.ts'
import type { OptLayer, OptModel } from '../../spec/opt.ts'
import type { HostTensor } from '../../tensor/memory_source.ts'

/** @param tensors by Hugging Face name and in its layout */
export function plainModel(
  config: OptConfig,
  tensors: ReadonlyMap<string, HostTensor>,
  storage: Storage,
  cache: CacheStorage,
): OptModel {
  const find = (name: string): Tensor => {
    const { shape, values } = tensors.get(name) as HostTensor
    return tensor(values, ...shape)
  }
  const matrix = (name: string): Matrix => store(find(name), storage)
  const norm = (name: string): Norm => ({ weight: find(`${name}.weight`), bias: find(`${name}.bias`) })
  const layer = (l: number): OptLayer => {
    const linear = (module: keyof typeof modules): Linear => {
      const name = moduleName(l, module)
      const weight = find(`${name}.weight`)
      return {
        weight: store(isInputMajor(`${name}.weight`) ? transposed(weight) : weight, storage),
        bias: find(`${name}.bias`),
      }
    }
    return {
      attentionNorm: norm(moduleName(l, 'attentionNorm')),
      query: linear('query'),
      key: linear('key'),
      value: linear('value'),
      out: linear('out'),
      ffnNorm: norm(moduleName(l, 'ffnNorm')),
      fc1: linear('fc1'),
      fc2: linear('fc2'),
    }
  }
  const isProjected = config.embeddingWidth !== config.width
  const tokenTable = matrix(names.tokenTable)
  return {
    heads: config.heads,
    preNorm: config.preNorm,
    cache,
    tokenTable,
    projectIn: isProjected ? matrix(names.projectIn) : null,
    positionTable: store(find(names.positionTable), 'f32'),
    layers: Array.from({ length: config.layers }, (_, l) => layer(l)),
    finalNorm: config.finalNorm ? norm(names.finalNorm) : null,
    projectOut: isProjected ? matrix(names.projectOut) : null,
    head: config.tied ? tokenTable : matrix(names.head),
  }
}

/** [O, I] to [I, O]. */
function transposed({ data, shape: [O, I] }: Tensor): Tensor {
  const y = zeros(I, O)
  transpose(y.data, data, O, I)
  return y
}

/**
 * The golden models, loaded from float32 through the plain reader, and the way a batch case is run: each row alone.
 */
import { readFileSync } from 'node:fs'
import type { Backend } from '../../src/backends/backend.ts'
import { makeMask, type UnitMask } from '../../src/masks/mask.ts'
import { unpad, type Unpadded } from '../../src/engine/batch.ts'
import { parseOptConfig, type OptConfig } from '../../src/engine/config.ts'
import { OptModel } from '../../src/engine/opt_model.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import type { TensorSource } from '../../src/tensor/tensor_source.ts'
import { fixtures, get, getFloats, getIds, readTensors, type Case, type Variant } from './golden.ts'

/** The configuration of a variant. */
export function goldenConfig(variant: Variant): OptConfig {
  return parseOptConfig(JSON.parse(readFileSync(`${fixtures}golden/${variant}/config.json`, 'utf8')))
}

/** The float32 weights of a variant. */
export function goldenSource(variant: Variant): TensorSource {
  const tensors = readTensors(`${fixtures}golden/${variant}/model.safetensors`)
  return memorySource(
    new Map(
      [...tensors].map(([name, { shape, values }]) => [name, { shape, values: Float32Array.from(values) }]),
    ),
  )
}

/** Loads a variant, gives it to `work`, and frees it. */
export async function withGolden(
  variant: Variant,
  backend: Backend,
  work: (model: OptModel) => void | Promise<void>,
  source: TensorSource = goldenSource(variant),
): Promise<void> {
  const model = await OptModel.load(goldenConfig(variant), source, backend)
  try {
    await work(model)
  } finally {
    model.dispose()
  }
}

/** The rows of a case without their padding. */
export interface Rows {
  readonly B: number
  readonly T: number
  readonly sequences: readonly Unpadded[]
  readonly labels: Int32Array // [B, T]
  /** Columns of a row that hold tokens, of a [B, T, width] tensor: the part of an expected tensor that counts. */
  cut(values: Float64Array, sequence: Unpadded, width: number): Float64Array
}

/** Reads ids, mask and labels of a case. */
export function rowsOf(tensors: Case): Rows {
  const [B, T] = get(tensors, 'input_ids').shape
  return {
    B,
    T,
    sequences: unpad(getIds(tensors, 'input_ids'), getIds(tensors, 'attention_mask'), B, T),
    labels: getIds(tensors, 'labels'),
    cut: (values, { row, start, tokens }, width) =>
      values.subarray((row * T + start) * width, (row * T + start + tokens.length) * width),
  }
}

/** The labels of one row's tokens. */
export function labelsOf({ T, labels }: Rows, { row, start, tokens }: Unpadded): Int32Array {
  return labels.slice(row * T + start, row * T + start + tokens.length)
}

/** The mask of a case; one kind may be left dense. */
export function maskOf(model: OptModel, tensors: Case, kinds: 'both' | 'heads' | 'neurons'): UnitMask {
  const heads = getFloats(tensors, 'head_mask')
  const neurons = getFloats(tensors, 'ffn_mask')
  if (kinds === 'heads') neurons.fill(1)
  if (kinds === 'neurons') heads.fill(1)
  return makeMask(model.shape, heads, neurons)
}

/** One layer of an expected [L, ...] tensor. */
export function layerOf(values: Float64Array, layer: number, layers: number): Float64Array {
  const length = values.length / layers
  return values.subarray(layer * length, (layer + 1) * length)
}

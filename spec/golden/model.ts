/**
 * The golden models, loaded from float32 through the plain reader, and the way a batch case is run: each row alone.
 */
import { readFileSync } from 'node:fs'
import { expect } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { makeMask, type UnitMask } from '../../src/masks/mask.ts'
import { unpad, type Unpadded } from '../../src/engine/batch.ts'
import { parseConfig, type ModelConfig } from '../../src/engine/config.ts'
import { countScored, meanLoss, negativeLogLikelihood } from '../../src/engine/loss.ts'
import { matchTensors, type StoredParameter } from '../../src/engine/names.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { memorySource, type HostTensor } from '../../src/tensor/memory_source.ts'
import type { TensorSource } from '../../src/tensor/tensor_source.ts'
import {
  expectNear,
  get,
  getFloats,
  getIds,
  pathOf,
  readTensors,
  tolerance,
  type Case,
  type Variant,
} from './golden.ts'

/** The configuration of a variant. */
export function goldenConfig(variant: Variant, file = 'config.json'): ModelConfig {
  return parseConfig(JSON.parse(readFileSync(pathOf(variant, file), 'utf8')))
}

/** The float32 weights of a variant, by name. */
export function goldenTensors(variant: Variant): Map<string, HostTensor> {
  const tensors = readTensors(pathOf(variant, 'model.safetensors'))
  return new Map(
    [...tensors].map(([name, { shape, values }]) => [name, { shape, values: Float32Array.from(values) }]),
  )
}

/** Where the file of a variant has each parameter. */
function storedIn(variant: Variant): ReadonlyMap<string, StoredParameter> {
  return matchTensors(goldenConfig(variant), goldenSource(variant).tensors).stored
}

/** The same by the names of parameters, of which a file may have several as rows of one tensor. */
export function goldenParameters(variant: Variant): Map<string, HostTensor> {
  const tensors = goldenTensors(variant)
  return new Map(
    [...storedIn(variant)].map(([parameter, { name, first, rows }]) => {
      const { shape, values } = tensors.get(name) as HostTensor
      const length = values.length / shape[0]
      const own = values.slice(first * length, (first + rows) * length)
      return [parameter, { shape: [rows, ...shape.slice(1)], values: own }]
    }),
  )
}

/** The expected gradients of a case by the names of parameters. */
export function expectedGradients(variant: Variant, tensors: Case): (parameter: string) => Float64Array {
  const stored = storedIn(variant)
  return (parameter) => {
    const { name, first, rows } = stored.get(parameter) as StoredParameter
    const { shape, values } = get(tensors, `grad.${name}`)
    const length = values.length / shape[0]
    return values.subarray(first * length, (first + rows) * length)
  }
}

/** The float32 weights of a variant as a source. */
export function goldenSource(variant: Variant): TensorSource {
  return memorySource(goldenTensors(variant))
}

/** Loads a variant, gives it to `work`, and frees it. */
export async function withGolden(
  variant: Variant,
  backend: Backend,
  work: (model: LanguageModel) => void | Promise<void>,
  source: TensorSource = goldenSource(variant),
): Promise<void> {
  const model = await LanguageModel.load(goldenConfig(variant), source, backend)
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
  cut<Values extends Float32Array | Float64Array>(values: Values, sequence: Unpadded, width: number): Values
}

/** Reads ids, mask and labels of a case. */
export function rowsOf(tensors: Case): Rows {
  const [B, T] = get(tensors, 'input_ids').shape
  return {
    B,
    T,
    sequences: unpad(getIds(tensors, 'input_ids'), getIds(tensors, 'attention_mask'), B, T),
    labels: getIds(tensors, 'labels'),
    cut: <Values extends Float32Array | Float64Array>(
      values: Values,
      { row, start, tokens }: Unpadded,
      width: number,
    ) => values.subarray((row * T + start) * width, (row * T + start + tokens.length) * width) as Values,
  }
}

/** The labels of one row's tokens. */
export function labelsOf({ T, labels }: Rows, { row, start, tokens }: Unpadded): Int32Array {
  return labels.slice(row * T + start, row * T + start + tokens.length)
}

/** How many labels of a case are scored. */
export function scoredIn(rows: Rows): number {
  return rows.sequences.reduce((sum, sequence) => sum + countScored(labelsOf(rows, sequence)), 0)
}

/** The logits [T, V] of one row. */
export type LogitsOf = (sequence: Unpadded) => Float32Array

/** Compares the logits of every row with the tensor of this name. */
export function expectLogits(tensors: Case, name: string, logitsOf: LogitsOf): void {
  const rows = rowsOf(tensors)
  const expected = get(tensors, name)
  const [, , V] = expected.shape
  for (const sequence of rows.sequences)
    expectNear(logitsOf(sequence), rows.cut(expected.values, sequence, V), tolerance.logits, name)
}

/** Compares the mean loss over all labels of a case with the tensor of this name. */
export function expectLoss(backend: Backend, tensors: Case, name: string, logitsOf: LogitsOf): void {
  const rows = rowsOf(tensors)
  const all = rows.sequences.flatMap((sequence) => [
    ...negativeLogLikelihood(backend, logitsOf(sequence), labelsOf(rows, sequence)),
  ])
  const loss = meanLoss(Float32Array.from(all), scoredIn(rows))
  const expected = get(tensors, name).values[0]
  expect(Math.abs(loss - expected) / expected, name).toBeLessThanOrEqual(tolerance.loss)
}

/** The masks of a case, by the name of what was computed under them. */
export function maskedKinds(tensors: Case) {
  const kinds = [
    ['masked', 'both'],
    ['masked_head_only', 'heads'],
    ['masked_ffn_only', 'neurons'],
  ] as const
  return kinds.filter(([name]) => tensors.has(`${name}.logits`))
}

/** The mask of a case; one kind may be left dense. */
export function maskOf(
  { shape }: Pick<LanguageModel, 'shape'>,
  tensors: Case,
  kinds: 'both' | 'heads' | 'neurons',
): UnitMask {
  const heads = getFloats(tensors, 'head_mask')
  const neurons = getFloats(tensors, 'ffn_mask')
  if (kinds === 'heads') neurons.fill(1)
  if (kinds === 'neurons') heads.fill(1)
  return makeMask(shape, heads, neurons)
}

/** One layer of an expected [L, ...] tensor. */
export function layerOf(values: Float64Array, layer: number, layers: number): Float64Array {
  const length = values.length / layers
  return values.subarray(layer * length, (layer + 1) * length)
}

/**
 * The file of a predictor: safetensors, with the predictor config as JSON in the metadata entry `shadowllm.predictor`.
 * Reading checks the config against its schema, and the shape of every tensor against the config.
 *
 *   heads.inputWeight [R, D]   heads.inputBias [R]   heads.outputWeight [O, R]   heads.outputBias [O]
 *   neurons.*                  the same
 *   heads.queryWeight ...      with attention pooling
 *   features.mean, .spread     [D], if features are scaled by the moments of the training set
 *
 * Matrices are F32, or BF16 on request: half the size, for a file that is shipped. Biases and moments are always F32. The
 * metadata entry `shadowllm.source` may say what a predictor was made from, for people and for `learntUse`.
 *
 * Predictors with networks for every layer have `heads.<layer>.*` with layers from 1, and features.* [L-1, D].
 */
import type { Backend } from '../backends/backend.ts'
import type { Storage } from '../engine/storages/index.ts'
import { readFinite } from '../io/read_finite.ts'
import { openOwnFile } from '../io/open_own.ts'
import { parseSafetensors } from '../io/safetensors.ts'
import { encodeSafetensors, writeSafetensors, type TensorToWrite } from '../io/safetensors_writer.ts'
import { closing, type RawTensorSource, type TensorSource } from '../tensor/tensor_source.ts'
import { networkCount, networkShape, type PredictorConfig, featureWidth } from './predictor_config.ts'
import { configEntry, predictorConfigText, readPredictorConfig } from './predictor_config_schema.ts'
import { DejavuPredictor } from './dejavu.ts'
import { DejavuStylePredictor } from './dejavu_style.ts'
import type { FeatureMoments } from './features.ts'
import type { LayerValues } from './layer_networks.ts'
import {
  networkParameterShapes,
  noBiases,
  type Network,
  type NetworkParameterName,
  type NetworkShape,
  type NetworkValues,
} from './network.ts'
import { ShadowPredictor } from './shadow.ts'
import { scopeOption, type Scope } from '../masks/budget.ts'
import { unitKinds, type UnitKind } from '../masks/mask.ts'
import { prefillOption, type Prefill } from '../masks/planner.ts'

/** A predictor of any kind. */
export type Predictor = ShadowPredictor | DejavuStylePredictor | DejavuPredictor

/** The types of a predictor's matrices in its file. */
export const matrixTypes = ['f32', 'bf16'] as const

/** How a predictor is written. */
export interface PredictorFileOptions {
  /** The type of its matrices; default f32. */
  readonly matrices?: (typeof matrixTypes)[number]
  /** What it was made from, for people who read the file. */
  readonly source?: Readonly<Record<string, string | number>>
}

/** The metadata entry that says what a predictor was made from; `learntUse` reads a part of it. */
export const sourceEntry = 'shadowllm.source'

/**
 * Writes a predictor to a file, atomically, for `openPredictor` and `ShadowModel.loadPredictor`.
 * @param path an existing file is replaced
 * @throws the system's error if the file cannot be written
 */
export async function savePredictor(
  path: string,
  predictor: Predictor,
  { matrices = 'f32', source }: PredictorFileOptions = {},
): Promise<void> {
  const tensors = predictorTensors(predictor)
  if (matrices === 'bf16')
    for (const [name, tensor] of tensors)
      if (name.endsWith('Weight')) tensors.set(name, { ...tensor, dtype: 'BF16' })
  const metadata = { ...metadataOf(predictor), ...(source && { [sourceEntry]: JSON.stringify(source) }) }
  await writeSafetensors(path, tensors, metadata)
}

/** The same file in memory. */
export function encodePredictor(predictor: Predictor): Uint8Array {
  return encodeSafetensors(predictorTensors(predictor), metadataOf(predictor))
}

function metadataOf({ config }: Predictor): Record<string, string> {
  return { [configEntry]: predictorConfigText(config) }
}

/** The tensors of a predictor's file. */
export function predictorTensors({ config, networks, moments }: Predictor): Map<string, TensorToWrite> {
  const tensors = new Map<string, TensorToWrite>()
  for (const kind of unitKinds)
    [networks[kind]].flat().forEach((network, i) => addNetwork(tensors, prefixOf(config, kind, i), network))
  if (moments) addMoments(tensors, momentsShape(config), [moments].flat())
  return tensors
}

/** What the networks of a kind of unit are called in a file: those of layers have their numbers. */
function prefixOf({ kind }: PredictorConfig, unit: UnitKind, i: number): string {
  return kind === 'shadow' ? unit : `${unit}.${i + 1}`
}

function momentsShape(config: PredictorConfig): number[] {
  const width = featureWidth(config)
  return config.kind === 'shadow' ? [width] : [networkCount(config), width]
}

/**
 * A predictor of any kind in a backend.
 * @param values of its `networkCount` networks for each kind of unit
 * @throws UsageError MLP_SHAPE or MOMENTS if the values do not fit the config
 */
export function makePredictor(
  backend: Backend,
  config: PredictorConfig,
  values: LayerValues,
  storage: Storage = 'f32',
): Predictor {
  if (config.kind === 'dejavu') return new DejavuPredictor(backend, config, values, storage)
  if (config.kind === 'dejavu-style') return new DejavuStylePredictor(backend, config, values, storage)
  const [[heads], [neurons], [moments]] = [values.heads, values.neurons, values.moments ?? []]
  return new ShadowPredictor(backend, config, { heads, neurons, moments }, storage)
}

/**
 * Reads a predictor of any kind into a backend, which must be that of the model. By its `kind` it goes to `shadowPlanner`,
 * `dejavuStylePlanner` or `dejavuPlanner`; `predictScores` asks it directly. `dispose` it. `ShadowModel.loadPredictor` does all of this
 * for the planners that `generate` names.
 * @param storage the storage of its matrices; only f32 can be written to a file again
 * @param path of a file that `savePredictor` or `shadowllm train` wrote
 * @throws InputError PREDICTOR_CARD for a file that is no predictor or has an invalid config, TENSOR_MISSING, TENSOR_SHAPE, WEIGHT_NOT_FINITE, and
 *   what `openSafetensors` throws
 */
export function openPredictor(path: string, backend: Backend, storage: Storage = 'f32'): Promise<Predictor> {
  return predictorOf(openFile(path), backend, storage)
}

function openFile(path: string): Promise<RawTensorSource> {
  return openOwnFile(path, 'PREDICTOR_CARD', 'a predictor, as "shadowllm train" writes it', ({ metadata }) =>
    metadata.has(configEntry),
  )
}

/** For which masks a predictor is meant: those that its scores were learnt for (training/learn_scores.ts). */
export interface LearntUse {
  readonly scope: Scope
  readonly prefill: Prefill
  /** Zero where heads are to be kept; undefined where they are skipped. */
  readonly headSparsity?: 0
  /** Zero where neurons are to be kept. */
  readonly neuronSparsity?: 0
}

/** That of a file; null where it says none. @throws InputError PREDICTOR_CARD for a file that is no predictor, and as `openSafetensors` */
export async function learntUse(path: string): Promise<LearntUse | null> {
  const entry = await closing(openFile(path), ({ metadata }) => metadata.get(sourceEntry))
  return entry === undefined ? null : useOf(entry)
}

function useOf(entry: string): LearntUse | null {
  try {
    const { scope, prefill, ...shares } = JSON.parse(entry) as Partial<LearntUse>
    if (!scopeOption.holds(scope) || !prefillOption.holds(prefill)) return null
    const kept = (['headSparsity', 'neuronSparsity'] as const).filter((kind) => shares[kind] === 0)
    return { scope, prefill, ...Object.fromEntries(kept.map((kind) => [kind, 0])) } as LearntUse
  } catch {
    return null
  }
}

/** Reads a predictor's file in memory. @throws InputError as `openPredictor` */
export function parsePredictor(bytes: Uint8Array, backend: Backend): Promise<Predictor> {
  return predictorOf(parseSafetensors(bytes, 'predictor'), backend, 'f32')
}

function predictorOf(
  opening: Promise<RawTensorSource>,
  backend: Backend,
  storage: Storage,
): Promise<Predictor> {
  return closing(opening, async (source) => {
    const config = readPredictorConfig(source.metadata.get(configEntry))
    return makePredictor(backend, config, await readValues(source, config), storage)
  })
}

function addNetwork(tensors: Map<string, TensorToWrite>, prefix: string, network: Network): void {
  const values = network.read()
  for (const [name, shape] of networkParameterShapes(network.shape))
    tensors.set(`${prefix}.${name}`, { dtype: 'F32', shape, data: values[name] as Float32Array })
}

function addMoments(
  tensors: Map<string, TensorToWrite>,
  shape: readonly number[],
  moments: readonly FeatureMoments[],
): void {
  for (const name of ['mean', 'spread'] as const) {
    const data = new Float32Array(shape.reduce((product, size) => product * size, 1))
    moments.forEach((one, i) => data.set(one[name], i * one[name].length))
    tensors.set(`features.${name}`, { dtype: 'F32', shape, data })
  }
}

async function readValues(source: TensorSource, config: PredictorConfig): Promise<LayerValues> {
  const values: Record<UnitKind, NetworkValues[]> = { heads: [], neurons: [] }
  for (const kind of unitKinds)
    for (let i = 0; i < networkCount(config); i++)
      values[kind].push(await readNetwork(source, prefixOf(config, kind, i), networkShape(config, kind)))
  const isScaled = config.features === 'dataset'
  return { ...values, moments: isScaled ? await readMoments(source, momentsShape(config)) : null }
}

async function readNetwork(
  source: TensorSource,
  prefix: string,
  shape: NetworkShape,
): Promise<NetworkValues> {
  const values: Partial<Record<NetworkParameterName, Float32Array>> = { ...noBiases }
  for (const [name, expected] of networkParameterShapes(shape))
    values[name] = await readWeights(source, `${prefix}.${name}`, expected)
  return values as NetworkValues
}

/** Moments of one or of several rows of features. @param shape [D] or [count, D] */
async function readMoments(source: TensorSource, shape: readonly number[]): Promise<FeatureMoments[]> {
  const mean = await readWeights(source, 'features.mean', shape)
  const spread = await readWeights(source, 'features.spread', shape)
  const width = shape[shape.length - 1]
  return Array.from({ length: mean.length / width }, (_, i) => ({
    mean: mean.slice(i * width, (i + 1) * width),
    spread: spread.slice(i * width, (i + 1) * width),
  }))
}

function readWeights(source: TensorSource, name: string, shape: readonly number[]): Promise<Float32Array> {
  return readFinite(source, name, shape, 'WEIGHT_NOT_FINITE')
}

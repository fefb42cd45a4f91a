/**
 * The models that are measured: a checkpoint, or the sizes of one with random weights.
 */
import type { Backend } from '../backends/backend.ts'
import type { HubOrigin } from '../io/hub.ts'
import { openModelFolder } from '../io/load.ts'
import { parseConfig, type ModelConfig } from '../engine/config.ts'
import { chosenStorage, type Storage } from '../engine/storages/index.ts'
import { parameterShapes } from '../engine/program.ts'
import { LanguageModel } from '../engine/language_model.ts'
import type { LoadOptions } from '../engine/weight_reader.ts'
import { UsageError } from '../tensor/errors.ts'
import {
  checkOptions,
  expectOption,
  kinds,
  nameOption,
  required,
  seedOption,
  wholeOption,
  type Kinds,
} from '../tensor/option.ts'
import { closing, type TensorSource } from '../tensor/tensor_source.ts'
import {
  architectureByName,
  architectureOf,
  architectures,
  type Architecture,
} from '../cost/architectures.ts'
import { hashFiles, hashTexts } from '../results/provenance.ts'
import { RandomSource } from './random_weights.ts'

/** The shapes that can be asked for by name, the smallest first. */
export const benchShapes = [
  'opt-125m',
  'smollm2-135m',
  'gemma-3-270m',
  'opt-350m',
  'qwen3-0.6b',
  'tinyllama-1.1b',
  'llama-3.2-1b',
  'opt-1.3b',
  'opt-2.7b',
  'opt-6.7b',
] as const

/** A model to be measured, in any storage. */
export interface BenchSubject {
  /** What it is called in a table: random weights and left out layers are part of its name. */
  readonly model: string
  /** The model whose sizes it has; layers by width where it is none that is known. */
  readonly shape: string
  readonly weights: 'random' | 'checkpoint'
  /** The storage that its file has its matrices in; f32 without a file. */
  readonly fileStorage: Storage
  readonly config: ModelConfig
  readonly architecture: Architecture
  /** SHA-256 of what it is made from. */
  hash(): Promise<string>
  /** Where on the hub it came from; null if it did not. */
  readonly origin: HubOrigin | null
  /** The weights; to be closed. */
  open(): Promise<TensorSource>
}

/** How a shape is filled. */
export interface ShapeOptions {
  /** Of the weights. */
  readonly seed: number
  /** Only the first so many; default all. */
  readonly layers?: number
}

const shapeOption = nameOption('SHAPE', benchShapes)
const shapeFields: Kinds<ShapeOptions> = { seed: required(seedOption), layers: wholeOption('LAYERS', 1) }

/**
 * Random weights in the sizes of a known model, for `Bench`.
 * @param shape the name of the model, such as `opt-125m`
 * @param options the seed of the weights, and how many layers
 * @throws UsageError SHAPE for an unknown name, LAYERS for no layers, or more than it has; OPTIONS, OPTION_NAME, SEED for wrong options
 */
export function shapeSubject(shape: string, options: ShapeOptions): BenchSubject {
  expectOption('shape', shape, shapeOption)
  checkOptions(options, shapeFields)
  const { seed, layers } = options
  const whole = architectureByName(shape)
  if (layers !== undefined && layers > whole.layers)
    throw new UsageError('LAYERS', `layers: expected 1 to ${whole.layers} of ${shape}, got ${layers}`)
  const config = { ...whole, layers: layers ?? whole.layers }
  const part = config.layers < whole.layers ? `, ${config.layers} of ${whole.layers} layers` : ''
  return randomSubject(`${shape}${part}`, config, seed)
}

/** Random weights in any sizes. */
export function randomSubject(name: string, config: ModelConfig, seed: number): BenchSubject {
  const model = `${name} (random weights)`
  return {
    model,
    ...sizesOf(model, config),
    weights: 'random',
    fileStorage: 'f32',
    origin: null,
    hash: () => hashTexts([{ name: model, text: JSON.stringify([config, seed]) }]),
    open: async () => new RandomSource(parameterShapes(config), seed),
  }
}

/**
 * A checkpoint, for `Bench`.
 * @param model what it is called in the rows
 * @param folder of a model in Hugging Face form
 * @param origin where on the hub it came from, if it did
 * @throws UsageError OPTION_TYPE, PATH for a name or folder that is no text; what `openModelFolder` and `parseConfig` throw
 */
export async function checkpointSubject(
  model: string,
  folder: string,
  origin: HubOrigin | null = null,
): Promise<BenchSubject> {
  expectOption('model', model, kinds.text)
  expectOption('folder', folder, kinds.path)
  const { configJson, files, source } = await openModelFolder(folder)
  await source.close()
  return {
    model,
    fileStorage: chosenStorage('file', source),
    ...sizesOf(model, parseConfig(configJson)),
    weights: 'checkpoint',
    origin,
    hash: () => hashFiles(files.all),
    open: async () => (await openModelFolder(folder)).source,
  }
}

function sizesOf(
  model: string,
  config: ModelConfig,
): Pick<BenchSubject, 'config' | 'architecture' | 'shape'> {
  const architecture = architectureOf(model, config)
  const { layers, width } = config
  const known = architectures.find(
    (one) =>
      one.layers >= layers &&
      (['family', 'width', 'heads', 'neurons'] as const).every((name) => one[name] === config[name]),
  )
  return { config, architecture, shape: known?.name ?? `${layers}x${width}` }
}

/** Loads a subject into a backend. @throws what `LanguageModel.load` and opening the weights throw */
export async function loadSubject(
  subject: BenchSubject,
  storage: Storage,
  backend: Backend,
  options: Pick<LoadOptions, 'signal' | 'onProgress'> = {},
): Promise<LanguageModel> {
  return closing(subject.open(), async (source) => {
    return await LanguageModel.load(subject.config, source, backend, { ...options, storage })
  })
}

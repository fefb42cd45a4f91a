/**
 * A model as people have it: a folder with `config.json`, weights and maybe a tokenizer; or one file of weights with
 * the rest beside it.
 *
 * The first kind of weights that is there is the one that is read, in this order: `model.safetensors`,
 * `model.safetensors.index.json`, `pytorch_model.bin`, `pytorch_model.bin.index.json`. If it is broken that is an
 * error; no other is tried. What the configuration means is the model's business; here it is only read as JSON.
 */
import { fileNameOf, folderOf, joinPath } from '../platform/platform.ts'
import type { RawTensorSource } from '../tensor/tensor_source.ts'
import { isThere, kindOf, readWhole } from './files.ts'
import { describeJson, parseJson, toPlain } from './json.ts'
import { refusal } from './refusal.ts'
import { openSafetensors } from './safetensors.ts'
import { openShards } from './shard_index.ts'
import { openTokenizer, tokenizerFiles, type Tokenizer } from './tokenizer.ts'

/** An opened model. Close its source. */
export interface ModelFolder {
  /** What `config.json` says: an object without a prototype, not judged any further. */
  readonly configJson: unknown
  readonly source: RawTensorSource
  /** Absent if the folder has none. */
  readonly tokenizer?: Tokenizer
  readonly files: ModelFiles
}

/** The paths that were used. */
export interface ModelFiles {
  readonly config: string
  /** The file of weights, or the index of several. */
  readonly weights: string
  readonly tokenizer: readonly string[]
}

/** Names of weights in a folder, in the order they are looked for. */
export const weightNames: readonly string[] = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
]

/**
 * Opens a model.
 * @param path a folder, or a file of weights (or an index of several) with `config.json` beside it.
 * @throws InputError MODEL_MISSING, MODEL_CONFIG and MODEL_WEIGHTS for what is not there, MODEL_FORMAT for a file of
 *   another kind, JSON_* for a configuration that is not JSON; whatever weights or tokenizer are refused with.
 */
export async function openModelFolder(path: string): Promise<ModelFolder> {
  const files = await findModelFiles(path)
  const configJson = await readConfig(files.config)
  const tokenizer = await openTokenizer(folderOf(files.config))
  const source = await openWeights(files.weights)
  return { configJson, source, files, ...(tokenizer === null ? {} : { tokenizer }) }
}

/**
 * The files of a model, found and not yet opened.
 * @throws InputError MODEL_MISSING, MODEL_CONFIG, MODEL_WEIGHTS
 */
export async function findModelFiles(path: string): Promise<ModelFiles> {
  const kind = await kindOf(path)
  if (kind === 'missing')
    throw refusal('MODEL_MISSING', path, "a model's folder, or a file of weights", 'nothing')
  const folder = kind === 'directory' ? path : folderOf(path)
  const [config] = await present(folder, ['config.json'])
  if (config === undefined) throw refusal('MODEL_CONFIG', folder, 'config.json in it', 'no such file')
  const [weights] = kind === 'directory' ? await present(folder, weightNames) : [path]
  if (weights === undefined) {
    throw refusal(
      'MODEL_WEIGHTS',
      folder,
      `${weightNames.slice(0, -1).join(', ')} or ${weightNames.at(-1)}`,
      'none',
    )
  }
  return { config, weights, tokenizer: await present(folder, tokenizerFiles) }
}

/** The paths of those names that are there. */
async function present(folder: string, names: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for (const name of names) {
    const path = joinPath(folder, name)
    if (await isThere(path)) found.push(path)
  }
  return found
}

async function readConfig(path: string): Promise<unknown> {
  const json = parseJson(await readWhole(path), fileNameOf(path))
  if (!(json instanceof Map)) throw refusal('MODEL_CONFIG', path, 'an object', describeJson(json))
  return toPlain(json)
}

/**
 * Opens a file of weights, or an index of several, by the ending of its name. Close it.
 * @throws InputError MODEL_FORMAT for another ending; whatever the file is refused with.
 */
export async function openWeights(path: string): Promise<RawTensorSource> {
  if (path.endsWith('.safetensors')) return openSafetensors(path)
  if (path.endsWith('.bin')) return openTorch(path)
  if (path.endsWith('.safetensors.index.json')) return openShards(path, '.safetensors', openSafetensors)
  if (path.endsWith('.bin.index.json')) return openShards(path, '.bin', openTorch)
  throw refusal(
    'MODEL_FORMAT',
    path,
    'a name that ends with .safetensors, .bin or .index.json',
    fileNameOf(path),
  )
}

/** Opens a file of torch. Few models have one, so its reader is loaded on first use. */
async function openTorch(path: string): Promise<RawTensorSource> {
  const { openTorchCheckpoint } = await import('./torch_checkpoint.ts')
  return openTorchCheckpoint(path)
}

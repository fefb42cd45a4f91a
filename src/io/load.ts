/**
 * Loads a model: a folder with `config.json`, weights and possibly a tokenizer, or one weight file next to them.
 *
 * The first existing kind of weights is read, in this order: `model.safetensors`, `model.safetensors.index.json`,
 * `pytorch_model.bin`, `pytorch_model.bin.index.json`. If it is invalid, that is an error; no other kind is tried. The
 * configuration is parsed as JSON here, and interpreted by the engine.
 */
import { fileNameOf, folderOf, joinPath } from '../platform/platform.ts'
import type { RawTensorSource } from '../tensor/tensor_source.ts'
import type { ChatTemplate } from './chat_template.ts'
import { isThere, kindOf, readWhole } from './files.ts'
import { describeJson, parseJson, toPlain } from './json.ts'
import { refusal } from './refusal.ts'
import { openSafetensors } from './safetensors.ts'
import { openShards } from './shard_index.ts'
import { openTokenizer, tokenizerFiles, type Tokenizer } from './tokenizer.ts'

/** An opened model. Close its source. */
export interface ModelFolder {
  /** The content of `config.json`: an unchecked object without a prototype. */
  readonly configJson: unknown
  readonly source: RawTensorSource
  /** Undefined if the folder has none. */
  readonly tokenizer?: Tokenizer
  /** Undefined if the model has none. */
  readonly chat?: ChatTemplate
  /** Ids that end a text, beside those of the configuration. */
  readonly stopIds?: readonly number[]
  readonly files: ModelFiles
}

/** The paths of its files. */
interface ModelFiles {
  readonly config: string
  /** The weight file, or the index of several. */
  readonly weights: string
  readonly tokenizer: readonly string[]
}

/** Files that only chats and the ends of texts need, if they exist. */
export const chatFiles: readonly string[] = [
  'chat_template.jinja',
  'tokenizer_config.json',
  'generation_config.json',
]

/** Names of weight files, by priority. */
export const weightNames: readonly string[] = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
]

/**
 * Opens a model.
 * @param path a folder, or a weight file (or an index of several) next to `config.json`.
 * @throws InputError MODEL_MISSING, MODEL_CONFIG and MODEL_WEIGHTS for missing files, MODEL_FORMAT for a file of another
 *   kind, JSON_* for an invalid configuration; the errors of the readers of weights, tokenizer and chat template.
 */
export async function openModelFolder(path: string): Promise<ModelFolder> {
  const files = await findModelFiles(path)
  const configJson = await readConfig(files.config)
  const tokenizer = await openTokenizer(folderOf(files.config))
  const { chat, stopIds } = await openChat(folderOf(files.config))
  const source = await openWeights(files.weights)
  return { configJson, source, files, stopIds, ...(tokenizer && { tokenizer }), ...(chat && { chat }) }
}

/**
 * The chat template and the ids that end a text. Their schemas are loaded where a folder has one of their
 * files.
 */
async function openChat(folder: string): Promise<{ chat: ChatTemplate | null; stopIds: readonly number[] }> {
  if ((await present(folder, chatFiles)).length === 0) return { chat: null, stopIds: [] }
  const { openChatTemplate, openStopIds } = await import('./chat_template.ts')
  return { chat: await openChatTemplate(folder), stopIds: await openStopIds(folder) }
}

/**
 * Finds the files of a model without opening them.
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

/** The paths of the existing files. */
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
 * Opens a weight file, or an index of several, by the extension of its name. Close it.
 * @throws InputError MODEL_FORMAT for another extension; the errors of the reader.
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

/** Opens a torch checkpoint. Few models have one, so its reader is loaded on first use. */
async function openTorch(path: string): Promise<RawTensorSource> {
  const { openTorchCheckpoint } = await import('./torch_checkpoint.ts')
  return openTorchCheckpoint(path)
}

/**
 * Loads a model: a folder with `config.json`, weights and possibly a tokenizer, or one weight file next to them; or a GGUF
 * file, which has all of it.
 *
 * The first existing kind of weights is read, in this order: `model.safetensors`, `model.safetensors.index.json`,
 * `pytorch_model.bin`, `pytorch_model.bin.index.json`, and then the only GGUF file of the folder. If it is invalid, that is
 * an error; no other kind is tried. The configuration is parsed as JSON here, and interpreted by the engine.
 */
import { fileNameOf, folderOf, joinPath, list } from '../platform/platform.ts'
import type { RawTensorSource } from '../tensor/tensor_source.ts'
import type { ChatTemplate, OwnSampling } from './chat_template.ts'
import { isThere, kindOf, nothingAt, readWhole } from './files.ts'
import { objectOf, parseJson, toPlain } from './json.ts'
import { quote, refusal } from './refusal.ts'
import { expectInside } from './inside.ts'
import { predictorFile } from './named_predictor.ts'
import { joinSafely } from './safe_path.ts'
import { openSafetensors } from './safetensors.ts'
import { openShards } from './shard_index.ts'
import { createTokenizer, openTokenizer, tokenizerFiles, type Tokenizer } from './tokenizer.ts'

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
  /** How the model's makers draw tokens. */
  readonly sampling?: OwnSampling
  readonly files: ModelFiles
}

/** The paths of its files. */
export interface ModelFiles {
  readonly folder: string
  /** The weight file, or the index of several. Opening it opens the model. */
  readonly weights: string
  /** Each file once: the configuration, the weights or their index, the tokenizer. */
  readonly all: readonly string[]
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
 * @param path a folder, a weight file (or an index of several) next to `config.json`, or a GGUF file
 * @throws InputError MODEL_MISSING, MODEL_CONFIG and MODEL_WEIGHTS for missing files, MODEL_FORMAT for a file of another
 *   kind, JSON_* for an invalid configuration; the errors of the readers of weights, tokenizer and chat template.
 */
export async function openModelFolder(path: string): Promise<ModelFolder> {
  const files = await findModelFiles(path)
  if (isGguf(files.weights)) return openGgufModel(files)
  const configJson = await readConfig(joinPath(files.folder, CONFIG))
  const tokenizer = await openTokenizer(files.folder)
  const { chat, stopIds, sampling } = await openChat(files.folder)
  const source = await openWeights(files.weights)
  const said = { stopIds, sampling }
  return { configJson, source, files, ...said, ...(tokenizer && { tokenizer }), ...(chat && { chat }) }
}

/**
 * The chat template, the ids that end a text and how tokens are drawn. Their schemas are loaded where a folder has one of their
 * files.
 */
async function openChat(folder: string): Promise<{
  readonly chat: ChatTemplate | null
  readonly stopIds: readonly number[]
  readonly sampling: OwnSampling
}> {
  if ((await present(folder, chatFiles)).length === 0) return { chat: null, stopIds: [], sampling: {} }
  const { openChatTemplate, openGenerationConfig } = await import('./chat_template.ts')
  return { chat: await openChatTemplate(folder), ...(await openGenerationConfig(folder)) }
}

/** A GGUF file as a model. Its reader is loaded on first use. */
async function openGgufModel(files: ModelFiles): Promise<ModelFolder> {
  const { openGguf } = await import('./gguf_model.ts')
  const { configJson, source, vocabulary, chat, sampling } = await openGguf(files.weights)
  const tokenizer = vocabulary && createTokenizer(vocabulary)
  return { configJson, source, files, sampling, ...(tokenizer && { tokenizer }), ...(chat && { chat }) }
}

/** Whether a path is that of a GGUF file, by its name. */
export function isGguf(path: string): boolean {
  return path.toLowerCase().endsWith('.gguf')
}

const CONFIG = 'config.json'

/** What a path may name. */
const MODEL_OR_FILE =
  "a model's folder, or a file whose name ends with .safetensors, .bin, .index.json or .gguf"

/**
 * Finds the files of a model without opening them.
 * @throws InputError MODEL_MISSING, MODEL_CONFIG, MODEL_WEIGHTS, PATH_UNSAFE
 */
export async function findModelFiles(path: string): Promise<ModelFiles> {
  const kind = await kindOf(path)
  if (kind === 'missing') {
    throw refusal('MODEL_MISSING', path || 'model', MODEL_OR_FILE, `${await nothingAt(path)}${hubHint(path)}`)
  }
  const folder = kind === 'directory' ? path : folderOf(path)
  if (kind !== 'directory' && isGguf(path)) return { folder, weights: path, all: [path] }
  if (kind !== 'directory') expectWeights(path)
  // Weights that were named themselves may lie anywhere.
  const found = kind === 'directory' ? weightNames : []
  await expectInside(folder, [CONFIG, ...tokenizerFiles, ...chatFiles, predictorFile, ...found])
  const [config] = await present(folder, [CONFIG])
  const [weights] = kind === 'directory' ? await present(folder, weightNames) : [path]
  if (weights === undefined || config === undefined) {
    const gguf = kind === 'directory' ? await onlyGguf(folder) : null
    if (gguf !== null) return { folder, weights: gguf, all: [gguf] }
  }
  if (config === undefined) {
    // The form in which Meta gives out its models.
    const [original] = await present(folder, ['params.json'])
    const [expected, got] =
      original === undefined
        ? ['config.json in it', 'no such file']
        : ["a model in Hugging Face's form, with config.json", "Meta's own form, with params.json"]
    throw kind === 'directory'
      ? refusal('MODEL_CONFIG', folder, expected, got)
      : refusal('MODEL_CONFIG', path, 'config.json beside it', got)
  }
  if (weights === undefined) {
    const expected = `${weightNames.slice(0, -1).join(', ')} or ${weightNames.at(-1)}`
    throw refusal('MODEL_WEIGHTS', folder, expected, 'none')
  }
  return { folder, weights, all: [config, weights, ...(await present(folder, tokenizerFiles))] }
}

/** Models that people know by the name without the organisation. */
const wellKnown: readonly (readonly [organisation: string, name: RegExp])[] = [
  ['facebook', /^opt-(?:125m|350m|1\.3b|2\.7b|6\.7b|13b|30b|66b)$/],
  ['HuggingFaceTB', /^SmolLM2-(?:135M|360M|1\.7B)(?:-Instruct)?$/],
]

/**
 * What to say of a name that is none of this machine: the whole name on the hub of a well-known model, else how names on the hub look;
 * nothing of a path.
 */
function hubHint(name: string): string {
  const found = wellKnown.find(([, names]) => names.test(name))
  if (found !== undefined) return `; ${found[0]}/${name} is a name on the hub`
  const isPath = name === '' || /[\\/]/.test(name) || isGguf(name)
  return isPath ? '' : '; on the hub a model is looked for by owner/name'
}

/**
 * The GGUF file of a folder; null if there is none.
 * @throws InputError MODEL_WEIGHTS for several, PATH_UNSAFE for its name
 */
async function onlyGguf(folder: string): Promise<string | null> {
  const names = (await list(folder)).filter(isGguf)
  if (names.length > 1) {
    const some = names.slice(0, 3).map(quote).join(', ')
    throw refusal('MODEL_WEIGHTS', folder, 'one GGUF file, or the path of one', `${names.length}: ${some}`)
  }
  // The name is of the folder, not of the user, and is part of messages.
  if (names.length === 0) return null
  await expectInside(folder, names)
  return joinSafely(folder, names[0], folder)
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
  return toPlain(objectOf(parseJson(await readWhole(path), fileNameOf(path)), 'MODEL_CONFIG', path))
}

/**
 * Opens a weight file, or an index of several, by the extension of its name. Close it.
 * @throws InputError MODEL_FORMAT for another extension; the errors of the reader.
 */
export async function openWeights(path: string): Promise<RawTensorSource> {
  if (path.endsWith('.safetensors')) return openSafetensors(path)
  if (isGguf(path)) return (await import('./gguf_model.ts')).openGguf(path).then(({ source }) => source)
  if (path.endsWith('.bin')) return openTorch(path)
  if (path.endsWith('.safetensors.index.json')) return openShards(path, '.safetensors', openSafetensors)
  if (path.endsWith('.bin.index.json')) return openShards(path, '.bin', openTorch)
  throw notWeights(path)
}

/** Refuses a file that is none of weights by its name. @throws InputError MODEL_FORMAT */
function expectWeights(path: string): void {
  if (!/\.(safetensors|gguf|bin|(safetensors|bin)\.index\.json)$/i.test(path)) throw notWeights(path)
}

function notWeights(path: string): Error {
  return refusal('MODEL_FORMAT', path, MODEL_OR_FILE, `the name ${quote(fileNameOf(path))}`)
}

/** Opens a torch checkpoint. Few models have one, so its reader is loaded on first use. */
async function openTorch(path: string): Promise<RawTensorSource> {
  const { openTorchCheckpoint } = await import('./torch_checkpoint.ts')
  return openTorchCheckpoint(path)
}

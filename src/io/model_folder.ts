/**
 * A model's folder in Hugging Face form: config.json, weights, tokenizer files.
 *
 * Weights are looked for in the order below, and the first that is there is the one that is read: if it is refused, no
 * other one takes its place. A weights file may also be named itself; its config.json lies beside it.
 */
import { fileKind, fileNameOf, folderOf, joinPath } from '../platform/platform.ts'
import type { RawTensorSource } from '../tensor/tensor_source.ts'
import { readWhole } from './files.ts'
import { parseJson, toPlain } from './json.ts'
import { refusal } from './refusal.ts'
import { openSafetensors } from './safetensors.ts'
import { openShards } from './shard_index.ts'
import { openTokenizer, tokenizerFiles, type Tokenizer } from './tokenizer.ts'
import { openTorchCheckpoint } from './torch_checkpoint.ts'

/** The weights a folder may hold, best first. */
export const weightFiles: readonly string[] = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
]

/** An opened model folder. Close its source. */
export interface ModelFolder {
  /** config.json as plain JSON; model/opt/config.ts checks it. */
  readonly config: unknown
  readonly source: RawTensorSource
  /** Null where the folder has no tokenizer files. */
  readonly tokenizer: Tokenizer | null
  /** The files the model is made of: config, weights (or their index), tokenizer. */
  readonly files: readonly string[]
}

/**
 * Opens a model's folder, or a weights file with its config beside it.
 * @throws InputError FILE_MISSING, WEIGHTS_MISSING for a folder without any, WEIGHTS_FORMAT for a file of another
 *   kind; as for every file.
 */
export async function openModelFolder(path: string): Promise<ModelFolder> {
  const kind = await fileKind(path)
  if (kind === 'missing') throw refusal('FILE_MISSING', path, 'a model folder', 'nothing')
  const folder = kind === 'directory' ? path : folderOf(path)
  const weights = kind === 'directory' ? await findWeights(path) : path
  const configPath = joinPath(folder, 'config.json')
  const config = toPlain(parseJson(await readWhole(configPath), configPath))
  const tokenizer = await openTokenizer(folder)
  const files = [configPath, weights]
  for (const name of tokenizerFiles) {
    const file = joinPath(folder, name)
    if ((await fileKind(file)) === 'file') files.push(file)
  }
  return { config, tokenizer, files, source: await openWeights(weights) }
}

/**
 * Opens weights of any form by the end of their name.
 * @throws InputError WEIGHTS_FORMAT for another ending; as for every file.
 */
export async function openWeights(path: string): Promise<RawTensorSource> {
  const name = fileNameOf(path)
  if (name.endsWith('.safetensors')) return openSafetensors(path)
  if (name.endsWith('.bin')) return openTorchCheckpoint(path)
  if (name.endsWith('.safetensors.index.json')) return openShards(path, '.safetensors', openSafetensors)
  if (name.endsWith('.bin.index.json')) return openShards(path, '.bin', openTorchCheckpoint)
  throw refusal('WEIGHTS_FORMAT', path, 'a name ending with .safetensors, .bin or .index.json', name)
}

async function findWeights(folder: string): Promise<string> {
  for (const name of weightFiles) {
    const path = joinPath(folder, name)
    if ((await fileKind(path)) !== 'missing') return path
  }
  throw refusal('WEIGHTS_MISSING', folder, `one of ${weightFiles.join(', ')}`, 'none')
}

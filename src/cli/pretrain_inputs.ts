/**
 * What `shadowllm pretrain` begins from: a configuration, a tokenizer, and text as windows of tokens.
 */
import { loadBrown, splitDocuments, type Document } from '../data/corpus.ts'
import { readDocuments } from '../data/texts.ts'
import { isThere, kindOf, readWhole } from '../io/files.ts'
import { parseJson, toPlain } from '../io/json.ts'
import { openTokenizer, tokenizerFiles, type Tokenizer } from '../io/tokenizer.ts'
import { parseConfig, type ModelConfig } from '../engine/config.ts'
import { folderOf, joinPath, writeFileAtomic } from '../platform/platform.ts'
import { InputError } from '../tensor/errors.ts'
import { pause } from '../platform/pause.ts'
import {
  checkWindows,
  cutStream,
  holdOut,
  joinDocuments,
  makeTextEncoder,
  type PretrainWindows,
} from '../training/pretrain_data.ts'

/** Of text without held-out files, every so many windows one is held out. */
const HOLD_OUT_EVERY = 20

/** A model that has no weights yet. */
export interface ModelPlan {
  readonly config: ModelConfig
  readonly tokenizer: Tokenizer
  /** The files that say so, by the name they have in a model's folder. */
  readonly files: ReadonlyMap<string, Uint8Array>
}

/**
 * Reads configuration and tokenizer.
 * @param configPath a folder with config.json, or the file itself
 * @param tokenizerFolder default: the folder of the configuration
 * @throws InputError what the files are refused with; TOKENIZER_FILES if there is no tokenizer, VOCABULARY if the model
 *   has no row for each of its tokens
 */
export async function readPlan(configPath: string, tokenizerFolder?: string): Promise<ModelPlan> {
  const isFolder = (await kindOf(configPath)) === 'directory'
  const configFile = isFolder ? joinPath(configPath, 'config.json') : configPath
  const text = await readWhole(configFile)
  const config = parseConfig(toPlain(parseJson(text, configFile)))
  const folder = tokenizerFolder ?? folderOf(configFile)
  const tokenizer = await openTokenizer(folder)
  if (tokenizer === null)
    throw new InputError(
      'TOKENIZER_FILES',
      `${folder}: expected vocab.json and merges.txt, or tokenizer.json, got neither; --tokenizer names another folder`,
    )
  if (tokenizer.vocabularySize > config.vocabulary)
    throw new InputError(
      'VOCABULARY',
      `${configFile}: expected a vocab_size of at least ${tokenizer.vocabularySize}, as the tokenizer in ${folder} has, got ${config.vocabulary}`,
    )
  const files = new Map([['config.json', text]])
  for (const name of tokenizerFiles)
    if (await isThere(joinPath(folder, name))) files.set(name, await readWhole(joinPath(folder, name)))
  return { config, tokenizer, files }
}

/** Writes configuration and tokenizer where the weights will be, so that the folder is a model's. */
export async function writePlan(folder: string, { files }: ModelPlan): Promise<void> {
  for (const [name, bytes] of files) await writeFileAtomic(joinPath(folder, name), bytes)
}

/** What to learn from. */
export interface TextChoice {
  /** Files; none for the Brown corpus without its evaluation documents. */
  readonly text?: readonly string[]
  /** Files that are only measured; without, the evaluation documents, or every twentieth window of the files. */
  readonly heldOut?: readonly string[]
  /** Tokens of a window. */
  readonly length: number
}

/**
 * Reads text and cuts it into windows.
 * @throws InputError what files are refused with; MissingError CORPUS_MISSING; UsageError WINDOW_SIZE, WINDOWS for
 *   less than one of them; the signal's reason
 */
export async function readWindows(
  { tokenizer, config }: ModelPlan,
  { text, heldOut, length }: TextChoice,
  onProgress: (done: number, total: number) => void,
  signal: AbortSignal,
): Promise<PretrainWindows> {
  const brown = text === undefined ? splitDocuments(await loadBrown()) : null
  const training = brown ? brown.calibrate : await readDocuments(text as readonly string[])
  const measured = heldOut ? await readDocuments(heldOut) : (brown?.evaluate ?? [])
  const total = training.length + measured.length
  const encode = makeTextEncoder((piece) => tokenizer.encode(piece, { prefix: false }))
  // </s> of OPT; of others what config.json names.
  const end = tokenizer.special.end ?? config.eosIds.at(0) ?? null
  if (end === null)
    throw new InputError(
      'TOKENIZER_VOCAB',
      'tokenizer: expected </s>, or eos_token_id in config.json, which ends a document, got neither',
    )
  let done = 0
  const cut = async (documents: readonly Document[]): Promise<Int32Array[]> => {
    const encoded: Int32Array[] = []
    for (const document of documents) {
      encoded.push(encode(document.text))
      onProgress(++done, total)
      await pause(signal)
    }
    return cutStream(joinDocuments(encoded, end), length, end)
  }
  const windows = await cut(training)
  checkWindows(windows.length)
  if (measured.length === 0) return holdOut(windows, HOLD_OUT_EVERY)
  return { training: windows, heldOut: await cut(measured) }
}

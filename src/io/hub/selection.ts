/**
 * Selects the required files of a model: the configuration, a tokenizer, what chats need, and the first
 * kind of weights, in the order of `load.ts`. The selection is the same for the hub and for the cache.
 */
import { chatFiles, weightNames } from '../load.ts'
import { parseShardIndex } from '../shard_index.ts'

/** The available files of a model. */
export interface FilePlace {
  has(name: string): boolean | Promise<boolean>
  /** The content of an available file. */
  read(name: string): Promise<Uint8Array>
}

/** The files of a model; weights are last, so if they exist, the others do. */
export interface Selection {
  readonly names: readonly string[]
  /** The first missing file; null if there is none. */
  readonly missing: 'config.json' | 'weights' | 'shard' | 'file' | null
}

/**
 * Chooses the files.
 * @param file the one file that is the model, if it is named: a GGUF file
 * @throws InputError SHARD_INDEX, SHARD_FORMAT, SHARD_LIMIT, PATH_UNSAFE, JSON_* for an invalid index
 */
export async function selectFiles(place: FilePlace, file?: string): Promise<Selection> {
  if (file !== undefined) return { names: [file], missing: (await place.has(file)) ? null : 'file' }
  const names = [...(await tokenizerOf(place))]
  if (!(await place.has('config.json'))) return { names, missing: 'config.json' }
  names.unshift('config.json')
  for (const name of chatFiles) if (await place.has(name)) names.push(name)
  for (const weights of weightNames) {
    if (!(await place.has(weights))) continue
    names.push(weights)
    const ending = /(\.[a-z]+)\.index\.json$/.exec(weights)?.[1]
    if (ending === undefined) return { names, missing: null }
    const { shards } = parseShardIndex(await place.read(weights), weights, ending)
    for (const shard of shards) {
      names.push(shard)
      if (!(await place.has(shard))) return { names, missing: 'shard' }
    }
    return { names, missing: null }
  }
  return { names, missing: 'weights' }
}

/** tokenizer.json, or the vocabulary and merges of OPT, or nothing: a model without a tokenizer works on ids. */
async function tokenizerOf(place: FilePlace): Promise<string[]> {
  if (await place.has('tokenizer.json')) return ['tokenizer.json']
  const there: string[] = []
  for (const name of ['vocab.json', 'merges.txt']) if (await place.has(name)) there.push(name)
  return there
}

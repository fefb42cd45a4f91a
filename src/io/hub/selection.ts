/**
 * Which files of a model are needed: the configuration, a tokenizer, and the first kind of weights there is, in the order
 * in which `load.ts` would look for them. One choice for the hub and for the cache.
 */
import { weightNames } from '../load.ts'
import { parseShardIndex } from '../shard_index.ts'

/** What a model's files are chosen from. */
export interface FilePlace {
  has(name: string): boolean | Promise<boolean>
  /** The content of a file that is there. */
  read(name: string): Promise<Uint8Array>
}

/** The files of a model, weights last: where they are, all the others are. */
export interface Selection {
  readonly names: readonly string[]
  /** The first thing that is needed and not there; null if nothing is. */
  readonly missing: 'config.json' | 'weights' | 'shard' | null
}

/**
 * Chooses the files.
 * @throws InputError SHARD_INDEX, SHARD_FORMAT, SHARD_LIMIT, PATH_UNSAFE, JSON_* for a broken index
 */
export async function selectFiles(place: FilePlace): Promise<Selection> {
  const names = [...(await tokenizerOf(place))]
  if (!(await place.has('config.json'))) return { names, missing: 'config.json' }
  names.unshift('config.json')
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

/** The pair that OPT has, else the one file, else nothing: a model without a tokenizer works on ids. */
async function tokenizerOf(place: FilePlace): Promise<string[]> {
  const pair = ['vocab.json', 'merges.txt']
  const there: string[] = []
  for (const name of pair) if (await place.has(name)) there.push(name)
  if (there.length === pair.length) return pair
  return (await place.has('tokenizer.json')) ? ['tokenizer.json'] : there
}

/**
 * Sharded checkpoints: an index (`*.index.json`) maps each tensor to its file.
 *
 * Invariants, checked on opening: every file of the index exists and has the format of the index, contains exactly the tensors
 * that the index assigns to it, and no tensor is in two files. File names are checked by `safePath`.
 */
import type { RawTensorSource, TensorInfo } from '../tensor/tensor_source.ts'
import { fileNameOf, folderOf } from '../platform/platform.ts'
import { isThere, readWhole } from './files.ts'
import { objectOf, parseJson, refuseJson, type JsonMap } from './json.ts'
import { quote, refusal } from './refusal.ts'
import { expectInside } from './inside.ts'
import { joinSafely, safePath } from './safe_path.ts'
import { checkTensorName } from './tensor_name.ts'

const MAX_PARTS = 10_000

/** The content of an index. */
interface ShardIndex {
  /** The file of each tensor, in the order of the index. */
  readonly files: ReadonlyMap<string, string>
  /** Every file once, in the order of its first tensor. */
  readonly shards: readonly string[]
}

/** The name of an index of safetensors. */
export const shardIndexName = 'model.safetensors.index.json'

/** The text of an index as Hugging Face writes it, sorted by name. @param totalBytes of all tensors */
export function encodeShardIndex(files: ReadonlyMap<string, string>, totalBytes: number): string {
  // Joined as text: an object would lose "__proto__".
  const lines = [...files]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([tensor, file]) => `    ${JSON.stringify(tensor)}: ${JSON.stringify(file)}`)
  return `{\n  "metadata": {\n    "total_size": ${totalBytes}\n  },\n  "weight_map": {\n${lines.join(',\n')}\n  }\n}\n`
}

/**
 * Reads an index.
 * @param ending the required extension of every shard, such as ".safetensors".
 * @throws InputError JSON_*, SHARD_INDEX if it is not an index, SHARD_FORMAT for a shard of another format,
 *   PATH_UNSAFE, TENSOR_NAME, SHARD_LIMIT for more than 10,000 files.
 */
export function parseShardIndex(bytes: Uint8Array, name: string, ending: string): ShardIndex {
  const json = objectOf(parseJson(bytes, name, { maxDepth: 8 }), 'SHARD_INDEX', name)
  const weightMap = objectOf(json.get('weight_map'), 'SHARD_INDEX', `${name} weight_map`)
  const files = readWeightMap(weightMap, name, ending)
  const shards = [...new Set(files.values())]
  if (shards.length === 0) throw refusal('SHARD_INDEX', `${name} weight_map`, 'tensors', 'none')
  if (shards.length > MAX_PARTS) {
    throw refusal('SHARD_LIMIT', name, `at most ${MAX_PARTS} files`, `${shards.length}`)
  }
  return { files, shards }
}

function readWeightMap(weightMap: JsonMap, name: string, ending: string): Map<string, string> {
  const files = new Map<string, string>()
  const judged = new Set<string>()
  for (const [tensor, file] of weightMap) {
    checkTensorName(tensor, name)
    if (typeof file !== 'string') {
      const subject = `${name} ${quote(tensor)}`
      throw refuseJson('SHARD_INDEX', subject, 'the name of a file', file, { tensor })
    }
    if (!judged.has(file)) {
      safePath(file, name)
      if (!file.endsWith(ending))
        throw refusal('SHARD_FORMAT', name, `files that end with ${ending}`, quote(file), { tensor })
      judged.add(file)
    }
    files.set(tensor, file)
  }
  return files
}

/**
 * Opens every file of an index as one source. Close it.
 * @throws InputError as `parseShardIndex`; SHARD_MISSING, SHARD_DUPLICATE for a tensor in two files, SHARD_LACKS for
 *   a tensor missing in its file, SHARD_UNLISTED for one that the index does not list; the errors of the reader of a file.
 */
export async function openShards(
  indexPath: string,
  ending: string,
  open: (path: string) => Promise<RawTensorSource>,
): Promise<RawTensorSource> {
  const name = fileNameOf(indexPath)
  const index = parseShardIndex(await readWhole(indexPath), name, ending)
  const opened = new Map<string, RawTensorSource>()
  try {
    for (const file of index.shards) {
      const path = joinSafely(folderOf(indexPath), file, name)
      await expectInside(folderOf(indexPath), [file])
      if (!(await isThere(path))) {
        throw refusal('SHARD_MISSING', name, `file ${quote(file)} next to it`, 'no such file')
      }
      opened.set(file, await open(path))
    }
    checkAgreement(index, opened, name)
  } catch (error) {
    for (const source of opened.values()) await source.close()
    throw error
  }
  return joined(index, opened)
}

function checkAgreement(index: ShardIndex, opened: ReadonlyMap<string, RawTensorSource>, name: string): void {
  for (const [file, source] of opened)
    for (const tensor of source.tensors.keys()) {
      const home = index.files.get(tensor)
      if (home === undefined) {
        const expected = `${quote(tensor)} in the index`
        throw refusal('SHARD_UNLISTED', `${name} and ${file}`, expected, 'nothing', { tensor })
      }
      if (home !== file) {
        const got = `a second one in ${file}`
        throw refusal('SHARD_DUPLICATE', name, `${quote(tensor)} in ${home}`, got, { tensor })
      }
    }
  for (const [tensor, file] of index.files)
    if (!opened.get(file)?.tensors.has(tensor))
      throw refusal('SHARD_LACKS', name, `${quote(tensor)} in ${file}`, 'no such tensor', { tensor })
}

/** The files as one source. An unknown name goes to the first of them, which throws the error. */
function joined({ files }: ShardIndex, opened: ReadonlyMap<string, RawTensorSource>): RawTensorSource {
  // By the names of files, so that the order of the index decides nothing.
  const sources = [...opened].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, source]) => source)
  const sourceOf = (name: string): RawTensorSource => opened.get(files.get(name) ?? '') ?? sources[0]
  return {
    tensors: new Map([...files.keys()].map((name) => [name, sourceOf(name).tensors.get(name) as TensorInfo])),
    metadata: sources[0].metadata,
    read: async (name) => sourceOf(name).read(name),
    readRows: async (name, first, count) => sourceOf(name).readRows(name, first, count),
    readRaw: async (name) => sourceOf(name).readRaw(name),
    stream: (name, partLength) => sourceOf(name).stream(name, partLength),
    async close() {
      for (const source of sources) await source.close()
    },
  }
}

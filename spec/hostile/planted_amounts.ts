/**
 * Bugs planted in the readers of this project: work or memory that the size of a file does not explain, and calls that a file may
 * nest as deeply as it likes. `amounts.ts` must find each of them.
 */
import type { Plant } from './cell.ts'

/** A bug. */
export interface PlantedAmount {
  readonly name: string
  readonly plants: readonly Plant[]
  readonly reader: string
  /** The place at which it is looked for, so that a test takes seconds, and the size that is tried there. */
  readonly place: string
  readonly size: number
}

const one = (file: string, from: string, to: string): readonly Plant[] => [
  { file: `src/io/${file}`, from, to },
]

/** See the head of this file. */
export const plantedAmounts: readonly PlantedAmount[] = [
  {
    name: 'keys of JSON compared with all earlier ones',
    plants: one('json.ts', 'if (map.has(key)) {', 'if ([...map.keys()].includes(key)) {'),
    reader: 'shard-index',
    place: 'json.weight_map: other entries',
    size: 2 ** 20,
  },
  {
    name: 'JSON nested without a limit',
    plants: one('json.ts', 'options.maxDepth ?? 64', 'options.maxDepth ?? Infinity'),
    reader: 'certificate',
    place: 'json.ops: nested lists',
    size: 2 ** 20,
  },
  {
    name: 'a text of JSON copied at each escape',
    plants: one(
      'json.ts',
      '        value += this.readEscape()',
      '        value = `${value}${this.readEscape()}`.split(" ").join(" ")',
    ),
    reader: 'shard-index',
    place: 'json.weight_map.a: of "\\n"',
    size: 2 ** 22,
  },
  {
    name: 'files of an index passed as arguments',
    plants: one(
      'shard_index.ts',
      'const shards = [...new Set(files.values())]',
      'const shards: string[] = []\n  shards.push(...files.values())\n  shards.splice(1)',
    ),
    reader: 'shard-index',
    place: 'json.weight_map: equal entries',
    // More arguments than a call can have.
    size: 2 ** 22,
  },
  {
    name: 'spans of safetensors compared with all others',
    plants: one(
      'safetensors.ts',
      '    if (begin !== covered) {',
      '    if (entries.some((other) => other.begin < begin && other.end > end)) covered = -1\n    if (begin !== covered) {',
    ),
    reader: 'safetensors',
    place: 'safetensors.tensors: equal entries',
    size: 2 ** 20,
  },
  {
    name: 'a hint by edit distance for a name of any length',
    plants: [
      {
        file: 'src/io/safetensors.ts',
        from: 'import { describeJson, objectOf,',
        to: "import { nearestName } from '../tensor/arguments.ts'\nimport { describeJson, objectOf,",
      },
      {
        file: 'src/io/safetensors.ts',
        from: "if (!isSourceDtype(dtype)) throw refuse('SAFETENSORS_DTYPE', 'an element type',",
        to: "if (!isSourceDtype(dtype)) throw refuse('SAFETENSORS_DTYPE', `${nearestName(String(dtype), Array.from({ length: 160 }, (_, i) => `element type ${i}`), 9)}`,",
      },
    ],
    reader: 'safetensors',
    place: 'safetensors.tensors.w.dtype: longer',
    size: 2 ** 20,
  },
  {
    name: 'entries of a zip compared with all earlier ones',
    plants: one(
      'zip_directory.ts',
      'if (places.has(place.entry.name))',
      'if ([...places.values()].some(({ entry }) => entry.name === place.entry.name))',
    ),
    reader: 'zip',
    place: 'zip: other elements',
    size: 2 ** 21,
  },
  {
    name: 'tokens of GGUF looked up in a list',
    plants: one(
      'gguf_tokenizer.ts',
      'const other = ids.get(token)',
      'const first = tokens.indexOf(token)\n    const other = first < id ? first : undefined',
    ),
    reader: 'gguf',
    place: 'gguf.entries.tokenizer.ggml.tokens: other elements',
    size: 2 ** 20,
  },
  {
    name: 'ends of merges trimmed by a pattern that goes back',
    plants: one('vocabulary.ts', String.raw`line.replace(/\r$/, '')`, String.raw`line.replace(/\s+$/, '')`),
    reader: 'merges',
    place: 'lines of words.1.0: of " "',
    size: 2 ** 20,
  },
  {
    name: 'rows copied for each row',
    plants: one(
      'row_file.ts',
      "rows.push({ place, values: objectOf(row, 'ROW_SYNTAX', place, { byteOffset: start }) })",
      "Object.assign(rows, [...rows, { place, values: objectOf(row, 'ROW_SYNTAX', place, { byteOffset: start }) }])",
    ),
    reader: 'rows',
    place: 'lines of json: equal elements',
    size: 2 ** 20,
  },
  {
    name: 'values of a pickle walked by a function that calls itself',
    plants: one(
      'pickle.ts',
      '    const value = this.pop()\n    if (this.stack.length > 0)',
      '    const value = this.pop()\n    const walk = (node: any): void => Array.isArray(node?.items) && node.items.forEach(walk)\n    walk(value)\n    if (this.stack.length > 0)',
    ),
    reader: 'pickle',
    place: 'pickle: nested lists',
    size: 2 ** 20,
  },
  {
    name: 'ids around a text without a limit',
    plants: one('tokenizer_json.ts', 'let left = MAX_AROUND', 'let left = Infinity'),
    reader: 'tokenizer-json',
    place: 'json.post_processor.single and .post_processor.special_tokens.<s>.ids',
    size: 2 ** 22,
  },
]

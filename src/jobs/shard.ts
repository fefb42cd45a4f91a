/**
 * A shard: a piece of work that any machine may do, because it is a pure function of data. It says what to do (`kind`),
 * how (`settings`) and what with (`files`, by hash), and has no code and no paths in it.
 *
 * What comes of a shard is bytes, kept in a store under the shard's key: the SHA-256 of its canonical JSON. So the same
 * shard is never done for two results, whoever asks, and a result that is there is never asked for again.
 *
 * A shard may come from a queue that others can write to: `parseShard` believes nothing.
 */
import * as v from 'valibot'
import { canonicalJson, type PlainJson } from '../io/canonical_json.ts'
import { refusal } from '../io/refusal.ts'
import { parseBySchema, valueThat } from '../io/schema.ts'
import { sha256 } from '../platform/platform.ts'
import { isObject } from '../tensor/arguments.ts'

/** A piece of work. */
export interface Shard {
  /** What is done, such as `calibrate`. */
  readonly kind: string
  /** How: JSON values. */
  readonly settings: Readonly<Record<string, PlainJson>>
  /** What with: names in the store, which are SHA-256 in hexadecimal, of inputs or of other shards' results. */
  readonly files: Readonly<Record<string, string>>
}

/** How far a shard is, in whatever it counts. */
export interface ShardProgress {
  readonly done: number
  readonly total: number
}

/** What a shard is done with. */
export interface ShardContext {
  /** The file of this name in `files`, whole and as it was written. @throws InputError SHARD_FILE, SHARD_DAMAGED */
  read(name: string): Promise<Uint8Array>
  onProgress?(progress: ShardProgress): void
  /** Stops it between two steps; what it was doing is lost. */
  readonly signal?: AbortSignal
}

/**
 * Does a shard: the result is a function of the shard and its files alone.
 * @throws InputError SHARD_FORMAT for a kind or settings it does not know, SHARD_MODEL for another model than its own;
 *   whatever the work throws
 */
export type DoShard = (shard: Shard, context: ShardContext) => Promise<Uint8Array>

/** The name of a shard's result: 64 hexadecimal digits. @throws TypeError as `canonicalJson` */
export function shardKey(shard: Shard): Promise<string> {
  return sha256(new TextEncoder().encode(shardText(shard)))
}

/** A shard as text: the same for equal shards. @throws TypeError as `canonicalJson` */
export function shardText({ kind, settings, files }: Shard): string {
  return canonicalJson({ kind, settings, files })
}

/** The most characters of a shard's text: what is larger belongs into a file. */
const MAX_TEXT_LENGTH = 2 ** 18
/** The most files of a shard. */
const MAX_FILES = 2 ** 12

const isRecord = (value: unknown): value is object => isObject(value) && !Array.isArray(value)

const schema = v.object({
  kind: v.pipe(v.string(), v.regex(/^[a-z][a-z-]{0,31}$/, 'a word')),
  settings: valueThat<Shard['settings']>(isRecord, 'an object'),
  // Not v.record, which drops the names constructor and prototype.
  files: valueThat<Shard['files']>(
    (value) =>
      isRecord(value) && Object.keys(value).length <= MAX_FILES && Object.values(value).every(isHash),
    `an object of at most ${MAX_FILES} names of 64 hexadecimal digits`,
  ),
})

/**
 * A shard from the text that `shardText` makes.
 * @param subject what it is called in errors
 * @throws InputError SHARD_FORMAT, JSON_* for anything else
 */
export function parseShard(text: unknown, subject: string): Shard {
  if (typeof text !== 'string' || text.length > MAX_TEXT_LENGTH)
    throw refusal('SHARD_FORMAT', subject, `text of at most ${MAX_TEXT_LENGTH} characters`, sizeOf(text))
  const shard = parseBySchema(schema, text, { code: 'SHARD_FORMAT', subject })
  // Equal shards must have equal keys: there is one text for each.
  if (shardText(shard) === text) return shard
  throw refusal('SHARD_FORMAT', subject, 'canonical JSON of kind, settings and files', 'text of another form')
}

/** A name in the store. @throws InputError SHARD_FORMAT for anything but 64 hexadecimal digits */
export function checkHash(value: unknown, subject: string): string {
  if (isHash(value)) return value
  const got = typeof value === 'string' ? `text of ${value.length} characters` : typeof value
  throw refusal('SHARD_FORMAT', subject, '64 hexadecimal digits', got)
}

function isHash(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
}

function sizeOf(text: unknown): string {
  return typeof text === 'string' ? `${text.length}` : typeof text
}

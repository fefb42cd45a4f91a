/**
 * A job: a job that any machine may do, because its result is a pure function of data. It names the work (`kind`), its
 * parameters (`settings`) and its inputs (`files`, by hash). It contains no code and no paths.
 *
 * The result of a job is bytes, stored under the job's key: the SHA-256 of its canonical JSON. So a job has one
 * result, whoever computes it, and a stored result is never computed again.
 *
 * A job from a queue is untrusted input: other programs can write to the queue. `parseJob` checks it.
 */
import * as v from 'valibot'
import { canonicalJson, type PlainJson } from '../io/canonical_json.ts'
import { refusal } from '../io/refusal.ts'
import { checkSchema, parseBySchema, sha256Text, valueThat } from '../io/schema.ts'
import { sha256 } from '../platform/platform.ts'
import { isObject } from '../tensor/arguments.ts'

/** A piece of work. */
export interface Job {
  /** The work, such as `calibrate`. */
  readonly kind: string
  /** Parameters: JSON values. */
  readonly settings: Readonly<Record<string, PlainJson>>
  /** Inputs: SHA-256 names in the store, of files or of results of other jobs. */
  readonly files: Readonly<Record<string, string>>
}

/** The progress of a job, in units of its own choice. */
export interface JobProgress {
  readonly done: number
  readonly total: number
}

/** The arguments of the code that does a job. */
export interface JobContext {
  /** Reads the file of this name in `files` and checks its hash. @throws InputError SHARD_FILE, SHARD_DAMAGED */
  read(name: string): Promise<Uint8Array>
  onProgress?(progress: JobProgress): void
  /** Cancels the job between two steps; partial work is lost. */
  readonly signal?: AbortSignal
}

/**
 * Does a job: the result is a function of the job and its files alone.
 * @throws InputError SHARD_FORMAT for a kind or settings it does not know, SHARD_MODEL for another model than its own;
 *   anything the work throws
 */
export type DoJob = (job: Job, context: JobContext) => Promise<Uint8Array>

/** The name of a job's result: 64 hexadecimal digits. @throws TypeError as `canonicalJson` */
export function jobKey(job: Job): Promise<string> {
  return sha256(jobText(job))
}

/** A job as text: the same for equal jobs. @throws TypeError as `canonicalJson` */
export function jobText({ kind, settings, files }: Job): string {
  return canonicalJson({ kind, settings, files })
}

/** The maximal length of a job's text; larger data goes into files. */
const MAX_TEXT_LENGTH = 2 ** 18
/** The maximal number of files of a job. */
const MAX_FILES = 2 ** 12

const isRecord = (value: unknown): value is object => isObject(value) && !Array.isArray(value)

const textSchema = v.pipe(
  v.string(),
  v.maxLength(MAX_TEXT_LENGTH, `text of at most ${MAX_TEXT_LENGTH} characters`),
)

const jobSchema = v.object({
  kind: v.pipe(v.string(), v.regex(/^[a-z][a-z-]{0,31}$/, 'a word')),
  settings: valueThat<Job['settings']>(isRecord, 'an object'),
  // Not v.record, which drops the names constructor and prototype.
  files: valueThat<Job['files']>(
    (value) =>
      isRecord(value) &&
      Object.keys(value).length <= MAX_FILES &&
      Object.values(value).every((name) => v.is(sha256Text, name)),
    `an object of at most ${MAX_FILES} names of 64 hexadecimal digits`,
  ),
})

/**
 * Parses the text of `jobText`.
 * @param subject its name in errors
 * @throws InputError SHARD_FORMAT, JSON_* for anything else
 */
export function parseJob(text: unknown, subject: string): Job {
  const about = { code: 'SHARD_FORMAT', subject }
  const checked = checkSchema(textSchema, text, about)
  const job = parseBySchema(jobSchema, checked, about)
  // Equal jobs must have equal keys, so each job has exactly one text.
  if (jobText(job) === checked) return job
  throw refusal('SHARD_FORMAT', subject, 'canonical JSON of kind, settings and files', 'text of another form')
}

/** A name in the store. @throws InputError SHARD_FORMAT for anything but 64 hexadecimal digits */
export function checkHash(name: unknown): string {
  return checkSchema(sha256Text, name, { code: 'SHARD_FORMAT', subject: 'name' })
}

/**
 * A job in a BullMQ queue, and a parent job that joins the results of several.
 *
 * The data in the queue is the text of the job, the id there is the job's key. So a job cannot be in a queue twice, and the
 * id can be checked against the data.
 */
import type { JobsOptions } from 'bullmq'
import { concatenate } from '../tensor/concatenate.ts'
import { InputError } from '../tensor/errors.ts'
import { refusal } from '../io/refusal.ts'
import { parseJob, jobKey, jobText, type Job, type JobContext } from './job.ts'
import type { Agreement } from './job_model.ts'

/** The data of a job in a queue. */
export interface JobData {
  /** The text of the job. Workers of every version read it under this name. */
  readonly shard: string
}

/** The kind of a job that joins the results of others. */
export const joinKind = 'join'

/** The name of the queue of machines that agree, so that no worker gets a job of another model or method. */
export function queueName({ model, method, bits }: Omit<Agreement, 'storage'>): string {
  return `${model.slice(0, 16)}-${method.slice(0, 16)}-${bits}`
}

/** The id of a job in a queue. BullMQ does not accept a number. */
export function jobIdOf(key: string): string {
  return `shard-${key}`
}

/** Retries with exponential backoff; a job that failed on its last attempt stays in the failed set. */
export function jobOptions(key: string, attempts: number): JobsOptions {
  return {
    jobId: jobIdOf(key),
    attempts,
    backoff: { type: 'exponential', delay: 1000 },
    removeOnComplete: true,
    removeOnFail: false,
  }
}

/** The data of a job in a queue. */
export function jobData(job: Job): JobData {
  return { shard: jobText(job) }
}

/**
 * Parses a job from a queue, which is untrusted input.
 * @throws InputError SHARD_FORMAT, JSON_* for data that is no job, or whose key differs from the id
 */
export async function parseQueuedJob(
  id: string | undefined,
  data: unknown,
): Promise<{ job: Job; key: string }> {
  const text = typeof data === 'object' && data !== null ? (data as Partial<JobData>).shard : undefined
  const job = parseJob(text, 'job')
  const key = await jobKey(job)
  if (id === jobIdOf(key)) return { job, key }
  throw refusal('SHARD_FORMAT', 'job id', jobIdOf(key), 'another id')
}

/** Whether a retry is useless: the job is invalid or does not fit this worker. */
export function isHopeless(error: unknown): boolean {
  return error instanceof InputError && !['SHARD_FILE', 'SHARD_DAMAGED'].includes(error.code)
}

/** A job that joins the results of these keys, in this order. */
export function joinJob(keys: readonly string[]): Job {
  return { kind: joinKind, settings: {}, files: Object.fromEntries(keys.map((key, i) => [String(i), key])) }
}

/** Does such a job: the number of results and their lengths (u32, little-endian), then the results. */
export async function doJoin({ files }: Job, { read }: JobContext): Promise<Uint8Array> {
  const names = Object.keys(files).toSorted((a, b) => Number(a) - Number(b))
  const parts: Uint8Array[] = []
  for (const name of names) parts.push(await read(name))
  const head = new DataView(new ArrayBuffer(4 * (parts.length + 1)))
  for (const [i, number] of [parts.length, ...parts.map(({ length }) => length)].entries())
    head.setUint32(4 * i, number, true)
  return concatenate(Uint8Array, [new Uint8Array(head.buffer), ...parts])
}

/** Splits joined results. @throws InputError SHARD_FORMAT for bytes of another form */
export function splitJoined(joined: Uint8Array, count: number): Uint8Array[] {
  const head = 4 * (count + 1)
  const view = new DataView(joined.buffer, joined.byteOffset, joined.byteLength)
  const refuse = (): InputError =>
    refusal('SHARD_FORMAT', 'joined results', `${count} results`, 'bytes of another form')
  if (joined.length < head || view.getUint32(0, true) !== count) throw refuse()
  let at = head
  const parts = Array.from({ length: count }, (_, i) => {
    const length = view.getUint32(4 * (i + 1), true)
    return joined.slice(at, (at += length))
  })
  if (at !== joined.length) throw refuse()
  return parts
}

/**
 * A shard as a job of a queue, and several joined by another job: the parent, in BullMQ's words, of those it waits for.
 *
 * A job's data is one text, the shard's; its id is the shard's key. So a job cannot be in a queue twice, and what an id
 * promises can be checked against the data.
 */
import type { JobsOptions } from 'bullmq'
import { InputError } from '../tensor/errors.ts'
import { refusal } from '../io/refusal.ts'
import { parseShard, shardKey, shardText, type Shard, type ShardContext } from './shard.ts'

/** What a job carries. */
export interface JobData {
  readonly shard: string
}

/** The kind of a shard that joins the results of others. */
export const joinKind = 'join'

/** What machines agree on that may share work: the same model, the same method, results of the same bits. */
export interface QueueIdentity {
  /** SHA-256 of the model's files, of the sources that decide what a number is, and the kind of backend. */
  readonly model: string
  readonly method: string
  readonly bits: string
}

/** The queue of those who agree: nobody is ever given a shard of others. */
export function queueName({ model, method, bits }: QueueIdentity): string {
  return `${model.slice(0, 16)}-${method.slice(0, 16)}-${bits}`
}

/** The id of a shard's job. Never a number, which BullMQ would not take. */
export function jobIdOf(key: string): string {
  return `shard-${key}`
}

/** How a job is tried: with a longer and longer wait in between, and kept where all can see it if it failed to the last. */
export function jobOptions(key: string, attempts: number): JobsOptions {
  return {
    jobId: jobIdOf(key),
    attempts,
    backoff: { type: 'exponential', delay: 1000 },
    removeOnComplete: true,
    removeOnFail: false,
  }
}

/** The data of a shard's job. */
export function jobData(shard: Shard): JobData {
  return { shard: shardText(shard) }
}

/**
 * The shard of a job that anybody may have put there, and its key.
 * @throws InputError SHARD_FORMAT, JSON_* for data that is none, or not the one that the id promises
 */
export async function shardOfJob(
  id: string | undefined,
  data: unknown,
): Promise<{ shard: Shard; key: string }> {
  const subject = 'job'
  const text = typeof data === 'object' && data !== null ? (data as Partial<JobData>).shard : undefined
  const shard = parseShard(text, subject)
  const key = await shardKey(shard)
  if (id === jobIdOf(key)) return { shard, key }
  throw refusal('SHARD_FORMAT', `${subject} id`, jobIdOf(key), 'another id')
}

/** Whether trying again would end the same: the shard itself is at fault, or this is no place for it. */
export function isHopeless(error: unknown): boolean {
  return error instanceof InputError && !['SHARD_FILE', 'SHARD_DAMAGED'].includes(error.code)
}

/** The shard that joins the results under these keys, in this order. */
export function joinShard(keys: readonly string[]): Shard {
  return { kind: joinKind, settings: {}, files: Object.fromEntries(keys.map((key, i) => [String(i), key])) }
}

/** Does such a shard: lengths (u32, little end first, their number before them), then the results one after the other. */
export async function doJoin({ files }: Shard, { read }: ShardContext): Promise<Uint8Array> {
  const names = Object.keys(files).toSorted((a, b) => Number(a) - Number(b))
  const parts: Uint8Array[] = []
  for (const name of names) parts.push(await read(name))
  const head = 4 * (parts.length + 1)
  const joined = new Uint8Array(parts.reduce((total, { length }) => total + length, head))
  const view = new DataView(joined.buffer)
  view.setUint32(0, parts.length, true)
  let at = head
  for (const [i, part] of parts.entries()) {
    view.setUint32(4 * (i + 1), part.length, true)
    joined.set(part, at)
    at += part.length
  }
  return joined
}

/** What was joined. @throws InputError SHARD_FORMAT for bytes that were not made so */
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

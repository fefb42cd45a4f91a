/**
 * The flags of commands that put work into a queue or take work from one.
 */
import type { Command } from 'commander'
import { bitsOf, type BackendName } from '../backends/backend.ts'
import { methodHash } from '../results/method_hash.ts'
import { hashFiles } from '../results/provenance.ts'
import { openQueue, parseQueueUrl, type QueueAddress, type QueueTools } from '../jobs/connection.ts'
import { openJobStore } from '../jobs/open_store.ts'
import { QueueRunner } from '../jobs/queue_runner.ts'
import { queueName } from '../jobs/queued_job.ts'
import { isLoopback } from '../platform/loopback.ts'
import type { ShadowModel } from '../library/shadow_model.ts'
import { UsageError } from '../tensor/errors.ts'
import type { ModelFlags } from './flags.ts'
import type { Session } from './session.ts'
import { addOwnFlags, parsedBy, required, type FlagsOf } from './values.ts'

const address = 'a Redis or Valkey server, such as redis://host:6379 (rediss: with TLS)'
const place =
  'where workers find their input and leave results: a folder all of them see, or s3://bucket/prefix'

/** The flags of a command that may hand its work over. */
const queueFlags = [
  parsedBy('--queue <url>', `distribute the work over the workers of ${address}`, parseQueueUrl),
  ['--shards <place>', place],
] as const
/** What such a command is given. */
export type QueueFlags = FlagsOf<typeof queueFlags>

/** Adds these flags. */
export function addQueueFlags(command: Command): Command {
  return addOwnFlags(command, queueFlags, 'Several machines:')
}

/** Where a command that serves queues finds them. */
export const servedQueue = required('--queue <url>', `where the queues are: ${address}`, parseQueueUrl)

/** Where it finds and leaves files. */
export const servedShards = required('--shards <place>', place)

/** Refuses one of both flags without the other, and threads where workers do it. @throws UsageError FLAGS */
export function checkQueueFlags({ queue, shards, threads }: QueueFlags & Pick<ModelFlags, 'threads'>): void {
  if ((queue === undefined) !== (shards === undefined))
    throw new UsageError(
      'FLAGS',
      '--queue and --shards: expected both or none, got one; a job names files in the store of --shards',
    )
  if (queue && threads !== undefined)
    throw new UsageError(
      'FLAGS',
      `--queue: expected no --threads, got ${threads}: workers have --concurrency`,
    )
}

/**
 * The queue of those who have the same model, the same version, and a backend of the same bits.
 * @param model SHA-256 of its files
 */
export async function queueOf(model: string, backend: BackendName): Promise<string> {
  return queueName({ model, method: (await methodHash()).all, bits: bitsOf(backend) })
}

/** Connects to a queue, and warns where its password goes to another machine in clear. @throws as `openQueue` */
export async function connectQueue(session: Session, address: QueueAddress): Promise<QueueTools> {
  const { host, tls, password } = address
  if (password !== undefined && !tls && !isLoopback(host))
    await session.note(`${host}: the password of the queue is sent unencrypted; rediss:// encrypts it`)
  return openQueue(address)
}

/**
 * Works with a runner over the queue that was asked for, or with none; and closes it.
 * @throws as `openQueue`, `openJobStore` and the work
 */
export async function withRunner<T>(
  session: Session,
  opt: ShadowModel,
  flags: QueueFlags,
  work: (runner: QueueRunner | null) => Promise<T>,
): Promise<T> {
  if (flags.queue === undefined || flags.shards === undefined) return work(null)
  const queue = await queueOf(await hashFiles(opt.files), opt.model.backend.name)
  const tools = await connectQueue(session, flags.queue)
  const runner = new QueueRunner({ tools, queue, store: await openJobStore(flags.shards) })
  try {
    if ((await runner.workers()) === 0)
      session.progress.update({ stage: 'waiting for workers', done: 0, total: 1 })
    return await work(runner)
  } finally {
    await runner.close()
  }
}

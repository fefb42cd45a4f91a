/**
 * The connection to a queue: BullMQ on a Redis or Valkey server. Both packages are optional: a user of the queue installs
 * them (`npm install bullmq ioredis`).
 *
 * The address never contains a password, because other users of a machine can read command lines. The password comes from
 * the environment variable SHADOWLLM_QUEUE_PASSWORD, and the user name, if any, from SHADOWLLM_QUEUE_USER.
 */
import type * as BullMQ from 'bullmq'
import type { Redis } from 'ioredis'
import { environment } from '../platform/platform.ts'
import { MissingError, UsageError } from '../tensor/errors.ts'
import { JobError } from './job_error.ts'

/** The prefix of all our keys on a server. */
export const queuePrefix = 'shadowllm'

/** Where a server is. */
export interface QueueAddress {
  readonly host: string
  readonly port: number
  /** Whether the connection is encrypted, with the server's certificate checked. */
  readonly tls: boolean
  readonly database: number
  readonly user: string | undefined
  readonly password: string | undefined
}

/** BullMQ and what it connects through. */
export interface QueueTools {
  readonly bullmq: typeof BullMQ
  /** A connection that reconnects by itself; the caller ends it. */
  connect(): Redis
}

/**
 * Reads an address such as redis://host:6379/0, or rediss:// for TLS.
 * @throws UsageError QUEUE_URL for anything else, and for an address that contains a password
 */
export function parseQueueUrl(text: string): QueueAddress {
  const url = URL.canParse(text) ? new URL(text) : null
  const database = /^\/?(\d{0,4})$/.exec(url?.pathname ?? 'none')
  if (url?.username || url?.password)
    throw new UsageError(
      'QUEUE_URL',
      'queue: expected an address without a password, got one with a password; set SHADOWLLM_QUEUE_PASSWORD instead',
    )
  if (!url || !['redis:', 'rediss:'].includes(url.protocol) || url.hostname === '' || !database || url.search)
    throw new UsageError('QUEUE_URL', `queue: expected an address such as redis://host:6379, got ${text}`)
  return {
    // An IPv6 address stands in brackets.
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? 6379 : Number(url.port),
    tls: url.protocol === 'rediss:',
    database: Number(database[1] || 0),
    user: environment('SHADOWLLM_QUEUE_USER'),
    password: environment('SHADOWLLM_QUEUE_PASSWORD'),
  }
}

/** Timeout of the first response of a server, in milliseconds. */
const firstAnswer = 5000

/**
 * Loads the packages of a queue and checks that the server responds.
 * @throws MissingError QUEUE_PACKAGE (exit code 4) if the packages are not installed; JobError QUEUE_CONNECTION (exit
 *   code 5) if no server responds or it refuses us
 */
export async function openQueue(address: QueueAddress): Promise<QueueTools> {
  const { bullmq, Redis: Client } = await loadPackages()
  const options = {
    host: address.host,
    port: address.port,
    db: address.database,
    username: address.user,
    password: address.password,
    // The certificate must belong to the host and be signed by an authority of the system or of NODE_EXTRA_CA_CERTS.
    tls: address.tls ? { servername: address.host } : undefined,
    // Commands wait until the server is reachable again.
    maxRetriesPerRequest: null,
    connectTimeout: firstAnswer,
  }
  const make = (more: object): Redis => {
    const redis = new Client({ ...options, ...more })
    // ioredis retries by itself, but an error without a listener would end the process.
    redis.on('error', () => {})
    return redis
  }
  await expectAnswer(make({ lazyConnect: true, retryStrategy: () => null }), address)
  return { bullmq, connect: () => make({ retryStrategy: (times: number) => Math.min(100 * times, 2000) }) }
}

async function loadPackages(): Promise<{ bullmq: typeof BullMQ; Redis: typeof Redis }> {
  try {
    const [bullmq, ioredis] = await Promise.all([import('bullmq'), import('ioredis')])
    return { bullmq, Redis: ioredis.Redis }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code !== 'ERR_MODULE_NOT_FOUND') throw cause
    const expected = 'the packages bullmq and ioredis ("npm install bullmq ioredis")'
    throw new MissingError('QUEUE_PACKAGE', `queue: expected ${expected}, got none`, { cause })
  }
}

async function expectAnswer(redis: Redis, { host, port, tls }: QueueAddress): Promise<void> {
  let reason: Error | null = null
  redis.on('error', (error: Error) => (reason = error))
  try {
    await redis.connect()
    await redis.ping()
  } catch (error) {
    const cause = reason ?? (error as Error)
    const address = `redis${tls ? 's' : ''}://${host}:${port}`
    const got = (cause as NodeJS.ErrnoException).code ?? cause.message
    throw new JobError(
      'QUEUE_CONNECTION',
      `${address}: expected a Redis or Valkey server that accepts the connection, got ${got}`,
      { cause },
    )
  } finally {
    redis.disconnect()
  }
}

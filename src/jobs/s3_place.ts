/**
 * A bucket that stores the files of jobs: Amazon S3 or a compatible service. Requests are signed by the optional package
 * `aws4fetch`.
 *
 * An object is put on the condition that none exists, so that two workers do not overwrite each other's result. A service
 * without conditional writes gets an ordinary put of the same bytes. Address and keys come from the environment, by the names
 * that every tool of S3 reads: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN.
 * Profiles and roles of machines are not read; `aws configure export-credentials --format env` prints their keys.
 */
import type { AwsClient } from 'aws4fetch'
import { environment, sha256 } from '../platform/platform.ts'
import { UsageError } from '../tensor/errors.ts'
import { passOn, withPackages } from '../tensor/packages.ts'
import { JobError } from './job_error.ts'
import type { StorePlace } from './job_store.ts'

/** A place in S3. */
interface S3Address {
  readonly bucket: string
  /** The prefix of names, with a slash at its end; may be empty. */
  readonly prefix: string
}

/** Parses s3://bucket/prefix; null for other addresses. @throws UsageError SHARD_PLACE for a malformed one */
export function parseS3Url(text: string): S3Address | null {
  if (!/^s3:/i.test(text)) return null
  const [, bucket, path] =
    /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:\/[A-Za-z0-9._-]+)*)\/?$/.exec(text) ?? []
  if (bucket === undefined || path.split('/').some((part) => part === '.' || part === '..'))
    throw new UsageError('SHARD_PLACE', `shards: expected an address such as s3://bucket/prefix, got ${text}`)
  return { bucket, prefix: path === '' ? '' : `${path.slice(1)}/` }
}

/** How often a request is sent at most, if the service is busy or the connection breaks. */
const ATTEMPTS = 5
/** The longest wait before the second attempt, in milliseconds; it doubles with each. */
const WAIT = 100
/** The bytes of a refusal that are read: its first fields say why. */
const REFUSAL_BYTES = 4096

/** The answer of a service. */
interface Answer {
  readonly status: number
  /** The object; nothing of a refusal. */
  readonly bytes: Uint8Array
  /** Why, in the service's words; empty if it did what was asked. */
  readonly code: string
  readonly message: string
}

/** A request for an object: its key and the bytes to put. */
interface Ask {
  readonly key: string
  readonly body?: Uint8Array<ArrayBuffer>
  readonly onlyNew?: boolean
}

/**
 * Opens a bucket.
 * @throws MissingError PACKAGE_MISSING (exit code 4); JobError SHARD_STORE (exit code 5) if the bucket cannot be reached,
 *   as do all of the place's functions
 */
export async function s3Place({ bucket, prefix }: S3Address): Promise<StorePlace> {
  const { AwsClient } = await withPackages('shards', 'aws4fetch', () => import('aws4fetch').catch(passOn))
  const name = `s3://${bucket}/${prefix}`
  const refusal = ({ code, message }: Pick<Answer, 'code' | 'message'>, cause?: unknown): JobError =>
    new JobError('SHARD_STORE', `${name}: expected a bucket to use, got ${code}: ${message}`, { cause })
  const region = environment('AWS_REGION') || 'us-east-1'
  const client = new AwsClient({ service: 's3', region, retries: 0, ...keysFor(name) })
  const root = rootOf(bucket, region)
  const ask = async (method: string, { key, body, onlyNew }: Ask): Promise<Answer> => {
    const headers = {
      'x-amz-content-sha256': await sha256(body ?? new Uint8Array()),
      ...(body && { 'content-type': 'application/octet-stream' }),
      ...(onlyNew && { 'if-none-match': '*' }),
    }
    try {
      return await send(client, root + key, { method, headers, body, redirect: 'manual' })
    } catch (error) {
      // fetch says "fetch failed", and in the cause why.
      const { name: code, message } = ((error as Error).cause ?? error) as Error
      throw refusal({ code, message: plain(message) }, error)
    }
  }
  /** Sends a request that must succeed, unless the answer is one of those that `allows` takes. */
  const demand = async (
    method: string,
    what: Ask,
    allows: (answer: Answer) => boolean = () => false,
  ): Promise<Answer> => {
    const answer = await ask(method, what)
    if (answer.code !== '' && !allows(answer)) throw refusal(answer)
    return answer
  }
  const isMissing = ({ status, code }: Answer): boolean => status === 404 && code !== 'NoSuchBucket'
  /** There already, or being written by another client. */
  const isThere = ({ status, code }: Answer): boolean =>
    status === 412 || (status === 409 && code === 'ConditionalRequestConflict')
  const isUnknown = ({ status }: Answer): boolean => status === 501
  await demand('HEAD', { key: '' })
  return {
    name,
    has: async (key) => (await demand('HEAD', { key: prefix + key }, isMissing)).code === '',
    read: async (key) => {
      const { code, bytes } = await demand('GET', { key: prefix + key }, isMissing)
      return code === '' ? bytes : null
    },
    write: async (key, bytes) => {
      const object = { key: prefix + key, body: new Uint8Array(bytes) }
      const allows = (answer: Answer): boolean => isThere(answer) || isUnknown(answer)
      const answer = await demand('PUT', { ...object, onlyNew: true }, allows)
      if (isUnknown(answer)) await demand('PUT', object)
    },
    remove: async (key) => void (await demand('DELETE', { key: prefix + key }, isMissing)),
    close: async () => {},
  }
}

/** The keys of the environment. @throws JobError SHARD_STORE without them */
function keysFor(name: string): { accessKeyId: string; secretAccessKey: string; sessionToken?: string } {
  const [accessKeyId, secretAccessKey, sessionToken] = [
    'ACCESS_KEY_ID',
    'SECRET_ACCESS_KEY',
    'SESSION_TOKEN',
  ].map((key) => environment(`AWS_${key}`))
  if (accessKeyId && secretAccessKey)
    return { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) }
  throw new JobError(
    'SHARD_STORE',
    `${name}: expected AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, got not both`,
  )
}

/** The address of a bucket, with a slash at its end. Services of one's own have one host for all buckets. */
function rootOf(bucket: string, region: string): string {
  const own = environment('AWS_ENDPOINT_URL_S3') || environment('AWS_ENDPOINT_URL')
  if (own) return `${own.replace(/\/+$/, '')}/${bucket}/`
  const host = `s3.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`
  // A certificate covers one more label, and no dots.
  return bucket.includes('.') ? `https://${host}/${bucket}/` : `https://${bucket}.${host}/`
}

/** Sends a request again while the service is busy or the connection breaks. @throws what fetch throws at last */
async function send(client: AwsClient, url: string, init: RequestInit): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    const isLast = attempt === ATTEMPTS
    try {
      // Signed each time: a signature holds for minutes.
      const answer = await answerOf(await fetch(await client.sign(url, init)))
      const isBusy = answer.status === 429 || (answer.status >= 500 && answer.status !== 501)
      if (isLast || !isBusy) return answer
    } catch (error) {
      if (isLast) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, Math.random() * WAIT * 2 ** (attempt - 1)))
  }
}

async function answerOf(response: Response): Promise<Answer> {
  const { status, headers } = response
  if (response.ok)
    return { status, bytes: new Uint8Array(await response.arrayBuffer()), code: '', message: '' }
  const text = await startOf(response)
  const [, code = `status ${status}`] = /<Code>(\w{1,64})<\/Code>/.exec(text) ?? []
  const [, message = response.statusText] = /<Message>([^<]+)/.exec(text) ?? []
  // The answer to HEAD has no text.
  const [region] = /^[a-z0-9-]{1,32}$/.exec(headers.get('x-amz-bucket-region') ?? '') ?? []
  const advice = status === 301 && region ? `; the bucket is in AWS_REGION=${region}` : ''
  return { status, bytes: new Uint8Array(), code, message: plain(message) + advice }
}

/** The first bytes of a response, as text; the rest is not read. */
async function startOf({ body }: Response): Promise<string> {
  const reader = body?.getReader()
  const decoder = new TextDecoder()
  let text = ''
  try {
    while (text.length < REFUSAL_BYTES) {
      const { done = true, value } = (await reader?.read()) ?? {}
      if (done) break
      text += decoder.decode(value, { stream: true })
    }
  } finally {
    await reader?.cancel()
  }
  return text.slice(0, REFUSAL_BYTES)
}

/** Words of a service as a part of one line. */
function plain(words: string): string {
  return words.replace(/\p{Cc}+/gu, ' ').slice(0, 300)
}

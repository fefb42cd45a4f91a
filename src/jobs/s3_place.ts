/**
 * A bucket that stores the files of jobs: Amazon S3 or a compatible service, through the optional package
 * `@aws-sdk/client-s3`.
 *
 * An object is put on the condition that none exists, so that two workers do not overwrite each other's result. A service
 * without conditional writes gets an ordinary put of the same bytes. Address and credentials come from the environment, as
 * for every tool of S3: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and so on.
 */
import type * as S3 from '@aws-sdk/client-s3'
import { environment } from '../platform/platform.ts'
import { MissingError, UsageError } from '../tensor/errors.ts'
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

/** Error names for an object that does not exist. */
const missing = new Set(['NoSuchKey', 'NotFound'])
/** Error names for an object that exists already, or is being written by another client. */
const isThere = new Set(['PreconditionFailed', 'ConditionalRequestConflict'])

/**
 * Opens a bucket.
 * @throws MissingError SHARD_PACKAGE (exit code 4); JobError SHARD_STORE (exit code 5) if the bucket cannot be reached,
 *   as do all of the place's functions
 */
export async function s3Place({ bucket, prefix }: S3Address): Promise<StorePlace> {
  const sdk = await loadSdk()
  const client: S3.S3Client = new sdk.S3Client({
    region: environment('AWS_REGION') ?? 'us-east-1',
    // Self-hosted services have one address for all buckets.
    forcePathStyle: environment('AWS_ENDPOINT_URL') !== undefined,
    maxAttempts: 5,
  })
  const name = `s3://${bucket}/${prefix}`
  const attempt = async <T>(action: () => Promise<T>): Promise<T> => {
    try {
      return await action()
    } catch (cause) {
      const { name: code, message } = cause as Error
      throw new JobError('SHARD_STORE', `${name}: expected a bucket to use, got ${code}: ${message}`, {
        cause,
      })
    }
  }
  const object = (key: string): { Bucket: string; Key: string } => ({ Bucket: bucket, Key: prefix + key })
  const unlessMissing = async <T>(action: () => Promise<T>, otherwise: T): Promise<T> => {
    try {
      return await action()
    } catch (error) {
      if (missing.has((error as Error).name)) return otherwise
      throw error
    }
  }
  await attempt(() => client.send(new sdk.HeadBucketCommand({ Bucket: bucket })))
  return {
    name,
    has: (key) =>
      attempt(() =>
        unlessMissing(async () => {
          await client.send(new sdk.HeadObjectCommand(object(key)))
          return true
        }, false),
      ),
    read: (key) =>
      attempt(() =>
        unlessMissing(async () => {
          const { Body } = await client.send(new sdk.GetObjectCommand(object(key)))
          return (await Body?.transformToByteArray()) ?? null
        }, null),
      ),
    write: (key, bytes) =>
      attempt(async () => {
        const put = { ...object(key), Body: bytes, ContentType: 'application/octet-stream' }
        try {
          await client.send(new sdk.PutObjectCommand({ ...put, IfNoneMatch: '*' }))
        } catch (error) {
          const { name: code } = error as Error
          if (isThere.has(code)) return
          if (code !== 'NotImplemented') throw error
          await client.send(new sdk.PutObjectCommand(put))
        }
      }),
    remove: (key) => attempt(async () => void (await client.send(new sdk.DeleteObjectCommand(object(key))))),
    close: async () => client.destroy(),
  }
}

async function loadSdk(): Promise<typeof S3> {
  try {
    return await import('@aws-sdk/client-s3')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause
    const expected = 'the package @aws-sdk/client-s3 ("npm install @aws-sdk/client-s3")'
    throw new MissingError('SHARD_PACKAGE', `shards: expected ${expected}, got none`, { cause })
  }
}

/**
 * Queries the hub for a model: the commit of a revision, and the files of a commit with their sizes and hashes.
 *
 * It uses the API client of `@huggingface/hub` with the requests of `requests.ts`. The package is large and few runs need it, so
 * it is loaded on first use. It returns unchecked JSON of the server: every value is checked here before it is used.
 */
import { hubRefusal, quote } from '../refusal.ts'
import { ShadowError } from '../../tensor/errors.ts'
import type { RemoteFile } from './cache.ts'
import { isCommit } from './names.ts'
import type { HubClient } from './requests.ts'

/** The maximal number of files. */
const MAX_FILES = 100_000

/**
 * The commit that a revision is at.
 * @throws HubError HUB_ANSWER for an invalid commit, and as `HubClient.open`
 */
export async function resolveCommit(
  client: HubClient,
  id: string,
  revision: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const subject = `${id} at ${revision}`
  const { modelInfo } = await import('@huggingface/hub')
  const info = await judged(subject, signal, () =>
    modelInfo({ name: id, revision, additionalFields: ['sha'], ...access(client, subject, signal) }),
  )
  const { sha } = info as { sha: unknown }
  if (typeof sha !== 'string' || !isCommit(sha))
    throw hubRefusal('HUB_ANSWER', subject, 'a commit', typeof sha === 'string' ? quote(sha) : typeof sha)
  if (isCommit(revision) && sha !== revision) throw hubRefusal('HUB_ANSWER', subject, 'that commit', sha)
  return sha
}

/**
 * The files of a commit by name. Names are unchecked; `ModelCache.place` checks those that are used.
 * @throws HubError HUB_ANSWER for an invalid list, and as `HubClient.open`
 */
export async function listFiles(
  client: HubClient,
  id: string,
  commit: string,
  signal: AbortSignal | undefined,
): Promise<Map<string, RemoteFile>> {
  const subject = `${id} at ${commit}`
  const { listFiles: list } = await import('@huggingface/hub')
  return judged(subject, signal, async () => {
    const files = new Map<string, RemoteFile>()
    const entries = list({ repo: id, revision: commit, recursive: true, ...access(client, subject, signal) })
    for await (const entry of entries) {
      if (entry.type === 'file') files.set(entry.path, readEntry(entry, subject))
      if (files.size > MAX_FILES)
        throw hubRefusal('HUB_ANSWER', subject, `at most ${MAX_FILES} files`, 'more')
    }
    return files
  })
}

function access(
  client: HubClient,
  subject: string,
  signal: AbortSignal | undefined,
): { hubUrl: string; fetch: typeof fetch } {
  return { hubUrl: client.base, fetch: client.factFetch(subject, signal) }
}

/** An unchecked entry of the list. */
interface Entry {
  readonly path: unknown
  readonly size: unknown
  readonly oid?: unknown
  readonly lfs?: { readonly oid: unknown; readonly size: unknown }
}

function readEntry({ path, size, oid, lfs }: Entry, subject: string): RemoteFile {
  const [hash, length, hashKind] = lfs
    ? ([lfs.oid, lfs.size, 'sha256'] as const)
    : ([oid, size, 'git-sha1'] as const)
  const digits = hashKind === 'sha256' ? 64 : 40
  const right =
    typeof path === 'string' &&
    typeof hash === 'string' &&
    new RegExp(`^[0-9a-f]{${digits}}$`).test(hash) &&
    Number.isSafeInteger(length) &&
    (length as number) >= 0
  if (right) return { name: path, hash, hashKind, size: length as number }
  const got = quote(JSON.stringify({ path, size: length, oid: hash }) ?? 'nothing')
  throw hubRefusal('HUB_ANSWER', subject, 'files with sizes and hashes', got)
}

/** Errors of the library for an unexpected response become errors of the response. */
async function judged<T>(
  subject: string,
  signal: AbortSignal | undefined,
  action: () => Promise<T>,
): Promise<T> {
  try {
    return await action()
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof ShadowError) throw error
    throw hubRefusal('HUB_ANSWER', subject, 'a response of the hub API', quote((error as Error).message), {
      cause: error,
    })
  }
}

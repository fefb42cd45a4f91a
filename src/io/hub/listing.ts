/**
 * Queries the hub for a model: the commit of a revision, and the files of a commit with their sizes and hashes.
 *
 * It uses the API client of `@huggingface/hub` with the requests of `requests.ts`. The package is large and few runs need it, so
 * it is loaded on first use. It returns unchecked JSON of the server: every value is checked here before it is used.
 */
import { hubRefusal, quote } from '../refusal.ts'
import { passOn, withPackages } from '../../tensor/packages.ts'
import { ShadowError } from '../../tensor/errors.ts'
import type { RemoteFile } from './cache.ts'
import { isCommit } from './names.ts'
import type { HubClient } from './requests.ts'

/** The maximal number of files. */
const MAX_FILES = 100_000

/** A revision of a model. */
interface Revision {
  readonly commit: string
  /** The files of the commit by name. Names are unchecked; `ModelCache.place` checks those that are used. */
  readonly files: ReadonlyMap<string, RemoteFile>
}

/**
 * The commit that a revision is at, and its files.
 * @throws HubError HUB_ANSWER for an invalid commit or list, and as `HubClient.open`; the signal's reason
 */
export async function lookUpRevision(
  client: HubClient,
  id: string,
  revision: string,
  signal: AbortSignal | undefined,
): Promise<Revision> {
  const subject = `${id} at ${revision}`
  const { listFiles, modelInfo } = await withPackages(subject, '@huggingface/hub', () =>
    import('@huggingface/hub').catch(passOn),
  )
  const access = { hubUrl: client.base, fetch: client.factFetch(subject, signal) }
  try {
    const info = await modelInfo({ name: id, revision, additionalFields: ['sha'], ...access })
    const commit = checkCommit(info.sha, revision, subject)
    const files = new Map<string, RemoteFile>()
    for await (const entry of listFiles({ repo: id, revision: commit, recursive: true, ...access })) {
      if (entry.type === 'file') files.set(entry.path, readEntry(entry, subject))
      if (files.size > MAX_FILES)
        throw hubRefusal('HUB_ANSWER', subject, `at most ${MAX_FILES} files`, 'more')
    }
    return { commit, files }
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof ShadowError) throw error
    // The library does not expect this response.
    const got = quote((error as Error).message)
    throw hubRefusal('HUB_ANSWER', subject, 'a response of the hub API', got, { cause: error })
  }
}

function checkCommit(sha: unknown, revision: string, subject: string): string {
  if (typeof sha !== 'string' || !isCommit(sha))
    throw hubRefusal('HUB_ANSWER', subject, 'a commit', typeof sha === 'string' ? quote(sha) : typeof sha)
  if (isCommit(revision) && sha !== revision) throw hubRefusal('HUB_ANSWER', subject, 'that commit', sha)
  return sha
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

/**
 * Models from the Hugging Face hub: downloaded into the cache that is shared with Python, and pinned to a commit.
 *
 * `@huggingface/hub` resolves a revision and lists its files (`hub/listing.ts`). Its downloader is not used: it does not resume
 * downloads, stores content before its hash is checked, and follows redirects without our checks. Transfer, cache and offline
 * mode are therefore our own, in the layout of Python's huggingface_hub.
 *
 * Invariants: all files are of one commit, and their hashes are those of the listing. A revision is recorded when all its files
 * are there, so offline it means the last complete commit. Online the hub is always queried, offline never; there is no
 * fallback from one to the other.
 */
import { readWhole } from './files.ts'
import { downloadBlob, removePartials } from './hub/download.ts'
import { ModelCache, type RemoteFile } from './hub/cache.ts'
import { lookUpRevision } from './hub/listing.ts'
import { checkModelId, checkRevision, DEFAULT_REVISION } from './hub/names.ts'
import { HubClient } from './hub/requests.ts'
import { selectFiles, type FilePlace, type Selection } from './hub/selection.ts'
import { readHubSettings, type HubSettings } from './hub/settings.ts'
import { hubRefusal, quote, refusal } from './refusal.ts'

/** The origin of a model. */
export interface HubOrigin {
  /** Its name on the hub. */
  readonly repository: string
  /** The requested revision: a branch, a tag or a commit. */
  readonly revision: string
  /** The commit of the revision. */
  readonly commit: string
}

/** The progress of a download. */
export interface DownloadProgress {
  /** Bytes that were downloaded, and bytes to download. Cached files do not count. */
  readonly loadedBytes: number
  readonly totalBytes: number
  /** The current file. */
  readonly name: string
}

/** Options of `openHubModel`. */
export interface HubOptions {
  /** Of a model on the hub: a branch, a tag or a commit; default `main`. */
  readonly revision?: string
  /** Whether to use the cache only; default: HF_HUB_OFFLINE. */
  readonly offline?: boolean
  /** Cancels the download; partial files are kept, and the next download resumes them. */
  readonly signal?: AbortSignal
  /** Called for each received chunk. */
  readonly onProgress?: (progress: DownloadProgress) => void
  /** The GGUF file of the repository that is the model; default: a model in Hugging Face form. */
  readonly file?: string
}

/** A cached model. */
interface HubModel {
  /** The folder of its files. */
  readonly folder: string
  readonly origin: HubOrigin
}

/**
 * Downloads a model into the cache, unless it is there.
 * @param id such as `facebook/opt-1.3b`
 * @param settings default: those of the environment
 * @throws UsageError HUB_ID, HUB_REVISION, HUB_ENDPOINT, HUB_TOKEN; InputError MODEL_CONFIG, MODEL_WEIGHTS, SHARD_MISSING
 *   for a repository without a model, SHARD_*, PATH_UNSAFE, JSON_* for an invalid index; HubError HUB_OFFLINE for files
 *   missing in the cache, HUB_CACHE, and as `downloadBlob`; the signal's reason
 */
export async function openHubModel(
  id: string,
  options: HubOptions = {},
  settings?: HubSettings,
): Promise<HubModel> {
  const repository = checkModelId(id)
  const revision = checkRevision(options.revision ?? DEFAULT_REVISION)
  options.signal?.throwIfAborted()
  const used = settings ?? (await readHubSettings())
  const cache = new ModelCache(used.cache, repository)
  const offline = options.offline ?? used.offline
  const commit = await (offline
    ? findCached(cache, repository, revision, options.file)
    : download(new HubClient(used), cache, repository, revision, options))
  // Checked by the same search that readers do: no other file, and no link out of the cache, takes precedence.
  await selectFiles(cachedPlace(cache, commit), options.file)
  return { folder: cache.snapshot(commit), origin: { repository, revision, commit } }
}

/** The commit of a revision whose files are all in the cache. */
async function findCached(
  cache: ModelCache,
  id: string,
  revision: string,
  file: string | undefined,
): Promise<string> {
  const subject = `${id} at ${revision}`
  const lacks = (what: string): Error =>
    hubRefusal('HUB_OFFLINE', subject, 'a copy in the cache, because downloads are off', what)
  const commit = await cache.readReference(revision)
  if (commit === null) throw lacks('nothing')
  const place = cachedPlace(cache, commit)
  const { missing } = await selectFiles(place, file)
  if (missing !== null) throw lacks(`${commit} without its ${file ?? missing}`)
  return commit
}

function cachedPlace(cache: ModelCache, commit: string): FilePlace {
  return {
    has: (name) => cache.has(commit, name),
    read: (name) => readWhole(cache.place(commit, name)),
  }
}

/** Resolves a revision and downloads its files; returns the commit. */
async function download(
  client: HubClient,
  cache: ModelCache,
  id: string,
  revision: string,
  options: HubOptions,
): Promise<string> {
  const { signal } = options
  const { commit, files } = await lookUpRevision(client, id, revision, signal)
  await cache.prepare(commit)
  /** The received bytes of each file to download. */
  const received = new Map<RemoteFile, number>()
  const report = (file: RemoteFile, done: number): void => {
    received.set(file, done)
    let [loadedBytes, totalBytes] = [0, 0]
    for (const [{ size }, bytes] of received) {
      loadedBytes += bytes
      totalBytes += size
    }
    options.onProgress?.({ loadedBytes, totalBytes, name: file.name })
  }
  const fetchFile = async (file: RemoteFile): Promise<void> => {
    signal?.throwIfAborted()
    if (!(await cache.hasExactly(commit, file))) {
      if (!(await cache.hasBlob(file))) {
        const address = client.fileAddress(id, commit, file.name)
        const subject = `${id} ${file.name}`
        const onBytes = (done: number): void => report(file, done)
        await downloadBlob({ client, cache, address, file, subject, signal, onBytes })
      }
      await cache.link(commit, file)
    }
    await removePartials(cache, file)
  }
  const known = (name: string): RemoteFile => files.get(name) as RemoteFile
  const remote: FilePlace = {
    has: (name) => files.has(name),
    read: async (name) => {
      await fetchFile(known(name))
      return readWhole(cache.place(commit, name))
    },
  }
  const selection = await selectFiles(remote, options.file)
  if (selection.missing !== null) throw incomplete(`${id} at ${revision}`, selection)
  const needed = selection.names.map(known)
  for (const file of needed)
    if (!received.has(file) && !(await cache.hasExactly(commit, file))) received.set(file, 0)
  for (const file of needed) await fetchFile(file)
  await cache.writeReference(revision, commit)
  return commit
}

function incomplete(subject: string, { missing, names }: Selection): Error {
  if (missing === 'config.json') return refusal('MODEL_CONFIG', subject, 'config.json in it', 'no such file')
  if (missing === 'weights') return refusal('MODEL_WEIGHTS', subject, 'safetensors or .bin weights', 'none')
  if (missing === 'file')
    return refusal('MODEL_WEIGHTS', subject, `file ${quote(names[0])} in it`, 'no such file')
  return refusal('SHARD_MISSING', subject, `file ${names.at(-1)} next to its index`, 'no such file')
}

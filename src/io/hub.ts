/**
 * Models from the Hugging Face hub: found, downloaded into the cache that Python shares, pinned to a commit.
 *
 * `@huggingface/hub` asks the hub what a revision is and which files it has (`hub/listing.ts`). Its downloader is not
 * used: it begins every file anew, names content before anything could check it, and follows redirects by itself. The
 * transfer, the cache and what works without a network are therefore ours, in the layout of Python's huggingface_hub.
 *
 * Invariants: every file is of one commit, and its hash is that of the hub's list; a revision is remembered when all its
 * files are there, so that without a network it means the last commit that was complete. With a network the hub is
 * always asked, without it never: neither takes the place of the other by itself.
 */
import { readWhole } from './files.ts'
import { downloadBlob } from './hub/download.ts'
import { ModelCache, type RemoteFile } from './hub/cache.ts'
import { listFiles, resolveCommit } from './hub/listing.ts'
import { checkModelId, checkRevision, DEFAULT_REVISION } from './hub/names.ts'
import { HubClient } from './hub/requests.ts'
import { selectFiles, type FilePlace, type Selection } from './hub/selection.ts'
import { readHubSettings, type HubSettings } from './hub/settings.ts'
import { hubRefusal, refusal } from './refusal.ts'

/** Where a model came from. */
export interface HubOrigin {
  /** Its name on the hub. */
  readonly repository: string
  /** What was asked for: a branch, a tag or a commit. */
  readonly revision: string
  /** What that was. */
  readonly commit: string
}

/** How far a download is. */
export interface DownloadProgress {
  /** Bytes that are here, and of all that is needed. What was there before does not count. */
  readonly loadedBytes: number
  readonly totalBytes: number
  /** The file the last of them belong to. */
  readonly name: string
}

/** Which revision, and how. */
export interface HubOptions {
  /** Of a model on the hub: a branch, a tag or a commit; default `main`. */
  readonly revision?: string
  /** Take a model of the hub from the cache and ask nobody; default: what HF_HUB_OFFLINE says. */
  readonly offline?: boolean
  /** Ends the download; what came stays, and the next one goes on from there. */
  readonly signal?: AbortSignal
  /** Called for each piece that arrives. */
  readonly onProgress?: (progress: DownloadProgress) => void
}

/** A model that is in the cache. */
export interface HubModel {
  /** The folder of its files. */
  readonly folder: string
  readonly origin: HubOrigin
}

/**
 * Makes sure that a model is in the cache, and says where.
 * @param id such as `facebook/opt-1.3b`
 * @param settings default: those of the environment
 * @throws UsageError HUB_ID, HUB_REVISION, HUB_ENDPOINT, HUB_TOKEN; InputError MODEL_CONFIG, MODEL_WEIGHTS, SHARD_MISSING
 *   for a repository that is no model, SHARD_*, PATH_UNSAFE, JSON_* for a broken index; HubError HUB_OFFLINE for what is
 *   not in the cache, HUB_CACHE, and as `downloadBlob`; the signal's reason
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
    ? findCached(cache, repository, revision)
    : download(new HubClient(used), cache, repository, revision, options))
  // As it will be looked for: no other file, and none that leads out of the cache, is in the place of what was chosen.
  await selectFiles(cachedPlace(cache, commit))
  return { folder: cache.snapshot(commit), origin: { repository, revision, commit } }
}

/** The commit of a revision that is complete in the cache. */
async function findCached(cache: ModelCache, id: string, revision: string): Promise<string> {
  const subject = `${id} at ${revision}`
  const lacks = (what: string): Error =>
    hubRefusal('HUB_OFFLINE', subject, 'a copy in the cache, because downloads are off', what)
  const commit = await cache.readReference(revision)
  if (commit === null) throw lacks('nothing')
  const place = cachedPlace(cache, commit)
  const { missing } = await selectFiles(place)
  if (missing !== null) throw lacks(`${commit} without its ${missing}`)
  return commit
}

function cachedPlace(cache: ModelCache, commit: string): FilePlace {
  return {
    has: (name) => cache.has(commit, name),
    read: (name) => readWhole(cache.place(commit, name)),
  }
}

/** The commit of a revision, with all its files in the cache. */
async function download(
  client: HubClient,
  cache: ModelCache,
  id: string,
  revision: string,
  options: HubOptions,
): Promise<string> {
  const { signal } = options
  const commit = await resolveCommit(client, id, revision, signal)
  const files = await listFiles(client, id, commit, signal)
  await cache.prepare(commit)
  const tally = new Tally(options.onProgress)
  const fetchFile = async (file: RemoteFile): Promise<void> => {
    signal?.throwIfAborted()
    if (await cache.hasExactly(commit, file)) return
    if (!(await cache.hasBlob(file))) {
      const address = client.address(...id.split('/'), 'resolve', commit, ...file.name.split('/'))
      const subject = `${id} ${file.name}`
      const onBytes = (done: number): void => tally.update(file, done)
      await downloadBlob({ client, cache, address, file, subject, signal, onBytes })
    }
    await cache.link(commit, file)
  }
  const known = (name: string): RemoteFile => files.get(name) as RemoteFile
  const selection = await selectFiles({
    has: (name) => files.has(name),
    read: async (name) => {
      await fetchFile(known(name))
      return readWhole(cache.place(commit, name))
    },
  })
  if (selection.missing !== null) throw incomplete(`${id} at ${revision}`, selection)
  const needed = selection.names.map(known)
  for (const file of needed) if (!(await cache.hasExactly(commit, file))) tally.expect(file)
  for (const file of needed) await fetchFile(file)
  await cache.writeReference(revision, commit)
  return commit
}

function incomplete(subject: string, { missing, names }: Selection): Error {
  if (missing === 'config.json') return refusal('MODEL_CONFIG', subject, 'config.json in it', 'no such file')
  if (missing === 'weights') return refusal('MODEL_WEIGHTS', subject, 'safetensors or .bin weights', 'none')
  return refusal('SHARD_MISSING', subject, `file ${names.at(-1)} next to its index`, 'no such file')
}

/** Bytes of all files that are downloaded. */
class Tally {
  readonly #report: HubOptions['onProgress']
  readonly #done = new Map<RemoteFile, number>()

  constructor(report: HubOptions['onProgress']) {
    this.#report = report
  }

  expect(file: RemoteFile): void {
    if (!this.#done.has(file)) this.#done.set(file, 0)
  }

  update(file: RemoteFile, done: number): void {
    this.#done.set(file, done)
    let loadedBytes = 0
    let totalBytes = 0
    for (const [{ size }, bytes] of this.#done) {
      loadedBytes += bytes
      totalBytes += size
    }
    this.#report?.({ loadedBytes, totalBytes, name: file.name })
  }
}

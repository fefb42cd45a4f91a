/**
 * Loads a model of the hub into memory, for browsers. Its size is known before anything large is downloaded, and the hash of
 * every file is checked against the listing.
 *
 * Downloads are not resumed and not stored, apart from the cache of the browser.
 */
import { hexDigest } from '../../platform/platform.ts'
import { hubRefusal, quote, refusal } from '../refusal.ts'
import type { HubOptions, HubOrigin } from '../hub.ts'
import type { RemoteFile } from './cache.ts'
import { lookUpRevision } from './listing.ts'
import { checkModelId, checkRevision, DEFAULT_REVISION } from './names.ts'
import { HubClient } from './requests.ts'
import { selectFiles } from './selection.ts'
import type { HubSettings } from './settings.ts'

/** The maximal size of a file: a little below 2 GiB, the limit of arrays and hashes. */
const MAX_BYTES = 2 ** 31 - 2 ** 16

/** A model on the hub. */
interface HubListing {
  readonly origin: HubOrigin
  /** The required files: configuration, tokenizer, weights. */
  readonly files: readonly RemoteFile[]
  /** Bytes of all files. */
  readonly bytes: number
  /** Downloads `config.json`, of a model in Hugging Face form. */
  readConfig(): Promise<Uint8Array>
}

/**
 * Looks up a model. It downloads only small files, which the selection of the others needs.
 * @throws UsageError HUB_ID, HUB_REVISION; InputError MODEL_CONFIG, MODEL_WEIGHTS, SHARD_*; HubError; the signal's reason
 */
export async function lookUpModel(
  id: string,
  settings: HubSettings,
  { revision: asked, signal, file }: HubOptions = {},
): Promise<HubListing> {
  const repository = checkModelId(id)
  const revision = checkRevision(asked ?? DEFAULT_REVISION)
  const client = new HubClient(settings)
  const { commit, files: all } = await lookUpRevision(client, repository, revision, signal)
  const origin = { repository, revision, commit }
  const fetched = async (name: string): Promise<Uint8Array> =>
    new Uint8Array(await (await fetchFile(client, origin, all.get(name) as RemoteFile, signal)).arrayBuffer())
  const { names, missing } = await selectFiles({ has: (name) => all.has(name), read: fetched }, file)
  const subject = `${repository} at ${revision}`
  if (missing === 'config.json') throw refusal('MODEL_CONFIG', subject, 'config.json in it', 'no such file')
  if (missing === 'file')
    throw refusal('MODEL_WEIGHTS', subject, `file ${quote(names[0])} in it`, 'no such file')
  if (missing !== null) throw refusal('MODEL_WEIGHTS', subject, 'all files of its weights', 'fewer')
  // Small, and needed by the planners with a predictor.
  const more = all.has('predictor.safetensors') ? ['predictor.safetensors'] : []
  const files = [...names, ...more].map((name) => all.get(name) as RemoteFile)
  const bytes = files.reduce((sum, { size }) => sum + size, 0)
  return { origin, files, bytes, readConfig: () => fetched('config.json') }
}

/**
 * Downloads the files of a model, by name.
 * @throws HubError HUB_SIZE for a file that is too large for memory, HUB_HASH, and as `HubClient.open`; the signal's reason
 */
export async function downloadModel(
  { origin, files, bytes: totalBytes }: HubListing,
  settings: HubSettings,
  { signal, onProgress }: HubOptions = {},
): Promise<Map<string, Blob>> {
  for (const { name, size } of files)
    if (size > MAX_BYTES) {
      const expected = `at most ${MAX_BYTES} bytes without a disk`
      throw hubRefusal('HUB_SIZE', `${origin.repository} ${name}`, expected, `${size}`)
    }
  const client = new HubClient(settings)
  const blobs = new Map<string, Blob>()
  let before = 0
  for (const file of files) {
    const { name, size } = file
    const onBytes = (done: number): void => onProgress?.({ loadedBytes: before + done, totalBytes, name })
    blobs.set(name, await fetchFile(client, origin, file, signal, onBytes))
    before += size
  }
  return blobs
}

/** Downloads one file, with retries, and checks its size and hash. */
async function fetchFile(
  client: HubClient,
  { repository, commit }: HubOrigin,
  file: RemoteFile,
  signal: AbortSignal | undefined,
  onBytes?: (done: number) => void,
): Promise<Blob> {
  const { name, size } = file
  const subject = `${repository} ${name}`
  return client.retry(signal, async () => {
    const reply = await client.open(client.fileAddress(repository, commit, name), { subject, signal })
    const parts: Uint8Array[] = []
    let done = 0
    try {
      for await (const piece of reply.pieces()) {
        done += piece.length
        if (done > size) throw hubRefusal('HUB_SIZE', subject, `${size} bytes`, 'more')
        parts.push(piece)
        onBytes?.(done)
      }
    } finally {
      reply.close()
    }
    if (done < size) throw hubRefusal('HUB_SIZE', subject, `${size} bytes`, `${done}`)
    const blob = new Blob(parts as BlobPart[])
    await checkHash(blob, file, subject)
    return blob
  })
}

async function checkHash(blob: Blob, { hash, hashKind, size }: RemoteFile, subject: string): Promise<void> {
  // Git hashes a header of kind and size before the content.
  const whole = hashKind === 'sha256' ? blob : new Blob([`blob ${size}\0`, blob])
  const got = await hexDigest(hashKind === 'sha256' ? 'SHA-256' : 'SHA-1', await whole.arrayBuffer())
  if (got !== hash) throw hubRefusal('HUB_HASH', subject, `content with the hash ${hash}`, got)
}

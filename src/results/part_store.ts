/**
 * A store of parts of experiments: what was computed once from the same description is not computed again.
 *
 * An entry's name is the SHA-256 of the canonical JSON of its description: whatever the result depends on (model and
 * data by hash, settings, seed, version of the method) belongs into that. Entries are written whole or not at all. An
 * entry that is not exactly what was written is computed again, never trusted: its checksum is part of it. Any number
 * of processes may use a store at once: they may do the same work twice, and then the last one's entry stays, but
 * none sees half of another's.
 *
 *   <hash>.json                 a value, its description and its checksum
 *   <hash>.files.json           the same for files: names and checksums of what is in the folder it names
 *   <hash>/                     a place for what vouches for itself, such as a calibration
 */
import * as v from 'valibot'
import { canonicalJson } from '../io/canonical_json.ts'
import { sha256Text } from '../io/schema.ts'
import {
  cacheFolder,
  fileKind,
  joinPath,
  list,
  makeFolder,
  readFile,
  remove,
  removeAbandoned,
  rename,
  sha256,
  sha256File,
  systemRefusal,
  temporaryName,
  writeFileAtomic,
} from '../platform/platform.ts'
import { isObject } from '../tensor/arguments.ts'
import { ShadowError } from '../tensor/errors.ts'
import { expectOption, kinds, type Kind } from '../tensor/option.ts'

/** What a part is the result of: a plain object of JSON values. */
export type PartDescription = Readonly<Record<string, unknown>>

/** The name of the part with this description: 64 hexadecimal digits. @throws TypeError as `canonicalJson` */
export function partKey(description: PartDescription): Promise<string> {
  return sha256(canonicalJson(description))
}

/**
 * Opens a store, and makes its folder where there is none.
 * @param folder default: `shadowllm/parts` in the user's cache folder
 * @throws ShadowError CACHE (exit code 5) if the folder cannot be made or read; UsageError PATH for a folder that is no text
 */
export async function openPartStore(
  folder: string = joinPath(cacheFolder(), 'shadowllm', 'parts'),
): Promise<PartStore> {
  expectOption('folder', folder, kinds.path)
  await asCache(folder, async () => {
    await makeFolder(folder)
    await removeAbandoned(folder)
  })
  return new PartStore(folder)
}

/** A store. */
export const storeOption: Kind = {
  words: 'a store of openPartStore',
  holds: (value) => isObject(value) && 'json' in value && 'folder' in value,
}

/** See the head of this file; `openPartStore` makes one. */
export class PartStore {
  readonly path: string

  /** @param path an existing folder */
  constructor(path: string) {
    this.path = path
  }

  /**
   * A JSON value: the stored one, or what `compute` gives, which is stored. Either way it is what JSON makes of it.
   * @throws what `compute` throws, and then nothing is stored; TypeError for a value JSON has no word for;
   *   ShadowError CACHE if the system refuses
   */
  async json<T>(description: PartDescription, compute: () => T | Promise<T>): Promise<T> {
    const path = joinPath(this.path, `${await partKey(description)}.json`)
    const stored = await readEntry(path, description)
    if (stored) return stored.value as T
    const entry = await makeEntry(description, await compute())
    await asCache(path, () => writeFileAtomic(path, entry.text))
    return entry.value as T
  }

  /** The value that is stored; null if there is none, or not what was written. @throws as `json` */
  async stored<T>(description: PartDescription): Promise<T | null> {
    const path = joinPath(this.path, `${await partKey(description)}.json`)
    return ((await readEntry(path, description))?.value as T | undefined) ?? null
  }

  /**
   * Files: a folder that holds exactly what `fill` wrote into it, plain files without folders. Leave them as they are.
   * @param fill is given an empty folder
   * @throws as `json`
   */
  async files(description: PartDescription, fill: (folder: string) => void | Promise<void>): Promise<string> {
    const key = await partKey(description)
    const path = joinPath(this.path, `${key}.files.json`)
    const stored = tableOf((await readEntry(path, description))?.value, key)
    if (stored && (await holds(joinPath(this.path, stored.folder), stored.files)))
      return joinPath(this.path, stored.folder)
    const making = temporaryName(joinPath(this.path, key))
    await asCache(making, () => makeFolder(making))
    try {
      await asCache(path, () => fill(making))
      const files = await hashFolder(making)
      if (Object.values(files).includes(noFile))
        throw new TypeError('files: expected files only, got a folder')
      // Named by what it holds: two processes that do the same work end with one folder.
      const folder = `${key}.${(await sha256(canonicalJson(files))).slice(0, 16)}`
      const entry = await makeEntry(description, { folder, files } satisfies FileTable)
      await asCache(path, async () => {
        await settle(making, joinPath(this.path, folder), files)
        await writeFileAtomic(path, entry.text)
        if (stored && stored.folder !== folder) await remove(joinPath(this.path, stored.folder))
      })
      return joinPath(this.path, folder)
    } finally {
      await remove(making)
    }
  }

  /**
   * A folder for what looks after itself: it is made where there is none, and nothing in it is judged or removed.
   * @throws ShadowError CACHE if the system refuses
   */
  async folder(description: PartDescription): Promise<string> {
    const path = joinPath(this.path, await partKey(description))
    await asCache(path, () => makeFolder(path))
    return path
  }
}

/** What an entry for files says: a folder, and the SHA-256 of each file in it by name. */
const fileTable = v.object({
  folder: v.pipe(v.string(), v.regex(/^[0-9a-f.]+$/)),
  files: v.record(
    v.custom<string>((name) => typeof name === 'string' && name.isWellFormed()),
    sha256Text,
  ),
})

type FileTable = v.InferOutput<typeof fileTable>

/** A table as an entry has it, if it names a folder of this part's: no other is looked at, or removed. */
function tableOf(value: unknown, key: string): FileTable | null {
  const { success, output } = v.safeParse(fileTable, value)
  return success && output.folder.startsWith(`${key}.`) ? output : null
}

interface Entry {
  readonly text: string
  readonly value: unknown
}

/** `{"checksum":"...","description":...,"value":...}`; the checksum is of all that comes after it. */
async function makeEntry(description: PartDescription, value: unknown): Promise<Entry> {
  const rest = `"description":${canonicalJson(description)},"value":${canonicalJson(value)}}`
  const text = `{"checksum":"${await sha256(rest)}",${rest}`
  return { text, value: (JSON.parse(text) as { value: unknown }).value }
}

/** The entry of a file; null if there is none, or not the one that was written for this description. */
async function readEntry(path: string, description: PartDescription): Promise<Entry | null> {
  if ((await asCache(path, () => fileKind(path))) === 'missing') return null
  const text = new TextDecoder().decode(await asCache(path, () => readFile(path)))
  const [, checksum, rest] = /^\{"checksum":"([0-9a-f]{64})",(.*)$/s.exec(text) ?? []
  const opening = `"description":${canonicalJson(description)},"value":`
  if (rest === undefined || !rest.startsWith(opening) || (await sha256(rest)) !== checksum) return null
  try {
    const { value } = JSON.parse(text) as { value: unknown }
    return rest === `${opening}${canonicalJson(value)}}` ? { text, value } : null
  } catch {
    return null // A checksum can be made for anything: for no JSON, or for more levels than can be gone through.
  }
}

/** Whether a folder holds these files, unchanged, and no others. */
async function holds(folder: string, files: FileTable['files']): Promise<boolean> {
  try {
    return canonicalJson(await hashFolder(folder)) === canonicalJson(files)
  } catch (error) {
    // Not there, or taken away by another process meanwhile.
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return false
    throw error
  }
}

/** Gives a finished folder its name, unless another process has put the same there; what is damaged gives way. */
async function settle(making: string, place: string, files: FileTable['files']): Promise<void> {
  // Judged only if it was there before: what appears from now on is another process's, and whole.
  if ((await fileKind(place)) !== 'missing') {
    if (await holds(place, files)) return
    const broken = temporaryName(place)
    // Another process may take it away first.
    await rename(place, broken).catch(() => {})
    await remove(broken)
  }
  try {
    await rename(making, place)
  } catch (error) {
    if (!(await holds(place, files))) throw error
  }
}

/** In place of a checksum. */
const noFile = 'not a file'

async function hashFolder(folder: string): Promise<Record<string, string>> {
  const files: [string, string][] = []
  for (const name of await list(folder)) {
    const path = joinPath(folder, name)
    files.push([name, (await fileKind(path)) === 'file' ? await sha256File(path) : noFile])
  }
  return Object.fromEntries(files)
}

/** Runs what touches the store, and puts the system's refusal into our words. @throws ShadowError CACHE (exit code 5) */
export async function asCache<T>(path: string, action: () => T | Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (cause) {
    const refusal = systemRefusal(cause)
    if (cause instanceof ShadowError || refusal === null) throw cause
    throw new ShadowError(
      'CACHE',
      `${path}: expected a cache that can be read and written, got ${refusal}; XDG_CACHE_HOME names another place`,
      5,
      { cause },
    )
  }
}

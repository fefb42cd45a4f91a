/**
 * Resolves the name of a model to a path: `embedded`, a folder or a file, or a name on the hub, also of a GGUF file there.
 */
import { joinPath, mountFolder, runtime } from '../platform/platform.ts'
import { MissingError, UsageError } from '../tensor/errors.ts'
import { embeddedFolder } from './embedded.ts'
import { isThere } from './files.ts'
import type { HubOptions, HubOrigin } from './hub.ts'
import { hubFileOf, isModelId } from './hub/names.ts'

/** The name of the small trained model of this package. */
export const embeddedName = 'embedded'

/** The location of a model. */
export interface FoundModel {
  /** Its folder, or its weight file. */
  readonly path: string
  /** Its origin on the hub; null for a local model. */
  readonly origin: HubOrigin | null
}

/**
 * Finds a model, and downloads it if it is not local: a local path has priority over a name on the hub.
 * @throws UsageError HUB_REVISION for a revision of a local model; what `openHubModel` throws
 */
export async function findModel(pathOrName: string, options: HubOptions = {}): Promise<FoundModel> {
  const isEmbedded = pathOrName === embeddedName
  const named = isModelId(pathOrName) ? { id: pathOrName, file: undefined } : hubFileOf(pathOrName)
  if (!isEmbedded && named && !(await isThere(pathOrName))) {
    const { id, file } = named
    if (runtime.name === 'browser') return inMemory(id, { ...options, file })
    const { openHubModel } = await import('./hub.ts')
    const { folder, origin } = await openHubModel(id, { ...options, file }).catch((error: unknown) => {
      throw notHere(pathOrName, error)
    })
    return { path: file === undefined ? folder : joinPath(folder, file), origin }
  }
  if (options.revision !== undefined)
    throw new UsageError(
      'HUB_REVISION',
      `revision: expected a revision together with the name of a model on the hub, got ${pathOrName}`,
    )
  return { path: isEmbedded ? await embeddedFolder() : pathOrName, origin: null }
}

/** A name that was perhaps meant as a path: where the hub cannot be asked, both are told. */
function notHere(name: string, error: unknown): unknown {
  if (!(error instanceof MissingError) || error.code !== 'PACKAGE_MISSING') return error
  const message = `${name}: expected a folder or a file, got none; a name on the hub needs "npm install @huggingface/hub"`
  return new MissingError(error.code, message, { cause: error })
}

/** A model of the hub as a mounted folder, because a page has no cache. */
async function inMemory(id: string, options: HubOptions): Promise<FoundModel> {
  const { downloadModel, lookUpModel } = await import('./hub/in_memory.ts')
  const { readHubSettings } = await import('./hub/settings.ts')
  const settings = await readHubSettings()
  const listing = await lookUpModel(id, settings, options)
  const { origin } = listing
  const folder = mountFolder(`${id}@${origin.commit}`, await downloadModel(listing, settings, options))
  return { path: options.file === undefined ? folder : joinPath(folder, options.file), origin }
}

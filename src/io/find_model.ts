/**
 * What people call a model by: `embedded`, a folder or a file, or a name on the hub; made a path.
 */
import { mountFolder, runtime } from '../platform/platform.ts'
import { UsageError } from '../tensor/errors.ts'
import { embeddedFolder } from './embedded.ts'
import { isThere } from './files.ts'
import type { HubOptions, HubOrigin } from './hub.ts'
import { isModelId } from './hub/names.ts'

/** The name of the small trained model that comes with this package. */
export const embeddedName = 'embedded'

/** Where a model is. */
export interface FoundModel {
  /** Its folder, or its file of weights. */
  readonly path: string
  /** Where it came from; null if it was here. */
  readonly origin: HubOrigin | null
}

/**
 * Finds a model, and downloads it if it is on the hub only: what is here goes before a name on the hub.
 * @throws UsageError HUB_REVISION for a revision of something else; what `openHubModel` throws
 */
export async function findModel(pathOrName: string, options: HubOptions = {}): Promise<FoundModel> {
  const isEmbedded = pathOrName === embeddedName
  if (!isEmbedded && isModelId(pathOrName) && !(await isThere(pathOrName))) {
    if (runtime.name === 'browser') return inMemory(pathOrName, options)
    const { openHubModel } = await import('./hub.ts')
    const { folder, origin } = await openHubModel(pathOrName, options)
    return { path: folder, origin }
  }
  if (options.revision !== undefined)
    throw new UsageError(
      'HUB_REVISION',
      `revision: expected a revision together with the name of a model on the hub, got ${pathOrName}`,
    )
  return { path: isEmbedded ? await embeddedFolder() : pathOrName, origin: null }
}

/** A model of the hub as a mounted folder: a page has no cache. */
async function inMemory(id: string, options: HubOptions): Promise<FoundModel> {
  const { downloadModel, lookUpModel } = await import('./hub/in_memory.ts')
  const { readHubSettings } = await import('./hub/settings.ts')
  const settings = await readHubSettings()
  const listing = await lookUpModel(id, settings, options)
  const { origin } = listing
  const path = mountFolder(`${id}@${origin.commit}`, await downloadModel(listing, settings, options))
  return { path, origin }
}

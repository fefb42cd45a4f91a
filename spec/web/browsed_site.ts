/**
 * The built site in a real browser, for specs that look at its pages; where it cannot be built, or there is no Chromium, they are
 * skipped and say why.
 */
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll } from 'vitest'
import { builtSite, cannotBuildSite } from './built_site.ts'
import { chromiumPath, startChromium, withoutChromium } from './chromium.ts'
import { serveFolder, type StaticServer } from './static_server.ts'

export const cannotBrowse = chromiumPath === null || cannotBuildSite !== null

/** Why not, for the title of a `describe`; empty if it can be browsed. */
export const whyNotBrowsed = cannotBuildSite === null ? withoutChromium : ` (skipped: ${cannotBuildSite})`

/** A folder of the site, there while the tests of a `describe` run. */
export interface BrowsedSite {
  readonly browser: Browser
  readonly folder: string
  /** Ends with a slash. */
  readonly url: string
}

/** Serves a folder of the site before the tests of this `describe` and starts a browser; ends both after them. */
export function browseSite(part: string, timeout: number): BrowsedSite {
  const site = { browser: null, folder: '', url: '' } as unknown as {
    -readonly [K in keyof BrowsedSite]: BrowsedSite[K]
  }
  let server: StaticServer | null = null
  beforeAll(async () => {
    site.folder = join(await builtSite(), part)
    site.browser = await startChromium()
    server = await serveFolder(site.folder, false)
    site.url = server.url
  }, timeout)
  afterAll(async () => {
    await site.browser?.close()
    await server?.close()
  })
  return site
}

/**
 * The environment of the specs of flags: input files, and a hub that answers at once.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, vi } from 'vitest'
import { makeFiles } from './made_files.ts'
import { observe } from './observe.ts'
import { writeSmallFiles } from './small_files.ts'
import { remembering, type Run } from './table.ts'

/** Returns a runner that runs each command line once, and the path of an input file. Call it at the top of a spec file. */
export function useSurroundings(): { readonly run: Run; readonly place: (name: string) => string } {
  let folder = ''
  beforeAll(async () => {
    folder = await writeSmallFiles()
    await makeFiles(folder)
  }, 600_000)
  afterAll(() => rmSync(folder, { recursive: true }))
  beforeEach(() => {
    vi.stubEnv('HF_HUB_CACHE', join(folder, 'hub'))
    vi.stubEnv('HF_HUB_OFFLINE', '')
    // A hub without models: every request ends at once.
    vi.stubGlobal('fetch', async () => new Response('{}', { status: 404 }))
  })
  afterEach(() => {
    vi.unstubAllEnvs()
    vi.unstubAllGlobals()
  })
  return { run: remembering((args) => observe(args, folder)), place: (name) => join(folder, name) }
}

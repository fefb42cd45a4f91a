/**
 * The files of the table, and a hub that answers at once: what each file of the table runs its commands in.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, vi } from 'vitest'
import { makeFiles } from './made_files.ts'
import { observe } from './observe.ts'
import { writeSmallFiles } from './small_files.ts'
import { remembering, type Run } from './table.ts'

/** A runner, each command line once, and the place of a file. Call it at the top of a file. */
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
    // A hub that has no model: what is asked of it ends at once.
    vi.stubGlobal('fetch', async () => new Response('{}', { status: 404 }))
  })
  afterEach(() => {
    vi.unstubAllEnvs()
    vi.unstubAllGlobals()
  })
  return { run: remembering((args) => observe(args, folder)), place: (name) => join(folder, name) }
}

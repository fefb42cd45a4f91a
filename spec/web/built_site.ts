/**
 * The site as its one command builds it, once for all specs of a run that look at its pages: `spec`, `live`, `reference`.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { compile } from '../../scripts/tool.ts'
import { runtime } from '../../src/platform/platform.ts'
import { onceInThisRun } from '../harness/once.ts'
import { root } from '../harness/syntax.ts'
import { packedPackage } from '../package/install.ts'

/** Why the site cannot be built here; null if it can. */
export const cannotBuildSite: string | null = !existsSync(join(root, 'docs/node_modules/typedoc'))
  ? 'typedoc is not installed'
  : runtime.name !== 'node'
    ? 'it needs Node'
    : null

/**
 * The folder of the built site.
 * @throws Error with the output of the command if it failed, as it does on a warning of typedoc
 */
export function builtSite(): Promise<string> {
  return onceInThisRun('site', async (folder) => {
    const { archive } = await packedPackage()
    await compile(process.execPath, [...process.execArgv, 'scripts/site.ts', folder, archive], root)
  })
}

/**
 * Which version this is, and of what it is made; both from package.json.
 */
import about from '../../package.json' with { type: 'json' }
import { runtime, type Runtime } from '../platform/platform.ts'
import { MissingError } from './errors.ts'

/** Of this package. */
export const version: string = about.version

/** Runtime dependencies, pinned exactly. */
export const dependencies: Readonly<Record<string, string>> = about.dependencies

/** Refuses a Node that is too old. @throws MissingError NODE_VERSION */
export function expectNode({ name, version }: Runtime = runtime): void {
  const oldest = about.engines.node.replace('>=', '')
  if (name === 'node' && version.localeCompare(oldest, 'en', { numeric: true }) < 0)
    throw new MissingError(
      'NODE_VERSION',
      `node: expected version ${oldest} or newer, got ${version}; "npm i node@24" beside this package brings one, which npx takes`,
    )
}

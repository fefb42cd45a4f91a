/**
 * Which version this is, and of what it is made; both from package.json.
 */
import about from '../../package.json' with { type: 'json' }

/** Of this package. */
export const version: string = about.version

/** Runtime dependencies, pinned exactly. */
export const dependencies: Readonly<Record<string, string>> = about.dependencies

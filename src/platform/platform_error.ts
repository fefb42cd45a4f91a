/**
 * The error for a feature that the runtime lacks. This file does not use types of Node, so that the types of the library do not
 * need them.
 */

/** The runtime lacks a feature, which `feature` names. */
export class PlatformError extends Error {
  readonly feature: string

  constructor(feature: string, has: 'Node or Deno' | 'a page' | 'a page by HTTPS' = 'Node or Deno') {
    super(
      `${feature}: expected ${has}, got ${has === 'Node or Deno' ? 'a browser' : has === 'a page' ? 'none' : 'another'}`,
    )
    this.name = 'PlatformError'
    this.feature = feature
  }
}

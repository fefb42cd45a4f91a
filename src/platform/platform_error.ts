/**
 * What this room says where the runtime has not what was asked for. In a file without a word of Node's, so that the types
 * of the library need none.
 */

/** Something this runtime does not have was asked for; `feature` says what. */
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

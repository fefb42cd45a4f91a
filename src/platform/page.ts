/**
 * The page, where the program runs in one: its document, what its user prefers, and files to and from their disk.
 */
import { PlatformError } from './platform_error.ts'

/** The document. @throws PlatformError where there is none */
export function pageDocument(): Document {
  if (typeof globalThis.document === 'object') return globalThis.document
  throw new PlatformError('document', 'a page')
}

/** What a user may prefer, as a media query. */
const queries = {
  dark: '(prefers-color-scheme: dark)',
  stillness: '(prefers-reduced-motion: reduce)',
} as const

/** Whether the user of the page prefers something. */
export function prefers(what: keyof typeof queries): boolean {
  return matchMedia(queries[what]).matches
}

/** Calls `handler` when a preference changes. */
export function onPreference(what: keyof typeof queries, handler: () => void): void {
  matchMedia(queries[what]).addEventListener('change', handler)
}

/** Hands a file to the user of the page, to be kept where they like. */
export function offerFile(name: string, bytes: Uint8Array<ArrayBuffer>): void {
  const url = URL.createObjectURL(new Blob([bytes], { type: 'application/octet-stream' }))
  const link = pageDocument().createElement('a')
  link.href = url
  link.download = name
  link.click()
  // The browser takes the file in its own time.
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}

/** Whether the page is isolated from others, so that threads of it may share memory. */
export function isIsolated(): boolean {
  return globalThis.crossOriginIsolated === true
}

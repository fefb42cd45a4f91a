/**
 * The page, in a browser: its document, its colour scheme, and downloads.
 */
import { PlatformError } from './platform_error.ts'

/** The document. @throws PlatformError outside a page */
export function pageDocument(): Document {
  if (typeof globalThis.document === 'object') return globalThis.document
  throw new PlatformError('document', 'a page')
}

/** Calls `handler` when the user of the page changes between light and dark. */
export function onSchemeChange(handler: () => void): void {
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', handler)
}

/** Offers a file as a download. */
export function offerFile(name: string, bytes: Uint8Array<ArrayBuffer>): void {
  const url = URL.createObjectURL(new Blob([bytes], { type: 'application/octet-stream' }))
  const link = pageDocument().createElement('a')
  link.href = url
  link.download = name
  link.click()
  // The browser reads the file asynchronously.
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}

/** Whether the page is cross-origin isolated, so that its threads may share memory. */
export function isIsolated(): boolean {
  return globalThis.crossOriginIsolated === true
}

/** Whether the browser knows that it has no network. */
export function isOffline(): boolean {
  return navigator.onLine === false
}

/** The fragment of the page's address, without `#`. Browsers do not send it to a server. */
export function pageFragment(): string {
  return pageDocument().location.hash.slice(1)
}

/** Replaces the fragment, without an entry in the history; an empty one is removed with its `#`. */
export function replaceFragment(fragment: string): void {
  const { pathname, search } = pageDocument().location
  history.replaceState(null, '', fragment === '' ? pathname + search : `#${fragment}`)
}

/** Calls `handler` when the user changes the fragment: by a link, by the address bar, by going back. */
export function onFragmentChange(handler: () => void): void {
  addEventListener('hashchange', handler)
}

/** Whether the user asks for pages without movement. */
export function avoidsMotion(): boolean {
  return matchMedia('(prefers-reduced-motion: reduce)').matches
}

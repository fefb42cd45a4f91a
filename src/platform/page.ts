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

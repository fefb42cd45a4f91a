/**
 * The page, where the program runs in one: its document, whether it is light or dark, and files for its user's disk.
 */
import { PlatformError } from './platform_error.ts'

/** The document. @throws PlatformError where there is none */
export function pageDocument(): Document {
  if (typeof globalThis.document === 'object') return globalThis.document
  throw new PlatformError('document', 'a page')
}

/** Calls `handler` when the user of the page changes between light and dark. */
export function onSchemeChange(handler: () => void): void {
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', handler)
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

/**
 * A real browser for laws that need one: the Chromium of this machine, by playwright. Where there is none, the laws are
 * skipped, and say so.
 */
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname } from 'node:path'
import { chromium, type Browser, type Page } from 'playwright-core'

/** Where distributions put it; SHADOWLLM_CHROMIUM names another. */
const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** The browser's program; null where there is none. */
export const chromiumPath: string | null =
  [process.env.SHADOWLLM_CHROMIUM ?? '', ...places].find((path) => path !== '' && existsSync(path)) ?? null

/** What to add to the title of a law that is skipped without it. */
export const withoutChromium: string = chromiumPath === null ? ' (skipped: there is no Chromium)' : ''

/** Nothing is asked of the network, and nothing needs a screen. */
const flags = [
  '--headless',
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** WebGPU on whatever there is, which is SwiftShader on a machine without a GPU; or no GPU. */
const gpuFlag = (wanted: boolean): string => (wanted ? '--enable-unsafe-webgpu' : '--disable-gpu')

/** Starts it, with WebGPU if that is wanted; close it. @throws Error if it does not start */
export async function startChromium({ webgpu = false } = {}): Promise<Browser> {
  if (chromiumPath === null) throw new Error('chromium: expected a program, got none')
  // A system allows a socket's path some hundred characters; the folder of a spec file with a long name takes too many.
  const folder = tmpdir()
  const env = { ...process.env, TMPDIR: folder.length > 48 ? dirname(folder) : folder }
  return chromium.launch({ executablePath: chromiumPath, args: [...flags, gpuFlag(webgpu)], env, timeout: 0 })
}

/** What a page said while it was watched: what it logged, and what went wrong. */
export interface PageSaid {
  readonly lines: string[]
  /** Errors thrown, errors logged, requests that failed; not what a page left off because it was left itself. */
  readonly faults: string[]
}

/** Watches a page from now on. Only the test has a time limit, and no step of it. */
export function watchPage(page: Page): PageSaid {
  page.setDefaultTimeout(0)
  const said: PageSaid = { lines: [], faults: [] }
  page.on('console', (message) => {
    if (message.type() === 'error') said.faults.push(message.text())
    else said.lines.push(message.text())
  })
  page.on('pageerror', (error) => said.faults.push(error.stack ?? error.message))
  page.on('requestfailed', (request) => {
    const why = request.failure()?.errorText
    // A page that is left cancels what it still loads, the icon among it; a server's faults have other names.
    if (why !== 'net::ERR_ABORTED') said.faults.push(`${request.url()}: ${why}`)
  })
  return said
}

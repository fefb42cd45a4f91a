/**
 * A real browser for tests: Chromium as this system has it, or the one SHADOWLLM_CHROMIUM names. None is downloaded.
 */
import { existsSync } from 'node:fs'
import { chromium, type Browser } from 'playwright-core'

const named = process.env.SHADOWLLM_CHROMIUM
const usual = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** Where it is; null if there is none. */
export const chromiumPath: string | null = named ?? usual.find((path) => existsSync(path)) ?? null

/** What to say of tests that need it where it is missing. */
export const noChromium = 'no chromium here: apt-get install chromium, or name one with SHADOWLLM_CHROMIUM'

const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** Starts it, without a window. Close it. @throws Error if there is none */
export async function openChromium(): Promise<Browser> {
  if (chromiumPath === null) throw new Error(noChromium)
  return chromium.launch({ executablePath: chromiumPath, headless: true, args: flags })
}

/**
 * 64 tokens of SmolLM2 on WebGPU in every storage, in Deno, and in Chromium, which has SwiftShader where there is no GPU: some minutes
 * on a processor. The full tier writes four in one storage.
 */
import { execFile } from 'node:child_process'
import { existsSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { storages } from '../../../src/engine/storages/index.ts'
import { hasSmollm2, smollm2File } from '../../harness/smollm2.ts'
import { root } from '../../cli/run_cli.ts'
import { chromiumPath, startChromium } from '../../web/chromium.ts'
import { LawPage } from '../../web/law_page.ts'
import { whyNoAdapter } from './device.ts'
import { writesAsWasm } from './written_as_wasm.ts'

/** Deno from npm, which has none for some systems. */
const deno = join(root, 'node_modules/deno/bin.cjs')
const timeout = 1_800_000

describe.skipIf(!hasSmollm2 || whyNoAdapter !== null)('SmolLM2-135M-Instruct', () => {
  test.each(storages)('%s: 64 tokens have the logits of WASM', (storage) =>
    writesAsWasm(smollm2File, storage, 64),
  )
  test.skipIf(!existsSync(deno))('int4: the same in Deno', { timeout }, async () => {
    const program = fileURLToPath(new URL('./written_as_wasm.ts', import.meta.url))
    const { stdout } = await promisify(execFile)(deno, ['run', '-A', program, smollm2File, 'int4', '64'])
    expect(stdout).toBe('64 tokens\n')
  })
})

describe.skipIf(!hasSmollm2 || chromiumPath === null)('SmolLM2-135M-Instruct in Chromium', () => {
  // On SwiftShader the prompt in another storage may take longer than a device is waited for.
  test('int4: 64 tokens have the logits of WASM', { timeout }, async () => {
    const page = await LawPage.build()
    const browser = await startChromium({ webgpu: true })
    try {
      symlinkSync(smollm2File, join(page.folder, 'model.gguf'))
      const run = await page.writeText(browser, 'model.gguf', { storage: 'int4', tokens: 64 })
      expect(run).toEqual({ result: 64, isolated: true, said: [] })
    } finally {
      await browser.close()
      page.remove()
    }
  })
})

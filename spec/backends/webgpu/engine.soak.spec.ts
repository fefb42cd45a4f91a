/**
 * 64 tokens of SmolLM2 on WebGPU in every storage, and in Deno: some minutes on a processor. The full tier writes four in one storage.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { storages } from '../../../src/engine/storages/index.ts'
import { hasSmollm2 } from '../../harness/smollm2.ts'
import { root } from '../../cli/run_cli.ts'
import { whyNoAdapter } from './device.ts'
import { writesAsWasm } from './written_as_wasm.ts'

/** Deno from npm, which has none for some systems. */
const deno = join(root, 'node_modules/deno/bin.cjs')

describe.skipIf(!hasSmollm2 || whyNoAdapter !== null)('SmolLM2-135M-Instruct', () => {
  test.each(storages)('%s: 64 tokens have the logits of WASM', (storage) => writesAsWasm(storage, 64))
  test.skipIf(!existsSync(deno))('int4: the same in Deno', { timeout: 900_000 }, async () => {
    const program = fileURLToPath(new URL('./written_as_wasm.ts', import.meta.url))
    const { stdout } = await promisify(execFile)(deno, ['run', '-A', program, 'int4', '64'])
    expect(stdout).toBe('64 tokens\n')
  })
})

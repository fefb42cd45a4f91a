/**
 * 64 tokens of SmolLM2 on WebGPU in every storage: some minutes on a processor. The full tier writes a few in two storages.
 */
import { describe, test } from 'vitest'
import { storages } from '../../../src/engine/storages/index.ts'
import { hasSmollm2 } from '../../harness/smollm2.ts'
import { whyNoAdapter } from './device.ts'
import { writesAsWasm } from './written_as_wasm.ts'

describe.skipIf(!hasSmollm2 || whyNoAdapter !== null)('SmolLM2-135M-Instruct', () => {
  test.each(storages)('%s: 64 tokens have the logits of WASM', (storage) => writesAsWasm(storage, 64))
})

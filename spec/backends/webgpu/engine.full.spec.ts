/**
 * Models on WebGPU: a token is one submission, nothing is read but its logits, memory is held for the weights and little more, matrices
 * may be larger than a binding, and a real model writes what WASM writes, bit for bit (64 tokens in every storage in the tier soak).
 */
import { describe, expect, test } from 'vitest'
import { makeConfig } from '../../../src/engine/config.ts'
import { initialWeights } from '../../../src/engine/initial_weights.ts'
import { LanguageModel } from '../../../src/engine/language_model.ts'
import { memorySource } from '../../../src/tensor/memory_source.ts'
import { maskLaws } from '../../../src/verify/model/mask_laws.ts'
import type { KernelName } from '../../../src/ops/catalog.ts'
import { agreementLaws } from '../../../src/verify/ops/agreement.ts'
import { checkModel } from '../../engine/cases.ts'
import { hasSmollm2, smollm2File } from '../../harness/smollm2.ts'
import { checkOn } from '../../harness/seed.ts'
import { whyNoAdapter, withWebGpu } from './device.ts'
import { writesAsWasm } from './written_as_wasm.ts'

const small = { layers: 2, width: 32, heads: 2, neurons: 64, vocabulary: 50, positions: 16 }

describe.each(['opt', 'llama'] as const)('%s', (family) =>
  withWebGpu('a token is one submission, and nothing but its logits is read', async (backend) => {
    const config = makeConfig({ ...small, family })
    const tensors = initialWeights(config, { seed: 1 })
    const model = await LanguageModel.load(config, memorySource(tensors), backend)
    const sequence = model.begin()
    sequence.feed(Int32Array.of(1, 2, 3))
    for (let token = 4; token < 10; token++) {
      const before = { ...backend.counts }
      const logits = sequence.feed(Int32Array.of(token))
      expect(backend.counts.submissions - before.submissions).toBe(1)
      expect(backend.counts.reads - before.reads).toBe(1)
      expect(backend.counts.bytesRead - before.bytesRead).toBe(logits.byteLength)
      // The rest is recorded: what depends on the position is embeddings, turned pairs, and attention with its caches.
      if (token > 5)
        expect(backend.counts.prepared - before.prepared).toBeLessThanOrEqual(3 + 7 * small.layers)
      // The first token of a kind compiles what it needs; the next ones compile nothing.
      if (token > 4) expect(backend.counts.pipelines).toBe(before.pipelines)
    }
    sequence.dispose()
    model.dispose()
  }),
)

withWebGpu('the device holds at most 1.05 of the bytes of the weights', async (backend) => {
  const sizes = { layers: 2, width: 256, heads: 4, neurons: 4096, vocabulary: 8192, positions: 64 }
  const config = makeConfig({ ...sizes, family: 'llama' })
  const tensors = initialWeights(config, { seed: 1 })
  const model = await LanguageModel.load(config, memorySource(tensors), backend)
  const sequence = model.begin()
  sequence.feed(Int32Array.of(1, 2, 3))
  let bytes = 0
  for (const { values } of tensors.values()) bytes += values.byteLength
  expect(backend.heldBytes).toBeGreaterThanOrEqual(bytes)
  expect(backend.heldBytes).toBeLessThanOrEqual(1.05 * bytes)
  sequence.dispose()
  model.dispose()
})

/** Matrices of these stand in several bindings of 32 KiB, arrays beside them too. */
const WINDOW = 32_768
const large: readonly KernelName[] = [
  'embedding',
  'linear',
  'linear_f16',
  'linear_i4',
  'linear_input_major_i8',
  'attention',
  'copy_rows_i8',
  'transpose_bf16',
]

describe('with bindings of 32 KiB', () => {
  for (const name of large)
    withWebGpu(
      `${name}: arrays that are larger than a binding`,
      (backend) => checkOn({ ...agreementLaws(name)[1], runs: 10 }, backend),
      { windowBytes: WINDOW },
    )
  const law = { ...maskLaws.maskedIsZeroed, runs: 3 }
  withWebGpu(law.sentence, (backend) => checkModel(law, { backend, load: LanguageModel.load }), {
    windowBytes: WINDOW,
  })
})

describe.skipIf(!hasSmollm2 || whyNoAdapter !== null)('SmolLM2-135M-Instruct', () => {
  test('a prompt and four tokens have the logits of WASM', () => writesAsWasm(smollm2File, 'f32', 4))
})

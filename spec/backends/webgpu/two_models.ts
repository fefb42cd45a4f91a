/**
 * A tiny model on WebGPU and on WASM: a text of the one can go on in the other.
 */
import { createBackend } from '../../../src/backends/select.ts'
import type { WebGpuBackend } from '../../../src/backends/webgpu/webgpu_backend.ts'
import { makeConfig } from '../../../src/engine/config.ts'
import { initialWeights } from '../../../src/engine/initial_weights.ts'
import { LanguageModel } from '../../../src/engine/language_model.ts'
import { memorySource } from '../../../src/tensor/memory_source.ts'

const sizes = { layers: 2, width: 16, heads: 2, neurons: 20, vocabulary: 31, positions: 32 }

/** The model on a backend, and the same on WASM. */
export async function twoModels(
  backend: WebGpuBackend,
): Promise<{ readonly gpu: LanguageModel; readonly wasm: LanguageModel }> {
  const config = makeConfig({ family: 'llama', ...sizes })
  const tensors = initialWeights(config, { seed: 3 })
  return {
    gpu: await LanguageModel.load(config, memorySource(tensors), backend),
    wasm: await LanguageModel.load(config, memorySource(tensors), await createBackend('wasm')),
  }
}

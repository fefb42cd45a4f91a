/**
 * What a watched model counts its calls under, for every family, with every unit and packed.
 */
import { expect, test } from 'vitest'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { WatchedModel } from '../../src/bench/op_times.ts'
import { families, makeConfig } from '../../src/engine/config.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { parameterShapes } from '../../src/engine/program.ts'
import { makeMask } from '../../src/masks/mask.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'

const sizes = { layers: 2, width: 16, heads: 4, neurons: 6, vocabulary: 7, positions: 8 }
const half = makeMask(
  sizes,
  Float32Array.of(1, 1, 0, 0, 1, 1, 0, 0),
  Float32Array.of(1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0),
)

test.each(families)('each matrix and norm of %s is counted under its own name', async (family) => {
  const config = makeConfig({ family, ...sizes })
  const norms = [...parameterShapes(config).keys()].filter((name) => name.endsWith('norm.weight')).length
  const model = await LanguageModel.load(config, memorySource(initialWeights(config)), new ReferenceBackend())
  for (const mask of [null, half]) {
    const watched = new WatchedModel(model)
    const sequence = watched.model.begin({ mask, mode: 'pack' })
    watched.recording = true
    sequence.feed(Int32Array.of(1, 2, 3))
    const calls = new Map<string, number>()
    for (const { what, op, calls: count } of watched.times)
      if (op.startsWith('linear') || op.endsWith('_norm')) calls.set(what, (calls.get(what) ?? 0) + count)
    const own = config.gated
      ? { o_proj: 2, gate_proj: 2, up_proj: 2, down_proj: 2 }
      : { out_proj: 2, fc1: 2, fc2: 2 }
    expect(Object.fromEntries(calls)).toEqual({ 'q/k/v': 6, ...own, lm_head: 1, norms })
    sequence.dispose()
    watched.dispose()
  }
  model.dispose()
})

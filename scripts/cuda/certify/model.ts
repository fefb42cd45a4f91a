/**
 * A small OPT, kernel by kernel: everything a parity file has of one sequence, masks ranked on the device, logits under a
 * mask, and greedy tokens, dense and sparse. What the host decides in between follows from what it reads, and what it reads
 * must be what the definitions give; so a device that passes has gone the same way.
 */
import { exportParity } from '../../../src/parity/export.ts'
import type { ParityCases } from '../../../src/parity/files.ts'
import { makeBudget } from '../../../src/masks/budget.ts'
import type { UnitMask } from '../../../src/masks/mask.ts'
import { backendTopK, selectMask } from '../../../src/masks/selection.ts'
import { makeConfig } from '../../../src/engine/config.ts'
import { generateTokens } from '../../../src/engine/generate.ts'
import { parameterShapes } from '../../../src/engine/program.ts'
import { LanguageModel } from '../../../src/engine/language_model.ts'
import { NOT_SCORED } from '../../../src/ops/cross_entropy.ts'
import { memorySource, type HostTensor } from '../../../src/tensor/memory_source.ts'
import { Random } from '../../../src/tensor/random.ts'
import type { TensorSource } from '../../../src/tensor/tensor_source.ts'
import type { ProgramWriter } from './program.ts'
import { RecordingBackend } from './recorder.ts'
import type { KernelSet } from './sets.ts'

const config = makeConfig({
  layers: 2,
  width: 16,
  heads: 4,
  neurons: 32,
  vocabulary: 41,
  embeddingWidth: 16,
  positions: 24,
})

/** Tokens of the sequence, and of what is written after it. */
const LENGTH = 7
const WRITTEN = 8

/** Weights in sixty-fourths, which take little room, and of each of which a float32 sum rounds soon enough. */
function weights(random: Random): TensorSource {
  const tensors = new Map<string, HostTensor>()
  for (const [name, shape] of parameterShapes(config)) {
    const count = shape.reduce((product, size) => product * size, 1)
    tensors.set(name, {
      shape,
      values: Float32Array.from({ length: count }, () => (random.below(65) - 32) / 64),
    })
  }
  return memorySource(tensors)
}

/** The model by one set of kernels. Lines `part` say what the numbers that follow are. */
export async function addModel(program: ProgramWriter, set: KernelSet): Promise<void> {
  const random = new Random(1)
  const backend = new RecordingBackend(program, set)
  program.line('model', 'opt-seeded-2x16')
  program.line('part', 'weights')
  const model = await LanguageModel.load(config, weights(random), backend)
  const inputIds = Int32Array.from({ length: LENGTH }, () => random.below(config.vocabulary)) // [1, T]
  const cases: ParityCases = {
    B: 1,
    T: LENGTH,
    inputIds,
    attentionMask: new Int32Array(LENGTH).fill(1),
    labels: inputIds.map((id, i) => (i === 0 ? NOT_SCORED : id)),
    headMask: null,
    ffnMask: null,
  }
  program.line('part', 'tensors')
  const tensors = await exportParity(model, cases)
  program.line('part', 'masks')
  const scores = {
    shape: model.shape,
    heads: tensors.get('crit.plainact_head')?.data as Float32Array, // [L, H]
    neurons: tensors.get('crit.plainact_ffn')?.data as Float32Array, // [L, F]
  }
  const mask = selectMask(scores, makeBudget(0.5), backendTopK(backend))
  program.line('part', 'masked-logits')
  const { layers, heads, neurons } = model.shape
  await exportParity(model, {
    ...cases,
    labels: null,
    headMask: { shape: [layers, heads], values: mask.heads },
    ffnMask: { shape: [layers, neurons], values: mask.neurons },
  })
  program.line('part', 'greedy-dense')
  await write(model, inputIds, null)
  program.line('part', 'greedy-sparse')
  await write(model, inputIds, mask)
  program.line('part', 'weights')
  model.dispose()
  if (backend.liveBuffers > 0) throw new Error(`model: expected no buffer left, got ${backend.liveBuffers}`)
  program.line('end')
}

async function write(model: LanguageModel, prompt: Int32Array, mask: UnitMask | null): Promise<void> {
  const steps = generateTokens(model, prompt, { maxTokens: WRITTEN, mask, stopIds: [] })
  let written = 0
  for await (const { token } of steps) written += Number(token >= 0)
  if (written !== WRITTEN) throw new Error(`model: expected ${WRITTEN} tokens, got ${written}`)
}

/**
 * The bytes of weights that a token is said to read are those of the rows whose poisoning with NaN changes its logits.
 *
 * Tests src/bench/rows.ts, src/cost/token_cost.ts, src/cost/architectures.ts and src/masks/achieved.ts.
 */
import fc from 'fast-check'
import { test } from 'vitest'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { architectureOf } from '../../src/cost/architectures.ts'
import { achievedSparsity } from '../../src/masks/achieved.ts'
import { valuesOf } from '../../src/backends/calls.ts'
import { tokenReads } from '../../src/bench/rows.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import type { Sequence } from '../../src/engine/sequence.ts'
import { makeMask, type UnitMask } from '../../src/masks/mask.ts'
import type { MaskPlanner } from '../../src/masks/planner.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { heldMatrix } from '../engine/held_matrix.ts'
import {
  anyMask,
  channelMaskOf,
  channelSchedule,
  engineCase,
  made,
  maskOf,
  type ChannelSchedule,
} from '../../src/verify/model/engine_cases.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { casesAtTier } from '../harness/tier.ts'

/** Bytes of the rows of all parameters that change what `run` gives. */
function bytesThatMatter(model: LanguageModel, run: () => { readonly logits: Float32Array }): number {
  const { backend } = model
  const usual = run().logits.join()
  let bytes = 0
  for (const buffer of model.weights.parameters.values()) {
    const values = backend.readF32(buffer)
    // A vector is read element by element.
    const columns = buffer.shape.length === 2 ? buffer.shape[1] : 1
    for (let row = 0; row < values.length / columns; row++) {
      const own = values.slice(row * columns, (row + 1) * columns)
      backend.write(buffer, new Float32Array(columns).fill(NaN), row * columns)
      if (run().logits.join() !== usual) bytes += own.byteLength
      backend.write(buffer, own, row * columns)
    }
  }
  return bytes
}

/** A planner that masks input channels as they are drawn, from the second token on. */
const channelPlanner = (schedule: ChannelSchedule): MaskPlanner => ({
  name: 'drawn',
  every: 1,
  // One channel is kept: behind a site that is masked as a whole, all is zero.
  by: 'channels',
  choose: (layer, site, x) => channelMaskOf(schedule, 1, layer, site, x.length).fill(1, 0, 1),
})

/** The mask, with the last unit of each layer kept: what a norm gives to no unit does not matter, and is read. */
function keepsOne({ shape, heads, neurons }: UnitMask): UnitMask {
  for (let layer = 1; layer <= shape.layers; layer++) {
    heads[layer * shape.heads - 1] = 1
    neurons[layer * shape.neurons - 1] = 1
  }
  return makeMask(shape, heads, neurons)
}

type Reads = typeof tokenReads

const readsMatter = lawForAll(
  'a token reads the weights whose poisoning changes its logits, dense, under masks of units and of channels',
  {
    sizes: engineCase,
    kind: fc.constantFrom('dense', 'units', 'channels'),
    skip: anyMask,
    schedule: channelSchedule,
  },
  async (reads: Reads, { sizes, kind, skip, schedule }) => {
    // A norm of one channel gives the same whatever it reads, of two nearly so.
    // Norms after each half take a neuron's part away where one neuron gives most of it.
    // A logit far past its cap does not say what it is made of.
    const llama = sizes.llama && { ...sizes.llama, logitCap: undefined }
    const drawn = { ...sizes, llama, headSize: 2 + sizes.headSize, preNorm: true }
    const { config, tensors } = made({ ...drawn, tokens: [1, 2], vocabulary: Math.max(3, drawn.vocabulary) })
    const data = new Data(drawn.numbers.length)
    // No number is zero, none is like its neighbours, and no neuron of OPT is off: a term of zero is left out.
    for (const [name, { values }] of tensors)
      for (let i = 0; i < values.length; i++)
        if (name.endsWith('fc1.bias')) values[i] = 400 + i
        else values[i] = data.uniform() + 0.25
    const backend = new ReferenceBackend()
    const model = await LanguageModel.load(config, memorySource(tensors), backend)
    const given = kind === 'units' ? keepsOne(maskOf(drawn, skip)) : null
    const planner = kind === 'channels' ? channelPlanner(schedule) : null
    const run = (): { logits: Float32Array; mask: UnitMask | null } => {
      let sequence: Sequence | null = null
      try {
        sequence = model.begin({ mask: given, mode: 'skip' })
        const logits = sequence.feed(Int32Array.of(2))
        return { logits, mask: sequence.mask }
      } finally {
        sequence?.dispose()
      }
    }
    try {
      if (planner) return checkChannels(reads, model, planner)
      const { mask } = run()
      // A table that is the head too is read twice: the row of the token, and all rows.
      const again = config.tied ? 4 * config.embeddingWidth : 0
      const expected = bytesThatMatter(model, run) + again
      const architecture = architectureOf('drawn', config)
      const actual = reads(architecture, 'f32', mask, { bytes: 0, every: 'once', tokens: 1 })
      if (Math.abs(actual - expected) > 1e-6) throw new Error(`bytes: expected ${expected}, got ${actual}`)
    } finally {
      model.dispose()
    }
  },
  { runs: casesAtTier(20, 100) },
)

/**
 * Under a mask of channels a token leaves rows of out and fc2 unread: those whose numbers, after the prompt, change no logit (a zero
 * times NaN is NaN, so these are finite). So
 * say the bytes, and the share of weights that is skipped.
 */
function checkChannels(reads: Reads, model: LanguageModel, planner: MaskPlanner): void {
  const { config, backend } = model
  let mask: UnitMask | null = null
  const run = (poison: () => void = () => {}): string => {
    using sequence = model.begin({ planner, mode: 'skip' })
    sequence.feed(Int32Array.of(1), 'none')
    poison()
    const logits = sequence.feed(Int32Array.of(2)).join()
    mask = sequence.mask
    return logits
  }
  const usual = run()
  const { width: D } = config
  // No norm takes it for the row it replaces, whatever the activation is.
  const other = Float32Array.from({ length: D }, (_, d) => (d % 2 === 0 ? 1 : -1) * (1 + d))
  let unread = 0
  for (let layer = 0; layer < config.layers; layer++)
    for (const module of ['out', 'fc2'] as const) {
      const buffer = valuesOf(heldMatrix(model, layer, module))
      const values = backend.readF32(buffer)
      for (let at = 0; at < values.length; at += D) {
        if (run(() => backend.write(buffer, other, at)) === usual) unread++
        backend.write(buffer, values.slice(at, at + D), at)
      }
    }
  const architecture = architectureOf('drawn', config)
  const asked = { bytes: 0, every: 'once', tokens: 1 } as const
  const expected = reads(architecture, 'f32', null, asked) - 4 * D * unread
  const actual = reads(architecture, 'f32', mask, asked)
  if (actual !== expected) throw new Error(`bytes: expected ${expected}, got ${actual}`)
  const { layers: L, heads: H, keyHeads: G, headSize: K, neurons: F, gated } = config
  const share = unread / (L * (2 * H * K + 2 * G * K + (gated ? 3 : 2) * F))
  const skipped = achievedSparsity(mask as unknown as UnitMask, config).weights
  if (Math.abs(skipped - share) > 1e-9) throw new Error(`weights: expected ${share}, got ${skipped}`)
}

stateLaw(readsMatter, tokenReads)

test('bytes of skipped heads, of key heads that no head reads, of all channels, and of a vocabulary less: killed', async () => {
  await kills(readsMatter, (model, storage, _mask, asked) => tokenReads(model, storage, null, asked))
  await kills(readsMatter, (model, storage, mask, asked) =>
    tokenReads({ ...model, keyHeads: model.heads }, storage, mask, asked),
  )
  await kills(readsMatter, (model, storage, mask, asked) =>
    tokenReads(model, storage, mask && makeMask(mask.shape, mask.heads, mask.neurons), asked),
  )
  await kills(readsMatter, (model, storage, mask, asked) =>
    tokenReads({ ...model, vocabulary: model.vocabulary - 1 }, storage, mask, asked),
  )
})

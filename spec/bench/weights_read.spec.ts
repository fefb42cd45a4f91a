/**
 * The bytes of weights that a token is said to read are those of the rows whose poisoning with NaN changes its logits.
 *
 * Tests src/bench/rows.ts, src/bench/cost/token_cost.ts, src/bench/cost/architectures.ts and src/masks/achieved.ts.
 */
import fc from 'fast-check'
import { test } from 'vitest'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { architectureOf } from '../../src/bench/cost/architectures.ts'
import { tokenReads } from '../../src/bench/rows.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import type { Sequence } from '../../src/engine/sequence.ts'
import { makeMask, type UnitMask } from '../../src/masks/mask.ts'
import type { MaskPlanner } from '../../src/masks/planner.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import {
  anyMask,
  channelMaskOf,
  channelSchedule,
  engineCase,
  made,
  maskOf,
  type ChannelSchedule,
} from '../../src/verify/model/engine_cases.ts'
import { Data } from '../harness/data.ts'
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
  chooseChannels: (layer, site, x) => channelMaskOf(schedule, 1, layer, site, x.length),
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
  [engineCase, fc.constantFrom('dense', 'units', 'channels'), anyMask, channelSchedule],
  async (reads: Reads, sizes, kind, skip, schedule) => {
    // A norm of one channel gives the same whatever it reads, of two nearly so.
    const drawn = { ...sizes, headSize: 2 + sizes.headSize }
    const { config, tensors } = made({ ...drawn, tokens: [1, 2], vocabulary: Math.max(3, drawn.vocabulary) })
    const data = new Data(drawn.numbers.length)
    // No number is zero, none is like its neighbours, and no neuron of OPT is off: a term of zero is left out.
    for (const [name, { values }] of tensors)
      for (let i = 0; i < values.length; i++)
        if (name.endsWith('fc1.bias')) values[i] = 40 + i
        else values[i] = data.uniform() + 0.25
    const backend = new ReferenceBackend()
    const model = await LanguageModel.load(config, memorySource(tensors), backend)
    const given = kind === 'units' ? keepsOne(maskOf(drawn, skip)) : null
    const planner = kind === 'channels' ? channelPlanner(schedule) : null
    const run = (): { logits: Float32Array; mask: UnitMask | null } => {
      let sequence: Sequence | null = null
      try {
        sequence = model.begin({ mask: given, planner, mode: 'skip' })
        // What a prompt of NaN leaves in the cache would hide what the token itself reads.
        if (planner) sequence.feed(Int32Array.of(1), 'none')
        const logits = sequence.feed(Int32Array.of(2))
        return { logits, mask: sequence.mask }
      } finally {
        sequence?.dispose()
      }
    }
    try {
      if (planner) return checkChannels(reads, model, run().mask as UnitMask)
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
  { runs: casesAtTier(20, 300) },
)

/** Under a mask of channels, rows of out and fc2 are left unread for each masked channel, and nothing else. */
function checkChannels(reads: Reads, { config }: LanguageModel, mask: UnitMask): void {
  const architecture = architectureOf('drawn', config)
  const asked = { bytes: 0, every: 'once', tokens: 1 } as const
  const whole = reads(architecture, 'f32', null, asked)
  const { channels } = mask
  const zeros = [...(channels?.heads ?? []), ...(channels?.activations ?? [])].filter((kept) => kept === 0)
  const expected = whole - 4 * config.width * zeros.length
  const actual = reads(architecture, 'f32', mask, asked)
  if (actual !== expected) throw new Error(`bytes: expected ${expected}, got ${actual}`)
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

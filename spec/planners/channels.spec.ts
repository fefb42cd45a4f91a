/**
 * teal and wina against the specification of both (src/spec/channels.ts), and the masks of both against a computation in
 * float64 from what Hugging Face exported. That the engine carries such masks out is a law of the engine (laws.spec.ts).
 *
 * Tests src/engine/column_norms.ts, src/planners/channels.ts, src/planners/teal.ts, src/planners/wina.ts and
 * src/spec/channels.ts.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { valuesOf } from '../../src/backends/calls.ts'
import { makeBudget, type Budget } from '../../src/masks/budget.ts'
import { channelSites, type ChannelSite } from '../../src/masks/channels.ts'
import type { MaskPlanner } from '../../src/masks/planner.ts'
import { columnNorms } from '../../src/engine/column_norms.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { moduleName, type Module } from '../../src/verify/model/modules.ts'
import { heldMatrix } from '../engine/held_matrix.ts'
import { promptMask } from '../../src/planners/leaky.ts'
import { magnitudeThreshold, tealPlanner } from '../../src/planners/teal.ts'
import { winaPlanner } from '../../src/planners/wina.ts'
import {
  columnNorms as plainColumnNorms,
  reading,
  teal,
  wina,
  type ChannelBudget,
  type Channels,
  type Site,
} from '../../src/spec/channels.ts'
import type { Model } from '../../src/spec/model.ts'
import { maskUnits } from '../../src/spec/plain.ts'
import type { HostTensor } from '../../src/tensor/memory_source.ts'
import { lawForAll } from '../../src/verify/law.ts'
import { forAll, withModel, type ModelLaw } from '../../src/verify/model/cases.ts'
import {
  anyCache,
  anyStorage,
  channelMaskOf,
  channelSchedule,
  cuts,
  endsOf,
  engineCase,
  feedInParts,
  made,
  withEngine,
} from '../../src/verify/model/engine_cases.ts'
import { plainModel } from '../../src/verify/model/plain_model.ts'
import { findsEach, smallCase, stateLaws } from '../engine/cases.ts'
import { get, getIds, isLlama, readCase, type Variant } from '../golden/golden.ts'
import { goldenConfig, goldenTensors, layerOf, withGolden } from '../golden/model.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { kills, killsEach, stateLaw } from '../harness/seed.ts'

// ---- Thresholds -----------------------------------------------------------------------------------------------------------

type Threshold = typeof magnitudeThreshold

const isQuantile = lawForAll(
  'the threshold of activations is the last of their share in order of size; of no share it is -Infinity',
  {
    drawn: fc.array(fc.oneof(fc.integer({ min: -3, max: 3 }), fc.float({ min: -4, max: 4, noNaN: true })), {
      minLength: 1,
      maxLength: 60,
    }),
    twentieths: fc.integer({ min: 0, max: 20 }),
  },
  (threshold: Threshold, { drawn, twentieths }): void => {
    const sizes = Float32Array.from(drawn, Math.abs).toSorted()
    const masked = Math.floor((twentieths * drawn.length) / 20)
    const given = Float32Array.from(drawn)
    expect(threshold(given, twentieths / 20)).toBe(masked === 0 ? -Infinity : sizes[masked - 1])
    expect(given).toEqual(Float32Array.from(drawn))
  },
  { runs: 300 },
)
stateLaw(isQuantile, magnitudeThreshold)

killsEach('a threshold that %s: killed', isQuantile, {
  'has one activation more below it': (x, share) => magnitudeThreshold(x, Math.min(1, share + 1 / x.length)),
  'counts from the largest': (x, share) => magnitudeThreshold(x, 1 - share),
  'goes by signed numbers': (x, share) =>
    magnitudeThreshold(
      x.map((value) => value + 8),
      share,
    ) - 8,
})

// ---- The planners ---------------------------------------------------------------------------------------------------------

type Make = (model: LanguageModel, budget: Budget) => MaskPlanner

/** A planner of the engine masks as a rule of the specification does. */
function follows(
  name: string,
  make: Make,
  rule: (budget: ChannelBudget, model: Model) => Channels,
): ModelLaw {
  return forAll(
    `${name} masks after the prompt what its specification masks, in every layer that is not dense, whatever weights are stored as`,
    {
      drawn: engineCase,
      sparsity: fc.oneof(
        fc.integer({ min: 0, max: 20 }).map((n) => n / 20),
        fc.double({ min: 0, max: 1, noNaN: true }),
      ),
      denseLayers: fc.nat({ max: 2 }),
      storage: anyStorage,
      cache: anyCache,
      parts: cuts,
    },
    async (subject, { drawn, sparsity, denseLayers, storage, cache, parts }) => {
      const { config, tensors, tokens } = made(drawn)
      const [prompt] = endsOf(tokens, parts)
      const plain = plainModel(config, tensors, storage, cache)
      const channels = rule({ sparsity, denseLayers, prompt }, plain)
      const { logits } = plain.forward(tokens, null, reading(plain, channels))
      await withEngine(subject, config, tensors, { storage }, (model, compare) => {
        const planner = make(model, makeBudget(sparsity, { denseLayers }))
        compare('logits', feedInParts(model, tokens, parts, { planner, cache }), logits.data)
      })
    },
  )
}

const followsTeal = (make: Make = (_, budget) => tealPlanner(budget)): ModelLaw =>
  follows('teal', make, (budget) => teal(budget))
const followsWina = (make: Make = (model, budget) => winaPlanner(model, budget)): ModelLaw =>
  follows('wina', make, (budget, plain) => wina(budget, (l, site) => plainColumnNorms(plain, l, site)))

stateLaws('channels', { followsTeal: followsTeal(), followsWina: followsWina() })

/** A planner that chooses by activations and norms that are not those it should go by. */
function choosingBy(
  scores: (x: Float32Array, model: LanguageModel, layer: number, site: ChannelSite) => Float32Array,
): Make {
  return (model, budget) => {
    const { choose } = winaPlanner(model, budget)
    return {
      ...winaPlanner(model, budget),
      by: 'channels',
      choose(layer, site, x, summary) {
        const norms = columnNorms(model, layer, site)
        // The planner multiplies by the norms again.
        const wanted = scores(x, model, layer, site)
        return choose(
          layer,
          site,
          wanted.map((score, i) => (norms[i] === 0 ? 0 : score / norms[i])),
          summary,
        )
      },
    }
  }
}

/** The norms of the first C rows of a site's first matrix, where they can be read. */
function rowNorms(model: LanguageModel, layer: number, site: ChannelSite, C: number): Float32Array {
  const module = ({ attention: 'query', heads: 'out', ffn: 'fc1', activations: 'fc2' } as const)[site]
  const weight = heldMatrix(model, layer, module)
  const { backend } = model
  const { dtype } = valuesOf(weight)
  const isTurned = site === 'heads' || site === 'activations'
  const norms = new Float32Array(C).fill(1)
  if (dtype !== 'f32') return columnNorms(model, layer, site)
  const D = model.config.width
  const values = backend.readF32(valuesOf(weight))
  const at = (row: number, i: number): number => (isTurned ? values[i * D + (row % D)] : values[row * D + i])
  const [rows, columns] = isTurned ? [D, values.length / D] : [values.length / D, D]
  return norms.map((_, row) => Math.hypot(...Array.from({ length: columns }, (_, i) => at(row % rows, i))))
}

findsEach('%s: killed', followsTeal, {
  'teal keeps what is small': (_, budget) => {
    const right = tealPlanner(budget)
    return {
      ...right,
      by: 'channels',
      choose: (layer, ...shown) =>
        layer < budget.denseLayers
          ? right.choose(layer, ...shown)
          : right.choose(layer, ...shown).map((kept) => 1 - kept),
    }
  },
  'teal keeps large activations of one sign only': (_, budget) => ({
    ...tealPlanner(budget),
    by: 'channels',
    choose: (_layer, _site, x, [threshold = -Infinity]) => x.map((value) => (value > threshold ? 1 : 0)),
  }),
  'teal takes the threshold from the last token of the prompt': (_, budget) => {
    const right = tealPlanner(budget)
    return {
      ...right,
      summarize: (layer, site, x, tokens) =>
        right.summarize?.(layer, site, x.slice(x.length - x.length / tokens), 1) ?? expect.unreachable(),
    }
  },
  'teal has one threshold for all sites': (_, budget) => {
    const right = tealPlanner(budget)
    let first: Float32Array
    return {
      ...right,
      by: 'channels',
      choose(layer, site, x, summary) {
        if (site === 'attention') first = summary
        return right.choose(layer, site, x, first)
      },
    }
  },
  'teal masks dense layers': (_, budget) => tealPlanner({ ...budget, denseLayers: 0 }),
  'teal masks half of what is asked': (_, budget) =>
    tealPlanner({ ...budget, neuronSparsity: budget.neuronSparsity / 2 }),
  'teal gives every token the mask of the first': (_, budget) => {
    const right = tealPlanner(budget)
    const first = new Map<string, Float32Array>()
    return {
      ...right,
      by: 'channels',
      choose(layer, site, ...shown) {
        const mask = first.get(`${layer} ${site}`) ?? right.choose(layer, site, ...shown)
        first.set(`${layer} ${site}`, mask)
        return mask
      },
    }
  },
})

findsEach('%s: killed', followsWina, {
  'wina goes by activations alone': choosingBy((x) => x.map(Math.abs)),
  'wina goes by the norms of rows': choosingBy((x, model, layer, site) => {
    const norms = rowNorms(model, layer, site, x.length)
    return x.map((value, i) => Math.abs(value) * norms[i])
  }),
  'wina goes by squared norms': choosingBy((x, model, layer, site) => {
    const norms = columnNorms(model, layer, site)
    return x.map((value, i) => Math.abs(value) * norms[i] ** 2)
  }),
  'wina goes by the norms of the first layer': choosingBy((x, model, _layer, site) => {
    const norms = columnNorms(model, 0, site)
    return x.map((value, i) => Math.abs(value) * norms[i])
  }),
  'wina masks dense layers': (model, budget) => winaPlanner(model, { ...budget, denseLayers: 0 }),
  'wina keeps the last of equal channels': (model, budget) =>
    winaPlanner(model, budget, (scores, count) => {
      const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a] || b - a)
      return Int32Array.from(order.slice(0, count)).sort()
    }),
})

test('a sequence that was rewound chooses channels as before, keeps the masks that it gave, and leaves nothing behind', () =>
  withModel({ backend: new ReferenceBackend(), load: LanguageModel.load }, smallCase, (model) => {
    const { backend } = model
    for (const planner of [tealPlanner(makeBudget(0.5)), winaPlanner(model, makeBudget(0.5))]) {
      const before = backend.liveBuffers
      const sequence = model.begin({ planner })
      sequence.feed(Int32Array.of(3, 4), 'none')
      const { channels } = sequence.mask ?? expect.unreachable()
      const given = structuredClone(channels)
      const text = Int32Array.of(5, 6, 7)
      const logits = sequence.feed(text, 'all')
      expect(sequence.mask?.channels).not.toEqual(given)
      expect(channels).toEqual(given)
      sequence.rewind(2)
      sameBits('logits', sequence.feed(text, 'all'), logits)
      sequence.dispose()
      expect(backend.liveBuffers).toBe(before)
    }
  }))

test('a mask with input channels is refused in place of a planner', () =>
  withModel({ backend: new ReferenceBackend(), load: LanguageModel.load }, smallCase, (model) => {
    const mask = promptMask(model, tealPlanner(makeBudget(0.5)), Int32Array.of(3, 4))
    expect(() => model.begin({ mask })).toThrow(expect.objectContaining({ code: 'MASK_SHAPE' }))
  }))

// ---- What a masked channel is ---------------------------------------------------------------------------------------------

type Forward = (model: Model, tokens: Int32Array, channels: Channels) => Float32Array

/** The modules that read a site. */
const readers: Readonly<Record<Site, readonly Module[]>> = {
  attention: ['query', 'key', 'value'],
  heads: ['out'],
  ffn: ['fc1', 'up'],
  activations: ['fc2'],
}

const isColumnOfZeros = lawForAll(
  'a channel that is left out at every token is a column of zeros in every matrix that reads it, in both families',
  { drawn: engineCase, schedule: channelSchedule },
  (forward: Forward, { drawn, schedule }) => {
    const { config, tensors, tokens } = made(drawn)
    const maskOf = (l: number, site: Site, C: number): Float32Array => channelMaskOf(schedule, 0, l, site, C)
    const masked = forward(plainModel(config, tensors, 'f32', 'f32'), tokens, (l, site, x) =>
      maskUnits(x, maskOf(l, site, x.shape[1])),
    )
    const zeroed = new Map(tensors)
    for (let l = 0; l < config.layers; l++)
      for (const [site, modules] of Object.entries(readers) as [Site, Module[]][])
        for (const module of modules) {
          if (module === 'up' && !config.gated) continue
          const name = `${moduleName(config, l, module)}.weight`
          const { shape, values } = tensors.get(name) as HostTensor
          const mask = maskOf(l, site, shape[1])
          zeroed.set(name, { shape, values: values.map((value, n) => value * mask[n % shape[1]]) })
        }
    const { logits } = plainModel(config, zeroed, 'f32', 'f32').forward(tokens, null)
    sameBits('logits', masked, logits.data)
  },
  { runs: 200 },
)
const forwardMasked: Forward = (model, tokens, channels) =>
  model.forward(tokens, null, reading(model, channels)).logits.data
stateLaw(isColumnOfZeros, forwardMasked)

test.each<[string, Forward]>([
  ...channelSites.map((skipped): [string, Forward] => [
    `leaves out none of ${skipped}`,
    (model, tokens, channels) =>
      forwardMasked(model, tokens, (l, site, x) => (site === skipped ? x : channels(l, site, x))),
  ]),
  [
    'leaves out those of the layer before',
    (model, tokens, channels) =>
      forwardMasked(model, tokens, (l, site, x) => channels(Math.max(0, l - 1), site, x)),
  ],
])('a masked channel that %s: killed', (_, mutant) => kills(isColumnOfZeros, mutant))

// ---- Masks of exported activations ----------------------------------------------------------------------------------------

type Rows = readonly (readonly number[])[] // [T, C]

/** What each site of a layer reads, in float64, from what Hugging Face exported of a dense pass. */
function exportedReads(variant: Variant, l: number): Record<ChannelSite, Rows> {
  const tensors = readCase(variant, 'single')
  const config = goldenConfig(variant)
  const weights = goldenTensors(variant)
  const numbersOf = (module: Module, part: 'weight' | 'bias'): Float32Array | undefined =>
    weights.get(`${moduleName(config, l, module)}.${part}`)?.values as Float32Array | undefined
  const rowsOf = (values: ArrayLike<number>, width: number): number[][] =>
    Array.from({ length: values.length / width }, (_, t) =>
      Array.from({ length: width }, (_, i) => values[t * width + i]),
    )
  const ofLayer = (name: string): number[][] => {
    const { values, shape } = get(tensors, name)
    return rowsOf(layerOf(values, l, shape[0]), shape[3])
  }
  const norm = (module: Module, row: readonly number[]): number[] => {
    const [weight, bias] = [numbersOf(module, 'weight') as Float32Array, numbersOf(module, 'bias')]
    const mean = isLlama(variant) ? 0 : row.reduce((sum, value) => sum + value, 0) / row.length
    const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / row.length
    const scale = 1 / Math.sqrt(variance + config.epsilon)
    return row.map((value, i) => (value - mean) * scale * weight[i] + (bias?.[i] ?? 0))
  }
  const input = rowsOf(get(tensors, `hidden.${l}`).values, config.width)
  const heads = ofLayer('head_out')
  const [out, bias] = [numbersOf('out', 'weight') as Float32Array, numbersOf('out', 'bias')]
  const middle = input.map((row, t) =>
    row.map((value, o) =>
      heads[t].reduce((sum, x, i) => sum + x * out[o * heads[t].length + i], value + (bias?.[o] ?? 0)),
    ),
  )
  return {
    attention: input.map((row) => norm('attentionNorm', row)),
    heads,
    ffn: middle.map((row) => norm('ffnNorm', row)),
    activations: ofLayer(isLlama(variant) ? 'ffn_act' : 'fc1_act'),
  }
}

/** Expects a mask to be by these scores and a cut-off; what is nearer to it than rounding may be on either side. */
function expectCut(mask: Float32Array, scores: readonly number[], cutoff: number): number {
  const near = 1e-4 * Math.max(...scores)
  let judged = 0
  for (const [i, score] of scores.entries()) {
    if (Math.abs(score - cutoff) <= near) continue
    judged++
    if (mask[i] !== (score > cutoff ? 1 : 0))
      throw new Error(`channel ${i}: score ${score}, cut-off ${cutoff}, got ${mask[i]}`)
  }
  return judged
}

test.each(['preln', 'llama_gqa', 'llama_mha', 'mistral'] as const)(
  'teal and wina mask the last token of a prompt by the activations that Hugging Face exported: %s',
  (variant) =>
    withGolden(variant, new ReferenceBackend(), (model) => {
      const prompt = getIds(readCase(variant, 'single'), 'input_ids')
      const budget = makeBudget(0.4, { denseLayers: 0 })
      const weights = goldenTensors(variant)
      const masks = [tealPlanner(budget), winaPlanner(model, budget)].map(
        (planner) => promptMask(model, planner, prompt).channels ?? expect.unreachable(),
      )
      let [judged, all] = [0, 0]
      for (let l = 0; l < model.config.layers; l++)
        for (const [site, rows] of Object.entries(exportedReads(variant, l)) as [ChannelSite, Rows][]) {
          const last = (rows.at(-1) as readonly number[]).map(Math.abs)
          const C = last.length
          const maskOf = (which: number): Float32Array => masks[which][site].subarray(l * C, (l + 1) * C)
          const sizes = rows
            .flat()
            .map(Math.abs)
            .toSorted((a, b) => a - b)
          judged += expectCut(maskOf(0), last, sizes[Math.floor(0.4 * sizes.length + 1e-9) - 1])
          const modules = readers[site].filter((module) => module !== 'up' || model.config.gated)
          const norms = last.map((_, i) =>
            Math.sqrt(
              modules
                .map((module) => weights.get(`${moduleName(model.config, l, module)}.weight`) as HostTensor)
                .flatMap(({ values, shape: [O, I] }) =>
                  Array.from({ length: O }, (_, o) => values[o * I + i] ** 2),
                )
                .reduce((sum, square) => sum + square, 0),
            ),
          )
          const scores = last.map((size, i) => size * norms[i])
          const masked = Math.floor(0.4 * C + 1e-9)
          const inOrder = scores.toSorted((a, b) => a - b)
          judged += expectCut(maskOf(1), scores, (inOrder[masked - 1] + inOrder[masked]) / 2)
          all += 2 * C
        }
      expect(judged / all).toBeGreaterThan(0.7)
    }),
)

/**
 * Bugs a model is likely to have, planted one at a time; each must break the laws named beside it, and every law of the
 * chapter must be broken by one of them. A law that nothing breaks is no law.
 *
 * A bug is planted in an op of the backend or in the loaded model, never by editing code, on the reference backend.
 *
 * Tests src/verify/model/cases.ts, src/verify/model/check_laws.ts, src/verify/model/engine_cases.ts,
 * src/verify/model/engine_laws.ts, src/verify/model/finite_differences.ts, src/verify/model/gradient_laws.ts,
 * src/verify/model/mask_laws.ts, src/verify/model/planner_laws.ts, src/verify/model/sequence_laws.ts and
 * src/verify/model/storage_laws.ts.
 */
import { expect, test } from 'vitest'
import type { Buffer, StoredBuffer } from '../../src/backends/backend.ts'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { valuesOf } from '../../src/backends/calls.ts'
import { denseMask, makeMask } from '../../src/masks/mask.ts'
import { ways } from '../../src/masks/planner.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { ShadowError } from '../../src/tensor/errors.ts'
import { type Load, type ModelLaw, type Subject } from './cases.ts'
import { checkLaws } from '../../src/verify/model/check_laws.ts'
import { engineLaws } from '../../src/verify/model/engine_laws.ts'
import { gradientLaws } from '../../src/verify/model/gradient_laws.ts'
import { mutateKernel } from '../harness/mutate.ts'
import { firstFailure, killingRuns } from '../harness/seed.ts'
import { channelMutants } from './channel_mutants.ts'
import { holdingMutants } from './holding_mutants.ts'
import { llamaMutants } from './llama_mutants.ts'
import { maskLaws } from '../../src/verify/model/mask_laws.ts'
import { outsideLaws } from './outside_laws.ts'
import {
  firstHeard,
  type Mutants,
  shiftLayers,
  wrongBackend,
  wrongBegin,
  wrongLoad,
  wrongOps,
  wrongPlanner,
  wrongPlannerBy,
  wrongPositions,
} from './plant.ts'
import { plannerLaws } from '../../src/verify/model/planner_laws.ts'
import { sequenceLaws } from '../../src/verify/model/sequence_laws.ts'
import { storageLaws } from '../../src/verify/model/storage_laws.ts'
import { heldMatrix } from './held_matrix.ts'

const laws = {
  ...engineLaws,
  ...maskLaws,
  ...plannerLaws,
  ...checkLaws,
  ...sequenceLaws,
  ...storageLaws,
  ...gradientLaws,
  ...outsideLaws,
}
type LawName = keyof typeof laws

const sharedMutants: Mutants<LawName> = {
  'a mask is carried out one layer too early': {
    plant: wrongBegin(
      (right) =>
        ({ mask, ...rest } = {}) =>
          right({ ...rest, mask: mask && shiftLayers(mask) }),
    ),
    breaks: ['maskedIsZeroed', 'engineLogits'],
  },
  'any mask costs the last head': {
    plant: wrongBegin((right) => ({ mask, ...rest } = {}) => {
      const heads = mask?.heads.slice().fill(0, mask.heads.length - 1)
      return right({ ...rest, mask: mask && heads && makeMask(mask.shape, heads, mask.neurons) })
    }),
    breaks: ['maskedIsZeroed', 'engineLogits'],
  },
  'simulate forgets the mask': {
    plant: wrongBegin(
      (right) => (options) => right(options?.mode === 'simulate' ? { ...options, mask: null } : options),
    ),
    breaks: ['maskedIsZeroed', 'engineLogits'],
  },
  'q, k, v and fc1 run every row and out_proj and fc2 every input, because skipped ones give zero anyway': {
    plant: wrongOps((right) => ({
      linear: (y, x, weight, bias) => right.linear(y, x, weight, bias, null),
      linear_input_major: (y, x, weight, bias) => right.linear_input_major(y, x, weight, bias, null),
    })),
    breaks: ['skippedCannotMatter', 'fixedNeedsNoMore'],
  },
  'nothing chosen means nothing added, not even the bias': {
    plant: wrongOps((right) => ({
      linear_input_major: (y, x, weight, bias, inputs) => {
        const count = inputs?.length ?? x.shape[1]
        right.linear_input_major(y, x, weight, count === 0 ? null : bias, inputs)
      },
    })),
    breaks: ['maskedIsZeroed', 'engineLogits'],
  },
  'the planner is shown the last token only': {
    plant: wrongPlannerBy('attention', ({ choose }, { config }) => ({
      choose: ({ context, tokens, ids }) =>
        choose({ context: context.subarray((tokens - 1) * config.width), tokens: 1, ids }),
    })),
    breaks: ['engineSchedule'],
  },
  'a planner is asked again one token late': {
    plant: wrongPlanner((planner) => ({ ...planner, every: planner.every && planner.every + 1 })),
    breaks: ['engineSchedule'],
  },
  'a planner asked again changes nothing: the mask of the prompt stays': {
    plant: wrongPlanner((planner) => firstHeard(planner, () => 0)),
    breaks: ['engineSchedule'],
  },
  'a feed is not cut: what the planner says at its first token holds to its end': {
    plant: wrongPlanner(firstHeard),
    breaks: ['engineSchedule', 'engineDejavu'],
  },
  'a layer is decided by the stream that enters it, not one layer ahead': {
    plant: wrongPlannerBy('layer', ({ choose }) => ({
      // The stream of a layer is shown once more as that of the layer before it.
      choose(layer, ...shown) {
        if (layer > 0) choose(layer - 1, ...shown)
        return choose(layer, ...shown)
      },
    })),
    breaks: ['engineDejavu'],
  },
  'a planner is asked one layer too early': {
    plant: wrongPlannerBy('attention', ({ sourceLayer = 0 }) => ({
      sourceLayer: Math.max(0, sourceLayer - 1),
    })),
    breaks: ['engineSchedule'],
  },
  'a prompt that is to run dense runs under its mask': {
    // Those that are shown what the prompt computes are refused where it is not to run dense.
    plant: wrongPlanner((planner) =>
      ways[planner.by].seesPrompt ? planner : { ...planner, prefill: 'masked' },
    ),
    breaks: ['engineSchedule'],
  },
  'the mask that is decided after the prompt is not applied': {
    plant: wrongPlannerBy('prompt', ({ choose }) => ({ choose: (view) => denseMask(choose(view).shape) })),
    breaks: ['engineSchedule'],
  },
  'activations of the first token are not summarised': {
    plant: wrongPlannerBy('prompt', ({ summarize }) => ({
      summarize: (activations, tokens, sums) =>
        tokens === 1
          ? summarize(activations, tokens, sums)
          : summarize(activations.subarray(activations.length / tokens), tokens - 1, sums),
    })),
    breaks: ['engineSchedule'],
  },
  'every layer has the summary of the first': {
    plant: wrongPlannerBy('prompt', ({ choose }, { config: { neurons } }) => ({
      choose: ({ summaries, ...view }) =>
        choose({ ...view, summaries: summaries.map((_, i) => summaries[i % neurons]) }),
    })),
    breaks: ['engineSchedule'],
  },
  'neurons that their gate leaves out are computed': {
    plant: wrongPlannerBy('gate', ({ choose }) => ({ choose: (...shown) => choose(...shown).fill(1) })),
    breaks: ['engineSchedule'],
  },
  'every token has the neurons that the first one chose': {
    plant: wrongPlannerBy('gate', ({ choose }) => {
      const first: Float32Array[] = []
      return { choose: (layer, ...shown) => (first[layer] ??= choose(layer, ...shown).slice()) }
    }),
    breaks: ['engineSchedule'],
  },
  'a planner is shown gates without their sign': {
    plant: wrongPlannerBy('gate', ({ choose }) => ({
      choose: (layer, gate, summary) => choose(layer, gate.map(Math.abs), summary),
    })),
    breaks: ['engineSchedule'],
  },
  'a planner that decides layer by layer is asked about the layer before': {
    plant: wrongPlannerBy('layer', ({ choose }) => ({
      choose: (layer, ...shown) => choose(Math.max(0, layer - 1), ...shown),
    })),
    breaks: ['engineSchedule'],
  },
  'the logits of the first token are those handed back as the last': {
    plant: wrongBegin((right, { config }) => (options) => {
      const sequence = right(options)
      const feed = sequence.feed.bind(sequence)
      sequence.feed = (tokens, wanted = 'last') =>
        wanted === 'last' ? feed(tokens, 'all').slice(0, config.vocabulary) : feed(tokens, wanted)
      return sequence
    }),
    breaks: ['engineLogits'],
  },
  'keys and values exist only for the heads whose queries were wanted': {
    plant: () => {
      const queries = new Set<StoredBuffer>()
      const keysAndValues = new Set<StoredBuffer>()
      let wanted: Buffer | null = null
      let queryWidth = 0
      const { backend } = wrongOps((right) => ({
        linear(y, x, weight, bias, rows) {
          if (queries.has(weight)) wanted = rows
          const isWanted = keysAndValues.has(weight) && y.shape[1] === queryWidth
          if (queries.has(weight)) queryWidth = y.shape[1]
          right.linear(y, x, weight, bias, (isWanted ? wanted : null) ?? rows)
        },
      }))()
      const load: Load = async (...args) => {
        const model = await LanguageModel.load(...args)
        for (let layer = 0; layer < model.config.layers; layer++) {
          queries.add(heldMatrix(model, layer, 'query'))
          for (const module of ['key', 'value'] as const) keysAndValues.add(heldMatrix(model, layer, module))
        }
        return model
      }
      return { backend, load }
    },
    breaks: ['engineSchedule'],
  },
  'fc2 and out_proj leave out their last input': {
    plant: wrongOps((right, backend) => ({
      linear_input_major(y, x, weight, bias, inputs) {
        const [, I] = x.shape
        // Weights that round activations in steps have a law of their own.
        if (inputs || I < 2 || valuesOf(weight).dtype !== 'f32')
          return right.linear_input_major(y, x, weight, bias, inputs)
        const list = backend.upload(Int32Array.from({ length: I - 1 }, (_, i) => i))
        right.linear_input_major(y, x, weight, bias, list)
        backend.free(list)
      },
    })),
    breaks: ['neuronOrder', 'golden', 'parameters', 'engineLogits'],
  },
  'a token sees the one after it': {
    plant: wrongOps((right) => ({
      attention: (y, q, k, v, heads, keyHeads, scale, cap, S, W) => {
        const { dtype, shape } = valuesOf(k)
        const seen = dtype === 'f32' ? Math.min(S + 1, shape[1]) : S
        right.attention(y, q, k, v, heads, keyHeads, scale, cap, seen, W)
      },
    })),
    breaks: ['engineLogits', 'anyRun'],
  },
  'later tokens are cached one position too early': {
    plant: wrongOps((right) => ({
      cache_append: (cache, x, heads, P) =>
        right.cache_append(cache, x, heads, 'scales' in cache ? P : Math.max(0, P - 1)),
    })),
    breaks: ['engineLogits', 'anyRun'],
  },
  'later tokens are cached as int8 one position too early': {
    plant: wrongOps((right) => ({
      cache_append: (cache, x, heads, P) =>
        right.cache_append(cache, x, heads, 'scales' in cache ? Math.max(0, P - 1) : P),
    })),
    breaks: ['engineLogits', 'anyRun'],
  },
  'a cache of int8 that grows leaves its scales behind': {
    plant: () => {
      let rows = 0 // heads whose rows have moved and whose scales have not
      return wrongBackend((right) => ({
        write(buffer, values, start) {
          if (values instanceof Int8Array) rows++
          else if (rows > 0) return void rows--
          right.write(buffer, values, start)
        },
      }))
    },
    breaks: ['engineLogits', 'anyRun'],
  },
  'positions go on from one sequence to the next': {
    plant: () => {
      let used = 0
      return wrongPositions(({ config }, past, T) => {
        const row = 2 + past + (used % (config.positions - past - T + 1))
        used += T
        return row
      })()
    },
    breaks: ['alone', 'engineLogits'],
  },
  'the offset of two positions is forgotten': {
    plant: wrongPositions((_model, past) => past),
    breaks: ['golden', 'agreement', 'engineLogits', 'engineGradients'],
  },
  'queries are not scaled': {
    plant: wrongOps((right) => ({
      attention: (y, q, k, v, heads, keyHeads, _scale, ...rest) =>
        right.attention(y, q, k, v, heads, keyHeads, 1, ...rest),
    })),
    breaks: ['golden', 'agreement', 'engineLogits'],
  },
  'the final norm is forgotten': {
    plant: wrongLoad(
      (load) =>
        (config, ...rest) =>
          load({ ...config, finalNorm: false }, ...rest),
    ),
    breaks: ['golden', 'agreement', 'engineLogits'],
  },
  'layer norms stand before each branch whatever the config says': {
    plant: wrongLoad(
      (load) =>
        (config, ...rest) =>
          load({ ...config, preNorm: true }, ...rest),
    ),
    breaks: ['golden', 'agreement'],
  },
  'what was to be forgotten is remembered': {
    plant: wrongBegin((right) => (options) => Object.assign(right(options), { rewind: () => {} })),
    breaks: ['rewound'],
  },
  'what is to run again dense runs under the mask': {
    plant: wrongBegin((right) => (options) => {
      const sequence = right(options)
      return Object.assign(sequence, { feedDense: sequence.feed.bind(sequence) })
    }),
    breaks: ['checkedText', 'denseAgain'],
  },
  'a dense check reads the logits of the token before': {
    plant: wrongBegin((right, { config: { vocabulary } }) => (options) => {
      const sequence = right(options)
      const feedDense = sequence.feedDense.bind(sequence)
      sequence.feedDense = (...args) => {
        const logits = feedDense(...args)
        return logits.map((_, i) => logits[Math.max(i % vocabulary, i - vocabulary)])
      }
      return sequence
    }),
    breaks: ['checkedText', 'keptDraft', 'denseAgain'],
  },
  'a planner does not wait for a shift of attention': {
    plant: wrongPlanner(({ shift: _shift, ...planner }) => planner),
    breaks: ['shifted', 'shiftBounds'],
  },
  'half of a shift is enough': {
    plant: wrongPlanner(({ shift, ...planner }) => ({
      ...planner,
      ...(shift !== undefined && { shift: shift / 2 }),
    })),
    breaks: ['shifted'],
  },
  'scores are shifted twice': {
    plant: wrongBegin((right) => (options) => {
      const sequence = right(options)
      const score = sequence.score.bind(sequence)
      sequence.score = (tokens, targets) =>
        score(
          tokens,
          targets.map((_, t) => targets[t + 1] ?? -100),
        )
      return sequence
    }),
    breaks: ['scoring'],
  },
  'relu lets negative numbers pass': {
    plant: wrongOps((right, backend) => ({
      relu(y, x) {
        const zeros = backend.allocate('f32', x.shape)
        right.add(y, x, zeros)
        backend.free(zeros)
      },
    })),
    breaks: ['golden', 'engineText'],
  },
  'of equal scores the last are kept': {
    plant: wrongOps((right, backend) => ({
      top_k(indices, scores) {
        const later = backend.upload(backend.readF32(scores).map((score, i) => score + i * 1e-6))
        right.top_k(indices, later)
        backend.free(later)
      },
    })),
    breaks: ['engineSelection'],
  },
  'of equal scores the last are kept, however near the others are': {
    plant: () => ({
      load: LanguageModel.load,
      backend: mutateKernel(new ReferenceBackend(), 'top_k', (top_k) => (indices, scores, N, R) => {
        top_k(indices, scores.toReversed(), N, R)
        indices.set(indices.map((unit) => N - 1 - unit).toReversed())
      }),
    }),
    breaks: ['engineSelection'],
  },
  'weights do not decay': {
    plant: wrongOps((right) => ({
      adamw_step: (weight, mean, square, grad, rate, beta1, beta2, epsilon, _decay, ...rest) =>
        right.adamw_step(weight, mean, square, grad, rate, beta1, beta2, epsilon, 0, ...rest),
    })),
    breaks: ['engineTraining', 'engineLearning'],
  },
  'keys receive no gradient': {
    plant: wrongOps((right, backend) => ({
      attention_backward(query, key, ...rest) {
        right.attention_backward(query, key, ...rest)
        backend.zero(key)
      },
    })),
    breaks: ['parameters', 'agreement', 'engineGradients', 'engineLearning'],
  },
  'gradients pass through neurons that are off': {
    plant: wrongOps((right, backend) => ({
      relu_backward(x_grad, y_grad) {
        const zeros = backend.allocate('f32', y_grad.shape)
        right.add(x_grad, y_grad, zeros)
        backend.free(zeros)
      },
    })),
    breaks: ['parameters', 'agreement', 'engineGradients'],
  },
  'gradients do not pass through the mask': {
    plant: wrongOps((right) => {
      let forward = true
      return {
        cross_entropy_backward(...args) {
          forward = false
          right.cross_entropy_backward(...args)
        },
        embedding(...args) {
          forward = true
          right.embedding(...args)
        },
        mask_units(y, x, mask) {
          if (forward) return right.mask_units(y, x, mask)
          right.add(y, x, x)
        },
      }
    }),
    breaks: ['agreement', 'engineGradients'],
  },
  'the embedding of padding is trained like any other': {
    plant: () =>
      wrongBackend((right) => ({
        // Loading writes numbers; only that embedding's gradient is overwritten by zeros.
        write: (to, values, start) => values.every((value) => value === 0) || right.write(to, values, start),
      })),
    breaks: ['padding'],
  },
}

const all: readonly Mutants<LawName>[] = [holdingMutants, channelMutants, llamaMutants, sharedMutants]
const mutants = all.flatMap((some) => Object.entries(some))

/** Whether a law finds fault. An error of the project or a crash is no verdict and is handed on. */
async function breaksLaw(subject: Subject, law: ModelLaw, runs = law.runs): Promise<boolean> {
  const failure = await firstFailure(law, subject, runs)
  if (failure === null) return false
  const { error } = failure
  if (error instanceof ShadowError || error instanceof TypeError) throw error
  return true
}

for (const [bug, { plant, breaks }] of mutants)
  test(`${bug}: breaks ${breaks.join(', ')}`, async () => {
    for (const name of breaks)
      expect(await breaksLaw(plant(), laws[name], killingRuns(laws[name])), name).toBe(true)
  })

test('every law of this chapter is broken by a mutant', () => {
  const broken = new Set(mutants.flatMap(([, { breaks }]) => breaks))
  expect(Object.keys(laws).filter((name) => !broken.has(name as LawName))).toEqual([])
})

test('a backend in which nothing is planted keeps the laws', async () => {
  const subject = wrongBackend(() => ({}))
  for (const law of [laws.golden, laws.agreement, laws.maskedIsZeroed])
    expect(await breaksLaw(subject, law), law.sentence).toBe(false)
})

/**
 * Choosing a token: every draw is that of the definition, with a total order, exactly k tokens for top-k and the shortest prefix
 * for top-p. A seed repeats the draws.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  argmax,
  fillSampling,
  makeSampler,
  type Sampler,
  type SamplerOptions,
} from '../../src/engine/sampling.ts'
import { exp } from '../../src/ops/float32.ts'
import { Random } from '../../src/tensor/random.ts'
import { kills, killsEach, law, lawForAll, scaledRuns, stateLaw } from '../harness/seed.ts'

/** Logits with many ties. */
const someLogits = fc
  .array(fc.oneof(fc.integer({ min: -2, max: 2 }), fc.float({ min: -20, max: 20, noNaN: true })), {
    minLength: 1,
    maxLength: 40,
  })
  .map((values) => Float32Array.from(values))

/** The ids best first, by the definition: one comparison at a time. */
function ranking(logits: Float32Array): number[] {
  return [...logits.keys()].sort((a, b) => (logits[a] === logits[b] ? a - b : logits[a] < logits[b] ? 1 : -1))
}

/** Every id that occurs in many draws. */
function drawn(logits: Float32Array, options: SamplerOptions, draws = 300): Set<number> {
  const sampler = makeSampler({ temperature: 1, ...options })
  return new Set(Array.from({ length: draws }, () => sampler(logits)))
}

/** Logits as a model may give them: ties, constant values, infinities and NaN. */
const anyLogits = fc.oneof(
  someLogits,
  fc
    .tuple(fc.integer({ min: 1, max: 20 }), fc.integer({ min: -3, max: 3 }))
    .map(([length, value]) => new Float32Array(length).fill(value)),
  fc
    .array(fc.constantFrom(0, 1, -1, -200, NaN, -Infinity), { minLength: 1, maxLength: 12 })
    .filter((values) => values.some(Number.isFinite))
    .map((values) => Float32Array.from(values)),
  // More than a nucleus is first looked for in.
  fc
    .array(fc.float({ min: -2, max: 2, noNaN: true }), { minLength: 65, maxLength: 130, size: 'max' })
    .map((values) => Float32Array.from(values)),
)
const someOptions: fc.Arbitrary<SamplerOptions> = fc.record(
  {
    temperature: fc.constantFrom(0.01, 0.7, 1, 3, 1e6),
    topK: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 45 })),
    topP: fc.oneof(
      fc.constantFrom(0, 1e-9, 0.125, 0.25, 0.5, 0.75, 0.9, 0.999, 1),
      fc.double({ min: 1e-3, max: 1, noNaN: true }),
    ),
    minP: fc.constantFrom(0, 1e-6, 0.1, 0.5, 1),
    seed: fc.nat(),
  },
  { requiredKeys: ['temperature', 'seed'] },
)

/** Draws by the definition: inverse transform over the remaining tokens. */
function defined(logits: Float32Array, options: SamplerOptions, draws: number): number[] {
  const { temperature = 0, topK = Infinity, topP = 1, minP = 0, seed = 0 } = options
  const value = (id: number): number => (Number.isNaN(logits[id]) ? -Infinity : logits[id])
  const order = [...logits.keys()].sort((a, b) =>
    value(a) === value(b) ? a - b : value(a) < value(b) ? 1 : -1,
  )
  const most = value(order[0])
  const weightOf = (id: number): number => exp(Math.fround(Math.fround(value(id) - most) / temperature))
  const sumOf = (ids: readonly number[]): number => ids.reduce((total, id) => total + weightOf(id), 0)
  const best = order.slice(0, topK)
  const enough = best.findIndex((_, i) => sumOf(best.slice(0, i + 1)) >= topP * sumOf(best))
  // Without top-k and top-p the tokens are in the order of their ids.
  const isWhole = topK >= logits.length && topP === 1
  const reached = isWhole ? [...logits.keys()] : topP < 1 ? best.slice(0, enough + 1) : best
  const left = reached.filter((id) => weightOf(id) >= minP * weightOf(order[0]))
  const random = new Random(seed)
  return Array.from({ length: draws }, () => {
    const drawn = random.uniform() * sumOf(left)
    const at = left.findIndex((_, i) => sumOf(left.slice(0, i + 1)) > drawn)
    return at < 0 ? (left.findLast((id) => weightOf(id) > 0) as number) : left[at]
  })
}

const fourEqual: SamplerOptions = { temperature: 1, topP: 0.5, seed: 0 }

const drawsAsDefined = lawForAll(
  'is the draw of the definition, token by token, at any temperature, top-k, top-p and min-p, with ties',
  { logits: anyLogits, options: someOptions },
  (make: typeof makeSampler, { logits, options }) => {
    const sampler = make(options)
    const found = Array.from({ length: 6 }, () => sampler(logits))
    expect(found).toEqual(defined(logits, options, 6))
  },
  { runs: 300, examples: [{ logits: new Float32Array(4), options: fourEqual }] },
)

/** The probabilities of a softmax, in float64. */
function probabilities(logits: Float32Array, temperature: number): number[] {
  const most = Math.max(...logits)
  const weights = [...logits].map((logit) => Math.exp((logit - most) / temperature))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return weights.map((weight) => weight / total)
}

describe('greedy', () => {
  law('is the first of the highest', { logits: someLogits }, ({ logits }) => {
    expect(argmax(logits)).toBe(ranking(logits)[0])
    expect(makeSampler()(logits)).toBe(argmax(logits))
  })

  law(
    'is what top-k 1, and any top-p that the best token reaches alone, come to',
    { logits: someLogits },
    ({ logits }) => {
      expect([...drawn(logits, { topK: 1 }, 5)]).toEqual([argmax(logits)])
      for (const topP of [0, 1e-9]) expect([...drawn(logits, { topP }, 5)]).toEqual([argmax(logits)])
    },
  )

  test('NaN never wins; where nothing is a number the first id does', () => {
    expect(argmax(Float32Array.of(NaN, -Infinity, -5, NaN))).toBe(2)
    expect(argmax(Float32Array.of(NaN, NaN))).toBe(0)
    expect(makeSampler({ temperature: 1 })(Float32Array.of(1, Infinity, NaN))).toBe(1)
    expect([...drawn(Float32Array.of(NaN, 1, -Infinity, 1), {})].sort()).toEqual([1, 3])
  })
})

describe('drawing', () => {
  stateLaw(drawsAsDefined, makeSampler)

  test.each([
    [0.25, 1],
    [0.5, 2],
    [0.75, 3],
    [1, 4],
  ])('of four equal logits a share of %d keeps %d', (topP, count) => {
    const kept = [...drawn(new Float32Array(4), { topP })].toSorted((a, b) => a - b)
    expect(kept).toEqual([0, 1, 2, 3].slice(0, count))
  })

  test.each([
    [1, [2]],
    [2, [0, 2]],
    [3, [0, 2, 3]],
    [4, [0, 1, 2, 3]],
    [9, [0, 1, 2, 3]],
  ])('of 1, 0, 2, 1 the best %d are kept, the lower id of a tie first', (topK, ids) => {
    const kept = [...drawn(Float32Array.of(1, 0, 2, 1), { topK, temperature: 3 })]
    expect(kept.toSorted((a, b) => a - b)).toEqual(ids)
  })

  test.each(
    Object.entries<(logits: Float32Array, options: SamplerOptions) => SamplerOptions>({
      'one token too many': (_, options) => ({ ...options, topK: (options.topK ?? Infinity) + 1 }),
      'a share of what top-k left out too': (_, { topK: _k, ...options }) => options,
      'no share': (_, options) => ({ ...options, topP: 1 }),
      'a share a little larger': (_, options) => ({
        ...options,
        topP: Math.min(1, (options.topP ?? 1) * (1 + 1e-9)),
      }),
      'no least share of the likeliest': (_, options) => ({ ...options, minP: 0 }),
      'a larger least share': (_, { minP = 0, ...options }) => ({
        ...options,
        minP: Math.min(1, 1.5 * minP),
      }),
      'another temperature': (_, options) => ({ ...options, temperature: 2 * (options.temperature ?? 1) }),
      'no more than 64 tokens': (_, options) => ({ ...options, topK: Math.min(options.topK ?? 64, 64) }),
      'another seed': (_, options) => ({ ...options, seed: (options.seed ?? 0) + 1 }),
    }),
  )('%s: killed', async (_, change) => {
    // Each has its own sampler, because a random stream continues from draw to draw.
    const mutant: typeof makeSampler = (options = {}) => {
      let sampler: Sampler | null = null
      return (logits) => (sampler ??= makeSampler(change(logits, options)))(logits)
    }
    await kills(drawsAsDefined, mutant)
  })

  test('follows the distribution, at any temperature', () => {
    const logits = Float32Array.of(0, 1, 2, -1, 0.5)
    const draws = 20_000
    for (const temperature of [0.5, 1, 2]) {
      const sampler = makeSampler({ temperature, seed: 11 })
      const counts = new Array<number>(logits.length).fill(0)
      for (let i = 0; i < draws; i++) counts[sampler(logits)]++
      probabilities(logits, temperature).forEach((p, id) => {
        // Five standard deviations of a binomial count.
        expect(Math.abs(counts[id] / draws - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / draws))
      })
    }
  })

  law(
    'is replayed by its seed and changed by another',
    { seed: fc.integer({ min: 0, max: 2 ** 31 }) },
    ({ seed }) => {
      const logits = new Float32Array(64)
      const text = (of: number): string => {
        const sampler = makeSampler({ temperature: 1, seed: of })
        return Array.from({ length: 16 }, () => sampler(logits)).join()
      }
      expect(text(seed)).toBe(text(seed))
      expect(text(seed)).not.toBe(text(seed + 1))
    },
  )

  law(
    'forked, draws what it is yet to draw itself, and takes nothing from it',
    { seed: fc.integer({ min: 0, max: 2 ** 31 }), before: fc.nat({ max: 5 }), ahead: fc.nat({ max: 5 }) },
    ({ seed, before, ahead }) => {
      const logits = new Float32Array(64)
      const [sampler, other] = [1, 2].map(() => makeSampler({ temperature: 1, seed }))
      const draw = (from: Sampler, count: number): number[] =>
        Array.from({ length: count }, () => from(logits))
      expect(draw(sampler, before)).toEqual(draw(other, before))
      const forked = sampler.fork?.() ?? sampler
      const expected = draw(other, ahead + 3)
      expect(draw(forked, ahead)).toEqual(expected.slice(0, ahead))
      expect(draw(sampler, ahead + 3)).toEqual(expected)
    },
  )

  test('on a boundary gives the token that begins there', () => {
    // The first uniform numbers of these seeds are exactly 0 and exactly a half.
    const [none, half] = [7_343_654, 361_885]
    expect([none, half].map((seed) => new Random(seed).uniform())).toEqual([0, 0.5])
    const draw = (logits: number[], seed: number): number =>
      makeSampler({ temperature: 1, seed })(Float32Array.from(logits))
    expect(draw([0, 0], none)).toBe(0)
    expect(draw([0, 0], half)).toBe(1)
    expect(draw([-1000, 0], none)).toBe(1)
  })

  test('never draws a token of probability 0', () => {
    const logits = Float32Array.of(0, -1000, 0, -1000)
    expect(
      [...drawn(logits, { topP: 1, topK: 4 }, scaledRuns(500))].every((id) => id === 0 || id === 2),
    ).toBe(true)
  })
})

describe('a repetition penalty', () => {
  /** Logits and tokens of the same vocabulary. */
  const afterTokens = someLogits.chain((logits) =>
    fc.tuple(fc.constant(logits), fc.array(fc.nat(logits.length - 1), { maxLength: 60 })),
  )
  const penalties = fc.constantFrom(0.5, 1, 1.1, 1.3, 2, 10)

  /** The draw of the definition: the same sampler, of logits of which each earlier token is penalised once. */
  const penalisedLogits = (logits: Float32Array, before: readonly number[], penalty: number): Float32Array =>
    logits.map((logit, id) => (!before.includes(id) ? logit : logit > 0 ? logit / penalty : logit * penalty))

  const isTheDefinition = lawForAll(
    'a repetition penalty divides the logits of earlier tokens, multiplies those below 0, once each, and no others',
    { afterTokens, penalty: penalties, options: someOptions },
    (make: typeof makeSampler, { afterTokens: [logits, before], penalty, options }) => {
      const given = logits.slice()
      const token = make({ ...options, repetitionPenalty: penalty })(logits, before)
      expect(token).toBe(make(options)(penalisedLogits(logits, before, penalty)))
      expect(logits).toEqual(given)
    },
  )
  stateLaw(isTheDefinition, makeSampler)

  const mutant =
    (change: (logits: Float32Array, before: readonly number[], penalty: number) => Float32Array) =>
    ({ repetitionPenalty = 1, ...options }: SamplerOptions = {}): Sampler => {
      const sampler = makeSampler(options)
      return (logits, before = []) => sampler(change(logits, before, repetitionPenalty))
    }

  killsEach('a mutant that %s is killed', isTheDefinition, {
    'penalises nothing': mutant((logits) => logits),
    'divides logits below 0 too': mutant((logits, before, penalty) =>
      logits.map((logit, id) => (before.includes(id) ? logit / penalty : logit)),
    ),
    'penalises a token as often as it was there': mutant((logits, before, penalty) =>
      before.reduce((penalised, id) => penalisedLogits(penalised, [id], penalty), logits),
    ),
    'forgets the last token': mutant((logits, before, penalty) =>
      penalisedLogits(logits, before.slice(0, -1), penalty),
    ),
    'writes into the logits it was given': mutant((logits, before, penalty) => {
      logits.set(penalisedLogits(logits, before, penalty))
      return logits
    }),
  })
})

describe('penalties of written tokens, and biases', () => {
  const changed = fc
    .record({ logits: someLogits, penalty: fc.constantFrom(1, 1.5) })
    .chain(({ logits, penalty }) =>
      fc.record({
        logits: fc.constant(logits),
        prompt: fc.array(fc.nat(logits.length - 1), { maxLength: 12 }),
        written: fc.array(fc.nat(logits.length - 1), { maxLength: 30 }),
        options: fc.record({
          repetitionPenalty: fc.constant(penalty),
          presencePenalty: fc.constantFrom(-2, 0, 0.5, 2),
          frequencyPenalty: fc.constantFrom(-1, 0, 0.25, 2),
          logitBias: fc.dictionary(
            fc.nat(logits.length - 1).map(String),
            fc.constantFrom(-100, -1, 0.5, 100),
            {
              maxKeys: 4,
            },
          ),
        }),
      }),
    )

  /** The logits of the definition, one id after the other. */
  const definedLogits = (
    logits: Float32Array,
    prompt: readonly number[],
    written: readonly number[],
    { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0, logitBias = {} }: SamplerOptions,
  ): Float32Array =>
    logits.map((logit, id) => {
      const isThere = prompt.includes(id) || written.includes(id)
      const count = written.filter((one) => one === id).length
      const repeated = !isThere ? logit : logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty
      const present = count > 0 ? presencePenalty : 0
      return Math.fround(Math.fround(repeated) - (present + frequencyPenalty * count)) + (logitBias[id] ?? 0)
    })

  const isTheDefinition = lawForAll(
    'tokens written so far are penalised once and as often as they were written, the prompt is not, and biases are added',
    { changed, drawing: someOptions, isGreedy: fc.boolean() },
    (make: typeof makeSampler, { changed: { logits, prompt, written, options }, drawing, isGreedy }) => {
      const given = logits.slice()
      const base = isGreedy ? {} : drawing
      const token = make({ ...base, ...options })(logits, [...prompt, ...written], prompt.length)
      expect(token).toBe(make(base)(definedLogits(logits, prompt, written, options)))
      expect(logits).toEqual(given)
    },
    { runs: 300 },
  )
  stateLaw(isTheDefinition, makeSampler)

  const mutant =
    (change: (options: SamplerOptions) => SamplerOptions): typeof makeSampler =>
    (options = {}) =>
      makeSampler(change(options))
  const seen =
    (
      change: (before: readonly number[], prompt: number) => readonly [readonly number[], number],
    ): typeof makeSampler =>
    (options) => {
      const sampler = makeSampler(options)
      return (logits, before = [], prompt = before.length) => sampler(logits, ...change(before, prompt))
    }
  killsEach('a mutant that %s is killed', isTheDefinition, {
    'has no presence penalty': mutant((options) => ({ ...options, presencePenalty: 0 })),
    'has no frequency penalty': mutant((options) => ({ ...options, frequencyPenalty: 0 })),
    'has no bias': mutant((options) => ({ ...options, logitBias: {} })),
    'has one penalty in the place of the other': mutant((options) => ({
      ...options,
      presencePenalty: options.frequencyPenalty,
      frequencyPenalty: options.presencePenalty,
    })),
    'penalises the prompt too': seen((before) => [before, 0]),
    'forgets the last token': seen((before, prompt) => [
      before.slice(0, Math.max(prompt, before.length - 1)),
      prompt,
    ]),
  })

  test('an id that the vocabulary does not have is refused', () => {
    const sampler = makeSampler({ logitBias: { 4: 1 } })
    expect(sampler(new Float32Array(5))).toBe(4)
    expect(() => sampler(new Float32Array(4))).toThrow(
      expect.objectContaining({ code: 'LOGIT_BIAS', message: 'logitBias: expected ids from 0 to 3, got 4' }),
    )
  })
})

describe('options that are left open', () => {
  const own = { temperature: 0.6, topK: 20, repetitionPenalty: 1.1 }
  test.each<[SamplerOptions, SamplerOptions, SamplerOptions]>([
    [{}, own, own],
    [{}, {}, { temperature: 0.7 }],
    [{ topK: 5, seed: 3, temperature: undefined }, own, { ...own, topK: 5, seed: 3 }],
    [{ temperature: 1 }, own, { ...own, temperature: 1 }],
    // A greedy text is that of the model alone.
    [{ temperature: 0 }, own, { temperature: 0 }],
    [{ temperature: 0, repetitionPenalty: 1.3 }, own, { temperature: 0, repetitionPenalty: 1.3 }],
    [{}, { temperature: 0 }, { temperature: 0 }],
  ])('%j under %j are %j', (asked, model, filled) => {
    expect(fillSampling(asked, model, 0.7)).toEqual(filled)
  })
})

test('options of drawing are taken beside temperature 0, and change nothing', () => {
  const logits = Float32Array.of(0, 2, 1)
  expect(makeSampler({ temperature: 0, topK: 1, topP: 0, minP: 1 })(logits)).toBe(1)
})

test.each<[SamplerOptions, string]>([
  [{ minP: -0.1 }, 'MIN_P'],
  [{ minP: 1.1 }, 'MIN_P'],
  [{ presencePenalty: 2.1 }, 'PRESENCE_PENALTY'],
  [{ frequencyPenalty: NaN }, 'FREQUENCY_PENALTY'],
  [{ logitBias: { 1: 101 } }, 'LOGIT_BIAS'],
  [{ logitBias: { x: 1 } }, 'LOGIT_BIAS'],
  [{ logitBias: Object.fromEntries(Array.from({ length: 1025 }, (_, id) => [id, 1])) }, 'LOGIT_BIAS'],
  [{ temperature: -1 }, 'TEMPERATURE'],
  [{ temperature: NaN }, 'TEMPERATURE'],
  [{ temperature: Infinity }, 'TEMPERATURE'],
  [{ temperature: -1e-9 }, 'TEMPERATURE'],
  [{ topK: 0 }, 'TOP_K'],
  [{ topK: 1.5 }, 'TOP_K'],
  [{ topK: -1 }, 'TOP_K'],
  [{ topK: NaN }, 'TOP_K'],
  [{ topP: 1 + 1e-9 }, 'TOP_P'],
  [{ topP: -0.5 }, 'TOP_P'],
  [{ topP: NaN }, 'TOP_P'],
  [{ repetitionPenalty: 0 }, 'REPETITION_PENALTY'],
  [{ repetitionPenalty: -1 }, 'REPETITION_PENALTY'],
  [{ repetitionPenalty: NaN }, 'REPETITION_PENALTY'],
  [{ repetitionPenalty: Infinity }, 'REPETITION_PENALTY'],
  [{ topK: 5 }, 'TOP_K'],
  [{ topP: 1 }, 'TOP_P'],
  [{ minP: 0.5, temperature: undefined }, 'MIN_P'],
])('%j is refused', (options, code) => {
  expect(() => makeSampler(options)).toThrow(expect.objectContaining({ code, exitCode: 2 }))
})

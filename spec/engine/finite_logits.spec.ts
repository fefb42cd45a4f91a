/**
 * Finite weights whose products exceed float32: whatever writes a text or scores one refuses such a model by one code.
 *
 * Tests src/engine/next_tokens.ts, src/engine/sequence.ts, src/evaluation/score_window.ts, src/calibration/examples.ts,
 * src/training/learn_scores.ts and src/server/token_scores.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { collectExample } from '../../src/calibration/examples.ts'
import { plainact } from '../../src/criteria/plainact.ts'
import { makeConfig } from '../../src/engine/config.ts'
import { generateTokens } from '../../src/engine/generate.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { meanLoss, negativeLogLikelihood } from '../../src/engine/loss.ts'
import { argmax, makeSampler } from '../../src/engine/sampling.ts'
import { traceForward } from '../../src/engine/trace.ts'
import { DenseLogits, readLogits, scoreWindow } from '../../src/evaluation/score_window.ts'
import { denseMask } from '../../src/masks/mask.ts'
import { scoreTokens } from '../../src/server/token_scores.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { maskedDivergence } from '../../src/training/learn_scores.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

const config = makeConfig({ layers: 2, width: 8, heads: 2, neurons: 6, vocabulary: 12, positions: 16 })

/** Makes something of a model's logits. */
type Way = (model: LanguageModel, tokens: Int32Array) => unknown

const isRefused = lawForAll(
  'a model of finite weights whose logits are not finite is refused, and any other is not',
  {
    seed: fc.nat(1000),
    overflows: fc.boolean(),
    tokens: fc
      .array(fc.integer({ min: 1, max: config.vocabulary - 1 }), { minLength: 4, maxLength: 10 })
      .map((ids) => Int32Array.from(ids)),
  },
  async (way: Way, { seed, overflows, tokens }) => {
    const weights = initialWeights(config, { seed, deviation: 0.3 })
    const norm = [...weights.keys()].filter((name) => name.includes('decoder.final_layer_norm'))
    expect(norm.length).toBe(2)
    // Each token has a positive number in the normed row: times its weight, plus its bias, it is infinite.
    if (overflows) for (const name of norm) weights.get(name)?.values.fill(3e38)
    const model = await LanguageModel.load(config, memorySource(weights), new ReferenceBackend())
    try {
      let code: unknown = null
      try {
        await way(model, tokens)
      } catch (error) {
        code = (error as { code?: unknown }).code
      }
      expect(code).toBe(overflows ? 'LOGITS_NOT_FINITE' : null)
    } finally {
      model.dispose()
    }
  },
  { runs: 20 },
)

const PROMPT = 2
const windowOf = (tokens: Int32Array): Parameters<typeof collectExample>[1] => ({
  tokens,
  promptLength: PROMPT,
  words: 1,
  genre: 'none',
  document: 'a',
})
const withLogits = (
  model: LanguageModel,
  tokens: Int32Array,
  work: (logits: Float32Array) => unknown,
): void => {
  const sequence = model.begin({ capacity: tokens.length })
  try {
    work(sequence.feed(tokens, 'all'))
  } finally {
    sequence.dispose()
  }
}
const drain = async (texts: AsyncIterable<unknown>): Promise<void> => {
  for await (const _ of texts);
}
const mask = denseMask({ layers: config.layers, heads: config.heads, neurons: config.neurons })

const ways: Readonly<Record<string, Way>> = {
  'a text that is written greedily': (model, tokens) =>
    drain(generateTokens(model, tokens, { maxTokens: 3, stopIds: [] })),
  'a text that is drawn': (model, tokens) =>
    drain(
      generateTokens(model, tokens, { maxTokens: 3, stopIds: [], sampler: makeSampler({ temperature: 1 }) }),
    ),
  'scores of a sequence': (model, tokens) => {
    const sequence = model.begin({ capacity: tokens.length })
    try {
      return sequence.score(tokens.slice(0, -1), tokens.slice(1))
    } finally {
      sequence.dispose()
    }
  },
  'the cost of a window': (model, tokens) => scoreWindow(model, windowOf(tokens)),
  'the cost of a window of one scored token': (model, tokens) =>
    scoreWindow(model, windowOf(tokens.slice(0, PROMPT + 1))),
  'the cost of a window beside dense logits': (model, tokens) => {
    const window = windowOf(tokens)
    const dense = new DenseLogits(readLogits(model, window), tokens, config.vocabulary)
    return scoreWindow(model, window, { dense })
  },
  'the cost of dense logits': (model, tokens) =>
    new DenseLogits(readLogits(model, windowOf(tokens)), tokens, config.vocabulary).scoreFrom(PROMPT),
  'an example of a calibration': (model, tokens) => collectExample(model, windowOf(tokens), [plainact]),
  'a step that learns scores': (model, tokens) => {
    const dense = traceForward(model, tokens)
    try {
      return maskedDivergence(model, { dense, promptLength: PROMPT }, mask, 'dense')
    } finally {
      dense.dispose()
    }
  },
  'log-probabilities of the server': (model, tokens) =>
    withLogits(model, tokens, (logits) => scoreTokens(model, logits, tokens, 2)),
}

describe.each(Object.entries(ways))('%s', (_, way) => stateLaw(isRefused, way))

test.each<[string, Way]>([
  [
    'chooses the token of the highest logit, finite or not',
    (model, tokens) => withLogits(model, tokens, (logits) => argmax(logits.subarray(-config.vocabulary))),
  ],
  [
    'sums costs that may be NaN',
    (model, tokens) =>
      withLogits(model, tokens, (logits) =>
        meanLoss(negativeLogLikelihood(model.backend, logits, tokens), tokens.length - 1),
      ),
  ],
])('one that %s is found', (_, mutant) => kills(isRefused, mutant))

/**
 * What dense checks are said to have done is what the rule does, recomputed by hand from single passes: whoever generates the text,
 * and wherever a stop id ends it.
 *
 * Tests src/engine/next_tokens.ts, src/engine/generate.ts, src/evaluation/decode.ts and src/server/writer.ts.
 */
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { generateTokens, type TextRun } from '../../src/engine/generate.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import type { CheckCounts } from '../../src/engine/next_tokens.ts'
import { argmax } from '../../src/engine/sampling.ts'
import { Decoding } from '../../src/evaluation/decode.ts'
import type { Tokenizer } from '../../src/io/tokenizer.ts'
import type { MaskPlanner } from '../../src/masks/planner.ts'
import { writeText } from '../../src/server/writer.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { engineCase, made, maskSchedule, masksUnder } from '../../src/verify/model/engine_cases.ts'
import { fickle } from '../../src/verify/model/planner_laws.ts'
import { sameData } from '../harness/recorded.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { casesAtTier } from '../harness/tier.ts'

const backend = await createBackend('reference')
afterAll(() => {
  expect(backend.liveBuffers).toBe(0)
  backend.dispose()
})

/** How a text is generated, greedily. */
interface Text {
  readonly prompt: Int32Array
  readonly maxTokens: number
  readonly check: number
  readonly stopId: number
}

/** What is known of a text afterwards. */
interface Told {
  /** With the stop id, if it ended the text. */
  readonly tokens: readonly number[]
  readonly checked: CheckCounts | null
}

/** Generates a text that is checked. */
type Generate = (model: LanguageModel, planner: MaskPlanner, text: Text) => Promise<Told>

const spelled = {
  stream: () => ({ push: () => '', end: () => '' }),
} as unknown as Tokenizer

const ways: Readonly<Record<string, Generate>> = {
  'a generated text': async (model, planner, { prompt, maxTokens, check, stopId }) => {
    let run: TextRun | undefined
    const tokens: number[] = []
    const onEnd = (end: TextRun): void => void (run = end)
    const steps = generateTokens(model, prompt, { planner, maxTokens, check, stopIds: [stopId], onEnd })
    for (;;) {
      const { done, value } = await steps.next()
      if (done)
        return { tokens: value === 'stop' ? [...tokens, stopId] : tokens, checked: run?.checked ?? null }
      tokens.push(value.token)
    }
  },
  'an answer of the server': async (model, planner, { prompt, maxTokens, check, stopId }) => {
    const tokens: number[] = []
    const steps = writeText(model, spelled, {
      ids: prompt,
      maxTokens,
      sampling: {},
      planner,
      check,
      stopIds: new Set([stopId]),
      stops: [],
      likeliest: 0,
      echo: null,
      maskTokens: 1,
      continues: true,
    })
    for (;;) {
      const { done, value } = steps.next()
      if (done) return { tokens, checked: value.checked }
      if (value) tokens.push(...value.scores.map(({ token }) => token))
    }
  },
  // Nothing ends a text under the clock but its length, and its tokens are not told.
  'a text under the clock': async (model, planner, { prompt, maxTokens, check }) => {
    const decoding = new Decoding(model, prompt, maxTokens - 1, { planner, check })
    try {
      return { tokens: [], checked: (await decoding.decode()).checked }
    } finally {
      decoding.dispose()
    }
  },
}

/**
 * The rule by hand. Each choice is made in a sequence of its own: the prompt and what is settled run dense, a draft runs under the
 * mask.
 */
function byHand(
  model: LanguageModel,
  planner: MaskPlanner,
  { prompt, maxTokens, check, stopId }: Text,
): Told {
  /** The token after a settled text and a draft. */
  const choose = (settled: readonly number[], draft: readonly number[] | null): number => {
    const sequence = model.begin({ planner })
    try {
      let logits = sequence.feed(prompt, 'last')
      const dense = draft === null ? settled : settled.slice(0, -1)
      if (dense.length > 0) logits = sequence.feedDense(Int32Array.from(dense), 'last')
      if (draft !== null)
        for (const token of [settled[settled.length - 1], ...draft])
          logits = sequence.feed(Int32Array.of(token), 'last')
      return argmax(logits)
    } finally {
      sequence.dispose()
    }
  }
  const tokens = [choose([], null)]
  const counts = { checks: 0, rewound: 0, replaced: 0, dropped: 0 }
  const isOver = (): boolean => tokens.length >= maxTokens || tokens[tokens.length - 1] === stopId
  while (!isOver()) {
    const draft: number[] = []
    const most = Math.min(check, maxTokens - tokens.length)
    while (1 + draft.length < most) {
      const token = choose(tokens, draft)
      counts.rewound++
      if (token === stopId) break
      draft.push(token)
    }
    counts.checks++
    for (let i = 0; i <= draft.length; i++) {
      tokens.push(choose(tokens, null))
      if (tokens[tokens.length - 1] === draft[i]) {
        if (isOver()) break
        continue
      }
      if (i < draft.length) counts.replaced++
      counts.dropped += Math.max(0, draft.length - i - 1)
      break
    }
  }
  return { tokens, checked: counts }
}

type Subject = (generate: Generate) => Generate

const asByHand = lawForAll(
  'checks, tokens that were rewound, replaced and dropped are counted as the rule makes them',
  {
    drawn: engineCase,
    name: fc.constantFrom(...Object.keys(ways)),
    by: fc.constantFrom('attention', 'layer', 'prompt', 'gate'),
    every: fc.constantFrom(undefined, 1),
    schedule: maskSchedule,
    check: fc.integer({ min: 1, max: 5 }),
    maxTokens: fc.integer({ min: 1, max: 7 }),
    stopAt: fc.option(fc.nat({ max: 5 })),
  },
  async (subject: Subject, { drawn, name, by, every, schedule, check, maxTokens, stopAt }) => {
    const { config, tensors, tokens } = made(drawn, maxTokens)
    const model = await LanguageModel.load(config, memorySource(tensors), backend)
    try {
      const how = { by, sourceLayer: 0, prefill: 'dense', every } as const
      const planner = fickle(drawn, how, masksUnder(drawn, schedule, how))
      const isClock = name === 'a text under the clock'
      const base = { prompt: tokens, maxTokens, check, stopId: -1 }
      const whole = byHand(model, planner, base)
      const stopId = isClock || stopAt === null ? -1 : (whole.tokens[stopAt] ?? -1)
      const text = { ...base, stopId }
      const expected = stopId === -1 ? whole : byHand(model, planner, text)
      const actual = await subject(ways[name])(model, planner, text)
      sameData('checked', actual.checked, expected.checked)
      if (!isClock) sameData('tokens', actual.tokens, expected.tokens)
    } finally {
      model.dispose()
    }
  },
  { runs: casesAtTier(100, 500) },
)
stateLaw(asByHand, (generate) => generate)

test('counts of a text that goes on behind its stop id, and of a check too few: killed', async () => {
  // The draft is not ended by the stop id.
  await kills(asByHand, (generate) => async (model, planner, text) => {
    const { tokens } = await generate(model, planner, text)
    const on = byHand(model, planner, { ...text, stopId: -1, maxTokens: tokens.length || text.maxTokens })
    return { tokens, checked: on.checked }
  })
  for (const key of ['checks', 'rewound', 'replaced', 'dropped'] as const)
    await kills(asByHand, (generate) => async (...args) => {
      const { tokens, checked } = await generate(...args)
      return { tokens, checked: checked && { ...checked, [key]: Math.max(0, checked[key] - 1) } }
    })
})

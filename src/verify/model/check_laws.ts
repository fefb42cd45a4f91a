/**
 * Laws of text that is checked dense (engine/next_tokens.ts).
 */
import fc from 'fast-check'
import { generateTokens, type GenerateOptions, type TextRun } from '../../engine/generate.ts'
import type { LanguageModel } from '../../engine/language_model.ts'
import { makeSampler } from '../../engine/sampling.ts'
import { denseMask } from '../../masks/mask.ts'
import { concatenate } from '../../tensor/concatenate.ts'
import { same, sameBits } from '../compare.ts'
import { forAll, withLoaded } from './cases.ts'
import {
  anyCache,
  anyRun,
  askedOnce,
  engineCase,
  made,
  maskSchedule,
  masksUnder,
  plannerOf,
} from './engine_cases.ts'
import { fickle } from './planner_laws.ts'

/** How a planner is asked whose text can be checked: after a dense prompt, once or at every token. */
const askedForChecks = fc.record({
  ...askedOnce,
  prefill: fc.constant('dense' as const),
  every: fc.constantFrom(undefined, 1),
})
const tokensBetween = fc.integer({ min: 1, max: 5 })

/** A text as it was written. */
interface Text {
  readonly tokens: readonly number[]
  /** What they were chosen from, one after the other. */
  readonly logits: Float32Array
  readonly end: string
  readonly run: TextRun
}

async function write(model: LanguageModel, prompt: Int32Array, options: GenerateOptions): Promise<Text> {
  let run: TextRun = { decisions: NaN, checked: null }
  const steps = generateTokens(model, prompt, { ...options, onEnd: (text) => (run = text) })
  const tokens: number[] = []
  const logits: Float32Array[] = []
  for (;;) {
    const { done, value } = await steps.next()
    if (done) return { tokens, logits: concatenate(Float32Array, logits), end: value, run }
    tokens.push(value.token)
    logits.push(value.logits)
  }
}

/** Greedy or drawn, by the logits alone or by the text before too. */
const someSampling = fc.record({
  temperature: fc.constantFrom(0, 1, 4),
  repetitionPenalty: fc.constantFrom(1, 1.5),
  presencePenalty: fc.constantFrom(0, 1.5),
  frequencyPenalty: fc.constantFrom(0, 1),
})

export const checkLaws = {
  checkedText: forAll(
    'a text that is checked dense is the text of the dense model, bit for bit: any planner, tokens between checks, sampler and end',
    {
      drawn: engineCase,
      schedule: maskSchedule,
      how: askedForChecks,
      ...anyRun,
      check: tokensBetween,
      maxTokens: fc.nat({ max: 9 }),
      sampling: someSampling,
      // An id that ends the text.
      stop: fc.nat({ max: 34 }),
    },
    async (subject, { drawn, schedule, how, storage, cache, mode, check, maxTokens, sampling, stop }) => {
      const { config, tensors, tokens: prompt } = made(drawn, maxTokens)
      const masks = masksUnder(drawn, schedule, how)
      await withLoaded(subject, config, tensors, { storage }, async (model) => {
        const common = { maxTokens, cache, stopIds: [stop] }
        const sampler = (): GenerateOptions['sampler'] => makeSampler({ ...sampling, seed: 5 })
        const dense = await write(model, prompt, { ...common, sampler: sampler() })
        const planner = fickle(drawn, how, masks)
        const text = await write(model, prompt, { ...common, sampler: sampler(), planner, mode, check })
        sameBits('tokens', text.tokens, dense.tokens)
        sameBits('logits', text.logits, dense.logits)
        if (text.end !== dense.end) throw new Error(`expected the end ${dense.end}, got ${text.end}`)
      })
    },
  ),

  keptDraft: forAll(
    'a draft under a mask that keeps every unit is kept whole, and every pass of a check is full but the last',
    {
      drawn: engineCase,
      cache: anyCache,
      check: tokensBetween,
      maxTokens: fc.integer({ min: 1, max: 9 }),
      sampling: someSampling,
    },
    async (subject, { drawn, cache, check, maxTokens, sampling }) => {
      const { config, tensors, tokens: prompt } = made(drawn, maxTokens)
      await withLoaded(subject, config, tensors, {}, async (model) => {
        const how = { by: 'attention', sourceLayer: 0, prefill: 'dense' } as const
        const planner = plannerOf(drawn, how, () => denseMask(model.shape))
        const options = { maxTokens, cache, sampler: makeSampler(sampling), stopIds: [], planner, check }
        const { checked } = (await write(model, prompt, options)).run
        const checks = Math.ceil((maxTokens - 1) / check)
        same('checks', checked?.checks ?? NaN, checks)
        same('rewound', checked?.rewound ?? NaN, maxTokens - 1 - checks)
        same('replaced', checked?.replaced ?? NaN, 0)
        same('dropped', checked?.dropped ?? NaN, 0)
      })
    },
  ),

  denseAgain: forAll(
    'tokens that are rewound and run again dense leave the cache of a dense run, and what follows them that of no first run',
    {
      drawn: engineCase,
      schedule: maskSchedule,
      how: askedForChecks,
      ...anyRun,
      // The prompt, what runs again after it, and what runs before that under the mask.
      first: fc.nat({ max: 11 }),
      more: fc.nat({ max: 11 }),
      wrong: fc.array(fc.nat({ max: 34 }), { maxLength: 4, size: 'max' }),
    },
    async (subject, { drawn, schedule, how, storage, cache, mode, first, more, wrong }) => {
      const { config, tensors, tokens } = made(drawn, wrong.length)
      if (tokens.length < 2) return
      const masks = masksUnder(drawn, schedule, how)
      const prompt = 1 + (first % (tokens.length - 1))
      const end = prompt + 1 + (more % (tokens.length - prompt))
      const forgotten = Int32Array.from(wrong, (id) => id % drawn.vocabulary)
      await withLoaded(subject, config, tensors, { storage }, (model) => {
        const begin = (): ReturnType<typeof model.begin> =>
          model.begin({ planner: fickle(drawn, how, masks), mode, cache })
        const [dense, once, twice] = [model.begin({ cache }), begin(), begin()]
        try {
          for (const sequence of [dense, once, twice]) sequence.feed(tokens.slice(0, prompt), 'none')
          if (forgotten.length > 0) twice.feed(forgotten, 'none')
          twice.rewind(prompt)
          const again = tokens.slice(prompt, end)
          const expected = dense.feed(again, 'all')
          sameBits('dense', twice.feedDense(again, 'all'), expected)
          sameBits('dense', once.feedDense(again, 'all'), expected)
          if (end === tokens.length) return
          const rest = tokens.slice(end)
          // Read from the caches, without a mask and with one.
          sameBits('after', twice.feedDense(rest, 'all'), dense.feed(rest, 'all'))
          twice.rewind(end)
          sameBits('masked', twice.feed(rest, 'all'), once.feed(rest, 'all'))
        } finally {
          for (const sequence of [dense, once, twice]) sequence.dispose()
        }
      })
    },
  ),
}

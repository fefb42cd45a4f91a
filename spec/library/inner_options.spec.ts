/**
 * Options of the library's inner calls have an effect, and the same one along two paths: a batch, token generation, questions
 * made from rows, and windows of a text.
 *
 * Tests src/engine/batch.ts, src/engine/generate.ts, src/data/tasks/prompts.ts and src/evaluation/text_perplexity.ts.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { compareMethods } from '../../src/results/method.ts'
import { taskByName } from '../../src/data/tasks/index.ts'
import { askRows, type PromptOptions } from '../../src/data/tasks/prompts.ts'
import { textPerplexity, type TextPerplexityOptions } from '../../src/evaluation/text_perplexity.ts'
import { textOfDocuments } from '../../src/data/texts.ts'
import { parseRows, type PlacedRow } from '../../src/io/row_file.ts'
import { makeBudget } from '../../src/masks/budget.ts'
import type { MaskPlanner } from '../../src/masks/planner.ts'
import { forwardBatch, type BatchOptions } from '../../src/engine/batch.ts'
import { generateTokens, type GenerateOptions } from '../../src/engine/generate.ts'
import type { LanguageModel } from '../../src/engine/language_model.ts'
import { randomPlanner } from '../../src/planners/random.ts'
import { encodeLetters, loadSmallModel, someMask } from '../evaluation/small_model.ts'

let backend: Backend
let model: LanguageModel
beforeAll(async () => {
  backend = await createBackend('wasm')
  model = await loadSmallModel(backend)
})
afterAll(() => {
  model.dispose()
  expect(backend.liveBuffers).toBe(0)
})

const somePlanner = (seed: number): MaskPlanner => randomPlanner(model.shape, makeBudget(0.5), seed)

/** Expects all results to differ. */
function expectAllOther(results: readonly unknown[]): void {
  const texts = results.map((result) => JSON.stringify(result))
  expect(new Set(texts).size).toBe(texts.length)
}

describe('a batch', () => {
  const sequences = [
    [5, 6, 7, 8, 9],
    [11, 12, 13],
  ]
  const V = 40
  /** The logits of both in one batch, where the second is padded on the left. */
  const batch = (options: BatchOptions): Float32Array[] => {
    const logits = forwardBatch(
      model,
      Int32Array.of(...sequences[0], 1, 1, ...sequences[1]),
      [1, 1, 1, 1, 1, 0, 0, 1, 1, 1],
      2,
      5,
      options,
    )
    return [logits.slice(0, 5 * V), logits.slice(7 * V)]
  }
  /** The logits of each in a sequence of its own. @param of the options of a row */
  const alone = (of: (row: number) => Parameters<LanguageModel['begin']>[0]): Float32Array[] =>
    sequences.map((tokens, row) => {
      const sequence = model.begin(of(row))
      try {
        return sequence.feed(Int32Array.from(tokens), 'all')
      } finally {
        sequence.dispose()
      }
    })

  /** Values of each option of a batch, and the options of a single sequence that mean the same. */
  const rows = (): Record<
    keyof BatchOptions,
    [BatchOptions, (row: number) => Parameters<LanguageModel['begin']>[0]][]
  > => {
    const [first, second] = [1, 2].map((seed) => someMask(model.shape, seed))
    return {
      masks: [
        [{}, () => ({})],
        [{ masks: first }, () => ({ mask: first })],
        [{ masks: [first, second] }, (row) => ({ mask: [first, second][row] })],
        [{ masks: [null, first] }, (row) => ({ mask: [null, first][row] })],
      ],
      // A batch calls its planner once per sequence, in order.
      planner: [1, 2].map((seed) => {
        const own = somePlanner(seed)
        return [{ planner: somePlanner(seed) }, () => ({ planner: own })]
      }),
      mode: (['simulate', 'pack'] as const).map((mode) => [
        { masks: first, mode },
        () => ({ mask: first, mode }),
      ]),
      cache: (['f32', 'int8'] as const).map((cache) => [{ cache }, () => ({ cache })]),
    }
  }

  test.each(['masks', 'planner', 'mode', 'cache'] as const)(
    'a batch gives what each of its sequences gives alone, under the option %s',
    (name) => {
      const results = rows()[name].map(([options, of]) => {
        const found = batch(options)
        expect(found).toEqual(alone(of))
        return found.map((logits) => [...logits])
      })
      // Every mode computes the same numbers.
      if (name !== 'mode') expectAllOther(results)
    },
  )
})

describe('token generation', () => {
  const prompt = Int32Array.of(2, 5, 6, 7)
  const write = async (options: Partial<GenerateOptions>): Promise<unknown> => {
    const logits: number[] = []
    const tokens: number[] = []
    const steps = generateTokens(model, prompt, { maxTokens: 8, stopIds: [], ...options })
    for (;;) {
      const { done, value } = await steps.next()
      if (done) return { tokens, logits, end: value }
      tokens.push(value.token)
      logits.push(...value.logits)
    }
  }
  const rows = (): Record<
    // `conversation`, `onPrompt` and `onEnd` change nothing of a text: conversation.spec.ts and generate.spec.ts state it.
    // `onMask`: spec/library/planners.spec.ts.
    Exclude<keyof GenerateOptions, 'mode' | 'signal' | 'conversation' | 'onPrompt' | 'onMask' | 'onEnd'>,
    readonly Partial<GenerateOptions>[]
  > => ({
    maxTokens: [{}, { maxTokens: 0 }, { maxTokens: 1 }, { maxTokens: 9 }],
    mask: [{}, ...[1, 2].map((seed) => ({ mask: someMask(model.shape, seed) }))],
    planner: [{}, { planner: somePlanner(1) }, { planner: somePlanner(2) }],
    cache: [{ cache: 'f32' }, { cache: 'int8' }],
    check: [{}, { check: 3 }].map((check) => ({
      planner: { ...somePlanner(1), prefill: 'dense' },
      ...check,
    })),
    sampler: [{}, { sampler: () => 5 }, { sampler: () => 6 }],
    stopIds: [{ sampler: () => 5 }, { sampler: () => 5, stopIds: [5] }],
  })
  test.each(['maxTokens', 'mask', 'planner', 'cache', 'check', 'sampler', 'stopIds'] as const)(
    '%s has an effect',
    async (name) => {
      const results: unknown[] = []
      for (const options of rows()[name]) results.push(await write(options))
      expectAllOther(results)
    },
  )
})

describe('questions made from rows', () => {
  const rowsOf = (first: number): Promise<PlacedRow[]> => {
    const lines = Array.from({ length: 5 }, (_, i) => {
      const word = String.fromCharCode(97 + first + i).repeat(4)
      return JSON.stringify({ goal: `${word} goal`, sol1: `${word} one`, sol2: `${word} two`, label: 0 })
    })
    return parseRows(new TextEncoder().encode(lines.join('\n')), 'rows')
  }
  const ask = async (options: Partial<PromptOptions>): Promise<number[][][]> => {
    const { asked } = askRows(taskByName('piqa'), await rowsOf(0), {
      encode: encodeLetters,
      emptyId: 2,
      positions: 1000,
      ...options,
    })
    return asked.map(({ requests }) => requests.map(({ tokens }) => [...tokens]))
  }
  const rows = async (): Promise<
    Record<keyof PromptOptions, readonly Partial<PromptOptions>[] | string>
  > => ({
    encode: [{}, { encode: (text) => encodeLetters(text.toUpperCase()) }],
    shots: [{}, { shots: 1 }, { shots: 4 }],
    shotRows: [{ shots: 2 }, { shots: 2, shotRows: await rowsOf(10) }],
    seed: [0, 1, 2 ** 32 - 1].map((seed) => ({ shots: 2, seed })),
    limit: [{}, { limit: 1 }, { limit: 4 }],
    prefixIds: [{}, { prefixIds: [2] }, { prefixIds: [3] }, { prefixIds: [2, 3] }],
    emptyId: 'only an empty context has it, and piqa has none',
    positions: [{}, { positions: 12 }, { positions: 13 }],
  })
  test.each(['encode', 'shots', 'shotRows', 'seed', 'limit', 'prefixIds', 'positions'] as const)(
    '%s has an effect',
    async (name) => {
      const results: unknown[] = []
      for (const options of (await rows())[name]) results.push(await ask(options as Partial<PromptOptions>))
      expectAllOther(results)
    },
  )

  test.each([11, 12, 13, 20])(
    'of a model of %i positions keep the last tokens, one more than its positions',
    async (positions) => {
      const whole = await ask({})
      const cut = await ask({ positions })
      expect(cut.flat().map((tokens) => tokens.length)).toEqual(whole.flat().map(() => positions + 1))
      expect(cut.flat()).toEqual(whole.flat().map((tokens) => tokens.slice(-(positions + 1))))
    },
  )
})

describe('the windows of a text', () => {
  const measure = async (page: string, count: number, more: Partial<TextPerplexityOptions> = {}) => {
    const documents = Array.from({ length: count }, (_, i) => ({ name: `${i}`, genre: 'test', text: page }))
    const { rows } = await textPerplexity({
      model,
      modelName: 'small',
      modelFiles: [],
      encode: encodeLetters,
      prefixIds: [2],
      text: textOfDocuments('pages', documents),
      methods: compareMethods(model, {
        planners: ['random'],
        sparsities: [0.5],
        scope: 'global',
        criterion: 'plainact',
      }),
      protocols: ['page'],
      prompt: 4,
      ...more,
    })
    return rows[1]
  }

  test('have a random mask each, which the seed determines', async () => {
    const page = 'a page of letters'
    const [one, two] = [await measure(page, 1), await measure(page, 2)]
    // The mean over equal windows differs from that of one window only if their masks differ.
    expect(two.klPerToken).not.toBeCloseTo(one.klPerToken, 6)
    expect((await measure(page, 1, { seed: 0 })).klPerToken).toBe(one.klPerToken)
    expect((await measure(page, 1, { seed: 1 })).klPerToken).not.toBe(one.klPerToken)
  })
})

/**
 * Texts and scores as bytes, which anybody may have written: what is read is what was written, and all else is refused
 * with one line.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  encodeScores,
  encodeTexts,
  parseScores,
  parseTexts,
} from '../../../src/evaluation/jobs/evaluate_job.ts'
import { denseMethod, makeMethod } from '../../../src/results/method.ts'
import { textsOf } from '../../../src/evaluation/tasks/score.ts'
import type { MethodScore } from '../../../src/evaluation/window_evaluator.ts'
import type { Asked } from '../../../src/data/tasks/prompts.ts'
import { InputError } from '../../../src/tensor/errors.ts'
import { law } from '../../harness/seed.ts'
import { question, smallConfig, someAsked } from '../small_model.ts'

const decode = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes))

describe('texts as bytes', () => {
  const keepsTexts =
    (parse: typeof parseTexts) =>
    (list: readonly Asked[]): void => {
      const texts = list.flatMap((asked) => textsOf(asked, 1))
      expect(parse(encodeTexts(texts), smallConfig)).toEqual(
        texts.map(({ windows, known = 0, denseOnly }) => ({
          windows,
          known,
          ...(denseOnly && { denseOnly }),
        })),
      )
    }
  law('are the texts, but for their seeds', { list: fc.array(someAsked) }, ({ list }) =>
    keepsTexts(parseTexts)(list),
  )

  test('a mutant that forgets which are dense is killed', () => {
    const mutant: typeof parseTexts = (...args) =>
      parseTexts(...args).map((text) => ({ ...text, denseOnly: undefined }))
    expect(() => keepsTexts(mutant)([question(1)])).toThrow('expected')
  })

  law(
    'of anything are refused, or are those bytes',
    { text: fc.json(), at: fc.nat(), byte: fc.nat(255) },
    ({ text, at, byte }) => {
      const whole = encodeTexts(textsOf(question(1), 1))
      const broken = whole.with(at % whole.length, byte)
      for (const bytes of [new TextEncoder().encode(text), broken])
        try {
          const again = encodeTexts(parseTexts(bytes, smallConfig).map((one) => ({ ...one, seed: 1 })))
          expect(decode(again)).toEqual(decode(bytes))
        } catch (error) {
          expect(error).toBeInstanceOf(InputError)
        }
    },
  )

  const [one, two] = [
    [1, 0, [2, 5]],
    [1, 0, [2, 6]],
  ]
  test.each<[string, unknown]>([
    ['an object', {}],
    ['a text that is none', [7]],
    ['a known window that is none', [[2, false, [one, two]]]],
    ['no windows', [[0, false, []]]],
    ['a word for dense', [[0, 'yes', [one, two]]]],
    ['no prompt', [[0, false, [[0, 0, [2, 5]]]]]],
    ['no words', [[0, false, [[1, null, [2, 5]]]]]],
    ['nothing after the prompt', [[0, false, [[2, 0, [2, 5]]]]]],
    ['a token of no vocabulary', [[0, false, [[1, 0, [2, 40]]]]]],
    ['more than the model takes', [[0, false, [[1, 0, Array.from({ length: 34 }, () => 2)]]]]],
    ['something beside a window', [[0, false, [[1, 0, [2, 5], 1]]]]],
    ['something beside it', [[0, false, [one], 1]]],
  ])('are refused with %s', (_, rows) => {
    const bytes = new TextEncoder().encode(JSON.stringify(rows))
    expect(() => parseTexts(bytes, smallConfig)).toThrow(/^job text/)
  })
})

describe('scores as bytes', () => {
  const methods = [denseMethod, makeMethod({ planner: 'random', sparsity: 0.5 })]
  const [text, alone] = textsOf(question(1), 1)
  const job = { methods, texts: [text, alone] }
  const sparsity = { heads: 0.5, neurons: 0.5, weights: 0.5 }
  const scoresOf = ({ windows }: typeof text): MethodScore[] =>
    windows.map(({ tokens, promptLength, words }, i) => {
      const achieved = { ...sparsity, layers: [sparsity] }
      return { nll: i + 0.5, tokens: tokens.length - promptLength, words, achieved }
    })
  const whole = [
    [scoresOf(text), scoresOf(alone)],
    [scoresOf(text), []],
  ]
  /** The table with another first score. */
  const with0 = (more: object): unknown => [
    [[{ ...whole[0][0][0], ...more }, ...whole[0][0].slice(1)], whole[0][1]],
    whole[1],
  ]

  test('are what was scored', () => {
    expect(parseScores(encodeScores(whole), job, 1)).toEqual(whole)
  })

  test('are what was compared with dense, where that was asked for', () => {
    const distances = { kl: 0.25, agreed: 1, firstDifference: 0 }
    const compared = whole.map((row) => row.map((all) => all.map((one) => ({ ...one, ...distances }))))
    expect(parseScores(encodeScores(compared), job, 1, true)).toEqual(compared)
    expect(parseScores(encodeScores(compared), job, 1)).toEqual(whole)
    const parse = (more: object): unknown =>
      parseScores(
        encodeScores(compared.map((row) => row.map((all) => all.map((one) => ({ ...one, ...more }))))),
        job,
        1,
        true,
      )
    expect(() => parseScores(encodeScores(whole), job, 1, true)).toThrow('kl: expected a number, got nothing')
    expect(() => parse({ agreed: 5 })).toThrow('agreed: expected a whole number from 0 to 4')
    expect(() => parse({ firstDifference: 4 })).toThrow('firstDifference: expected')
  })

  const refused: Readonly<Record<string, { readonly words: string; readonly table: unknown }>> = {
    nothing: { words: ': expected a list, got null', table: null },
    'a method too few': { words: ' 0.1.0: expected an object, got nothing', table: whole.slice(1) },
    'a method too many': { words: ' 2: expected nothing, got a list', table: [...whole, whole[1]] },
    'a text too few': {
      words: ' 0.1: expected a list, got nothing',
      table: whole.map((row) => row.slice(1)),
    },
    'a window too few': {
      words: ' 0.0.0.tokens: expected 4, got the number 1',
      table: [[scoresOf(text).slice(1), scoresOf(alone)], whole[1]],
    },
    'what is dense alone under another method': {
      words: ' 1.1.0: expected nothing, got an object',
      table: [whole[0], whole[0]],
    },
    'no likelihood': { words: ' 0.0.0.nll: expected a number, got null', table: with0({ nll: null }) },
    'another count of tokens': {
      words: ' 0.0.0.tokens: expected 4, got the number 99',
      table: with0({ tokens: 99 }),
    },
    'another count of words': {
      words: ' 0.0.0.words: expected 0, got the number 99',
      table: with0({ words: 99 }),
    },
    'a share above 1': {
      words: ' 0.0.0.achieved.heads: expected a number from 0 to 1, got the number 1.5',
      table: with0({ achieved: { ...sparsity, heads: 1.5, layers: [sparsity] } }),
    },
    'a layer too few': {
      words: ' 0.0.0.achieved.layers: expected a list of 1, got a list',
      table: with0({ achieved: { ...sparsity, layers: [] } }),
    },
    'no layers': {
      words: ' 0.0.0.achieved.layers: expected a list, got nothing',
      table: with0({ achieved: sparsity }),
    },
  }
  test.each(Object.entries(refused))('are refused with %s', (_, { words, table }) => {
    const bytes = new TextEncoder().encode(JSON.stringify(table))
    expect(() => parseScores(bytes, job, 1)).toThrow(
      expect.objectContaining({ code: 'SHARD_FORMAT', message: `scores${words}` }),
    )
  })

  test('are refused where JSON has no word for them', () => {
    const wrong = with0({ nll: NaN }) as typeof whole
    expect(() => encodeScores(wrong)).toThrow('scores: expected finite log-likelihoods of the model, got NaN')
  })
})

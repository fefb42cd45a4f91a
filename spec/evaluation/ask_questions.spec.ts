/**
 * Questions and answers of choice tasks as bytes, which anybody may have written: what is read is what was written, and
 * all else is refused with one line.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  encodeAnswers,
  encodeQuestions,
  parseAnswers,
  parseQuestions,
} from '../../src/evaluation/jobs/questions.ts'
import type { Asked } from '../../src/data/tasks/prompts.ts'
import type { Answer } from '../../src/evaluation/tasks/score.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { law } from '../harness/seed.ts'
import { question, smallConfig, someAsked } from './small_model.ts'

const decode = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes))

describe('questions as bytes', () => {
  const keepsQuestions =
    (parse: typeof parseQuestions) =>
    (list: readonly Asked[]): void =>
      expect(parse(encodeQuestions(list), smallConfig)).toEqual(
        list.map(({ requests, alone, lengths, gold }) => ({
          requests,
          ...(alone && { alone }),
          lengths,
          gold,
        })),
      )
  law('round-trip, except for their origin', [fc.array(someAsked)], keepsQuestions(parseQuestions))

  test('a mutant that drops the answers alone is killed', () => {
    const mutant: typeof parseQuestions = (...args) =>
      parseQuestions(...args).map((asked) => ({ ...asked, alone: undefined }))
    expect(() => keepsQuestions(mutant)([question(1)])).toThrow('expected')
  })

  law('of any content round-trip or are refused', [fc.json(), fc.nat(), fc.nat(255)], (text, at, byte) => {
    const whole = encodeQuestions([question(1)])
    const broken = whole.with(at % whole.length, byte)
    for (const bytes of [new TextEncoder().encode(text), broken])
      try {
        const again = encodeQuestions(parseQuestions(bytes, smallConfig))
        expect(decode(again)).toEqual(decode(bytes))
      } catch (error) {
        expect(error).toBeInstanceOf(InputError)
      }
  })

  test.each<[string, unknown]>([
    ['an object', {}],
    ['a question that is none', [7]],
    [
      'a right answer that is none',
      [
        [
          2,
          [1, 1],
          [
            [1, [2, 5]],
            [1, [2, 6]],
          ],
          null,
        ],
      ],
    ],
    [
      'a length too few',
      [
        [
          0,
          [1],
          [
            [1, [2, 5]],
            [1, [2, 6]],
          ],
          null,
        ],
      ],
    ],
    ['no context', [[0, [1], [[0, [2, 5]]], null]]],
    ['no answer', [[0, [1], [[2, [2, 5]]], null]]],
    ['a token of no vocabulary', [[0, [1], [[1, [2, 40]]], null]]],
    ['more than the model takes', [[0, [1], [[1, Array.from({ length: 34 }, () => 2)]], null]]],
    ['fewer alone', [[0, [1], [[1, [2, 5]]], []]]],
    ['something beside it', [[0, [1], [[1, [2, 5]]], null, 1]]],
  ])('are refused with %s', (_, rows) => {
    const bytes = new TextEncoder().encode(JSON.stringify(rows))
    expect(() => parseQuestions(bytes, smallConfig)).toThrow(/^shard question/)
  })
})

describe('answers as bytes', () => {
  const expected = { questions: [question(1)], rows: 1, layers: 1 }
  const sparsity = { heads: 0.5, neurons: 0.5, weights: 0.5 }
  const answer: Answer = {
    logLikelihoods: [-1, -2, -3],
    chosen: { acc: 0, acc_norm: 1, acc_mutual_info: 2 },
    gold: 1,
    achieved: { ...sparsity, layers: [sparsity] },
  }

  test('round-trip', () => {
    expect(parseAnswers(encodeAnswers([[answer]]), expected)).toEqual([[answer]])
  })

  test.each<[string, unknown]>([
    ['nothing', null],
    ['a question too few', []],
    ['a row too many', [[answer, answer]]],
    ['another right answer', [[{ ...answer, gold: 0 }]]],
    ['a likelihood too few', [[{ ...answer, logLikelihoods: [1, 2] }]]],
    ['a choice that is none', [[{ ...answer, chosen: { ...answer.chosen, acc: 3 } }]]],
    ['a choice left out', [[{ ...answer, chosen: { acc: 0, acc_norm: 1 } }]]],
    ['a share above 1', [[{ ...answer, achieved: { ...answer.achieved, heads: 1.5 } }]]],
    ['a layer too few', [[{ ...answer, achieved: { ...sparsity, layers: [] } }]]],
    ['no layers', [[{ ...answer, achieved: sparsity }]]],
  ])('are refused with %s', (_, rows) => {
    const bytes = new TextEncoder().encode(JSON.stringify(rows))
    expect(() => parseAnswers(bytes, expected)).toThrow(/^answers.*: expected /)
  })

  test('are refused if JSON cannot hold them', () => {
    const wrong = [[{ ...answer, logLikelihoods: [NaN, -2, -3] }]]
    expect(() => encodeAnswers(wrong)).toThrow(
      'answers: expected finite log-likelihoods of the model, got NaN',
    )
  })
})

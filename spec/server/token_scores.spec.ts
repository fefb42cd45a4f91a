/**
 * Log-probabilities of tokens: their numbers, their order and how they are spelled.
 *
 * Tests src/server/token_texts.ts.
 */
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { ShadowModel } from '../../src/library/index.ts'
import { cross_entropy } from '../../src/ops/cross_entropy.ts'
import { scoreTokens, type TokenScore } from '../../src/server/token_scores.ts'
import { byText, spellToken } from '../../src/server/token_texts.ts'
import type { Tokenizer } from '../../src/io/tokenizer.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

const opt = await ShadowModel.fromPretrained()
afterAll(() => opt.dispose())

type Score = (logits: Float32Array, tokens: readonly number[], count: number) => TokenScore[]
const score: Score = (logits, tokens, count) => scoreTokens(opt.model, logits, tokens, count)

const V = 6
const someRow = fc.array(fc.constantFrom(-3, 0, 0.5, 1, 1.0000001, 40), { minLength: V, maxLength: V })
const someRows = fc.array(fc.tuple(someRow, fc.integer({ min: 0, max: V - 1 })), {
  minLength: 1,
  maxLength: 4,
})

const scoresByDefinition = lawForAll(
  'a score is the negated cross entropy; the likeliest are in order, of equals the lower id first',
  { rows: someRows, count: fc.integer({ min: 0, max: V + 2 }) },
  (scores: Score, { rows, count }) => {
    const logits = Float32Array.from(rows.flatMap(([row]) => row))
    const found = scores(
      logits,
      rows.map(([, token]) => token),
      count,
    )
    rows.forEach(([row, token], t) => {
      const right = (id: number): number => {
        const nll = new Float32Array(1)
        cross_entropy(nll, Float32Array.from(row), Int32Array.of(id), 1, V)
        return 0 - nll[0]
      }
      const order = [...Float32Array.from(row).entries()].toSorted(([i, a], [j, b]) => b - a || i - j)
      const ids = order.slice(0, count).map(([id]) => id)
      const told = count === 0 || ids.includes(token) ? ids : [...ids, token]
      expect(found[t]).toEqual({
        token,
        logprob: right(token),
        top: told.map((id) => ({ token: id, logprob: right(id) })),
      })
    })
  },
)
stateLaw(scoresByDefinition, score)

describe('a bug planted in scores is found', () => {
  const changed =
    (change: (one: TokenScore) => TokenScore): Score =>
    (...args) =>
      score(...args).map(change)
  test.each<[string, Score]>([
    [
      'the likeliest in float64',
      changed((one) => ({
        ...one,
        top: one.top && one.top.map((top) => ({ ...top, logprob: top.logprob + 1e-9 })),
      })),
    ],
    ['the sign is forgotten', changed((one) => ({ ...one, logprob: -(one.logprob as number) }))],
    [
      'the token itself is left out',
      changed((one) => ({ ...one, top: one.top && one.top.filter(({ token }) => token !== one.token) })),
    ],
    [
      'of equals the higher id',
      (logits, tokens, count) => {
        const turned = logits.toReversed()
        const of = (id: number): number => V - 1 - id
        return score(turned, tokens.toReversed().map(of), count)
          .toReversed()
          .map((one) => ({
            ...one,
            token: of(one.token),
            top: one.top && one.top.map((top) => ({ ...top, token: of(top.token) })),
          }))
      },
    ],
  ])('%s', (_, mutant) => kills(scoresByDefinition, mutant))
})

describe('spelling', () => {
  /** A tokenizer of these bytes. */
  const of = (...bytes: readonly (readonly number[])[]): Tokenizer =>
    ({ bytesOf: (id: number) => Uint8Array.from(bytes[id]) }) as unknown as Tokenizer

  test('whole characters are text, parts of one are bytes', () => {
    const tokenizer = of([0x41], [0xe2, 0x82], [], [0x22, 0x0a])
    expect([0, 1, 2, 3].map((id) => spellToken(tokenizer, id))).toEqual(['A', 'bytes:\\xe2\\x82', '', '"\n'])
  })

  test('of two tokens with one spelling none is lost: the likelier one has it', () => {
    const tokenizer = of([0x41], [0x42], [0x41])
    const top = [2, 1, 0].map((token, i) => ({ token, logprob: -1 - i }))
    expect(byText(tokenizer, top)).toEqual({ A: -1, B: -2, 'token_id:0': -3 })
  })

  test('a token spelled as a name of objects is a token', () => {
    const tokenizer = of([...new TextEncoder().encode('__proto__')])
    expect(JSON.stringify(byText(tokenizer, [{ token: 0, logprob: -1 }]))).toBe('{"__proto__":-1}')
  })
})

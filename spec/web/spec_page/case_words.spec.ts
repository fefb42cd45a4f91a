/**
 * A counterexample is told in words: its sizes, and what each of its names means, for every law that the annotated page tries.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { wideCase } from '../../../src/verify/model/engine_cases.ts'
import { engineLaws } from '../../../src/verify/model/engine_laws.ts'
import type { Case } from '../../../src/verify/law.ts'
import {
  differenceInWords,
  isTelling,
  meanings,
  namesOf,
  sizesInWords,
} from '../../../src/web/spec_page/case_words.ts'
import { proofs } from '../../../src/web/spec_page/proofs.ts'

const laws = [...new Set(proofs.map(({ law }) => law))] as (keyof typeof engineLaws)[]
const caseOf = (name: keyof typeof engineLaws): Case => {
  const { data: _, ...arbitraries } = engineLaws[name].arbitraries as Record<string, fc.Arbitrary<unknown>>
  return fc.sample(fc.record(arbitraries), { seed: 3, numRuns: 1 })[0]
}
const sizes = ['layers', 'heads', 'headSize', 'neurons', 'vocabulary']
const obvious = [...sizes, 'preNorm', 'finalNorm', 'tied', 'epochs', 'seed']

test.each(laws)('every argument of %s has a meaning, and its sizes a sentence', (name) => {
  const args = caseOf(name)
  const parts = Object.entries(args).flatMap(([key, value]) =>
    key === 'drawn' || key === 'training' ? Object.keys(value as Case) : [key],
  )
  expect([...namesOf(args).map(([own]) => own), ...obvious]).toEqual(expect.arrayContaining(parts))
  expect(sizesInWords(args)).toMatch(/^[A-Z\d].*\d.*\.$/)
})

test('no meaning is for a name that no law draws', () => {
  const drawn = new Set(laws.flatMap((name) => namesOf(caseOf(name)).map(([own]) => own)))
  expect(Object.keys(meanings).filter((name) => !drawn.has(name))).toEqual([])
})

test('sizes are those of the case', () => {
  const budget = { sparsity: 1 / 3, scope: 'hybrid', policy: 'exact' }
  expect(sizesInWords({ drawn: { ...wideCase, tokens: [1] }, budget })).toBe(
    'A model of the family opt with 2 layers of 3 heads and 70 neurons, head size 24, vocabulary 5; a text of 1 token. Sparsity 0.333, hybrid scope, exact policy.',
  )
  expect(
    sizesInWords({
      scores: {
        heads: [[1], [2]],
        neurons: [
          [1, 2],
          [3, 4],
        ],
      },
    }),
  ).toBe('Scores of 2 layers of 1 head and 2 neurons.')
})

test('the first number that differs is told in a sentence, and another difference is left to the report', () => {
  expect(differenceInWords('logits of tokens 0 to 1[0]: with the bug 0.5, without it -1e-7\nseed 1')).toBe(
    'The first number that differs is number 0 of logits of tokens 0 to 1: 0.5 by src/spec with the bug, -1e-7 by the engine: the sign is wrong.',
  )
  const told = (wrong: string, right: string): string =>
    differenceInWords(`loss[1]: with the bug ${wrong}, without it ${right}`).replace(/^.* by the engine/, '')
  expect(told('3', '2')).toBe(': 1.5 times what it should be.')
  expect(told('0', '2')).toBe(': with the bug it is gone.')
  expect(told('2', '-0')).toBe(': it should be zero.')
  expect(told('1.00001', '1')).toBe('.')
  expect(told('NaN', '1')).toBe('.')
  const kept = 'mask of neurons of layer 1[2]: with the bug 1, without it 0'
  expect(differenceInWords(kept)).toBe(
    'The first number that differs is that of layer 1, neuron 2, of the mask: 1 by src/spec with the bug, 0 by the engine: the bug keeps this unit.',
  )
  const text = 'text[0]: with the bug 1, without it 0'
  expect(differenceInWords(text)).toMatch(/ by the engine: another token\.$/)
  const numbersOf = (wrong: number, right: number): string | undefined =>
    /: (\S+ by .* engine)/.exec(differenceInWords(`loss[1]: with the bug ${wrong}, without it ${right}`))?.[1]
  expect(numbersOf(0.0000012243400533407112, 2.622399719598434e-8)).toBe(
    '1.22e-6 by src/spec with the bug, 2.62e-8 by the engine',
  )
  expect(numbersOf(0.30000000000000004, 0.3)).toBe(
    '0.30000000000000004 by src/spec with the bug, 0.3 by the engine',
  )
  expect(differenceInWords('mask: with the bug 3 numbers, without it 4 numbers')).toBe('')
})

test('a difference tells if it is more than a tenth, of sign, or of no numbers', () => {
  const telling = (expected: string, got: string): boolean =>
    isTelling(new Error(`loss[0]: expected ${expected}, got ${got}`))
  expect(telling('1.9229531744713313e-8', '1.9229529968356474e-8')).toBe(false)
  expect(telling('1', '1.05')).toBe(false)
  expect(telling('1', '1.2')).toBe(true)
  expect(telling('1e-3', '-1e-3')).toBe(true)
  expect(telling('1e-30', '-1e-30')).toBe(false)
  expect(telling('0', '-0')).toBe(false)
  expect(telling('NaN', '1')).toBe(true)
  expect(isTelling(new Error('mask: expected 3 numbers, got 4'))).toBe(true)
})

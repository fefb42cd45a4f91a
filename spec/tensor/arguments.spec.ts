/**
 * The error for an unknown option suggests the nearest known name, if one is near.
 */
import { describe, expect, test } from 'vitest'
import { checkOptionNames } from '../../src/tensor/arguments.ts'

/** The name that is suggested for an unknown one; null if none is. */
function suggestionFor(name: string, known: readonly string[]): string | null {
  try {
    checkOptionNames({ [name]: 1 }, known)
  } catch (error) {
    return /\(did you mean (.*)\?\): /.exec((error as Error).message)?.[1] ?? null
  }
  throw new Error(`${name} was taken`)
}

describe('a name that differs from a known one by', () => {
  test.each([
    ['two letters, in a short name', 'sded', 'seed', true],
    ['two letters, in a name of three', 'xop', 'top', true],
    ['all three letters of a short name', 'abc', 'top', false],
    ['three letters, in a name of eight', 'xyzrsity', 'sparsity', false],
    ['three letters, in a name of nine', 'xyzoctave', 'preoctave', true],
    ['four letters, in a name of twelve', 'wxyzSparsity', 'headSparsity', true],
    ['five letters, in a name of twelve', 'vwxyzparsity', 'headSparsity', false],
    ['capitals alone', 'MAXTOKENS', 'maxTokens', true],
  ])('%s', (_, name, known, isNear) => {
    expect(suggestionFor(name, ['somethingQuiteDifferent', known])).toBe(isNear ? known : null)
  })
})

describe('the name that is meant', () => {
  test.each([
    ['begins so', 'temp', ['topP', 'temperature'], 'temperature'],
    ['begins so, and is the shortest of those', 'griff', ['griffin-static', 'griffin'], 'griffin'],
    ['begins so, as others do', 'top', ['topP', 'topK'], null],
    ['has more than one letter', 't', ['temperature'], null],
    ['has a word less at its beginning', 'max-windows', ['windows', 'maxTokens'], 'windows'],
    ['has a word less at its end', 'seed_value', ['seed', 'sparsity'], 'seed'],
    ['has a word less, as another has', 'max_windows', ['max', 'windows'], null],
    [
      'is longer than what is said',
      'repeat_penalty',
      ['presence_penalty', 'repetition_penalty'],
      'repetition_penalty',
    ],
    ['joins its words otherwise', 'max-tokens', ['max_tokens', 'maxTokens2'], 'max_tokens'],
    ['has more of its letters in common', 'toppK', ['topP', 'topK'], 'topK'],
    ['is as near as another', 'int3', ['int8', 'int4'], null],
  ])('%s', (_, name, known, meant) => expect(suggestionFor(name, known)).toBe(meant))
})

test('the nearest of several near names is suggested', () => {
  expect(suggestionFor('topQ', ['stopKs', 'topK', 'top'])).toBe('topK')
})

test('a name that no option could have meant is compared with none', () => {
  expect(suggestionFor(`${'x'.repeat(60)}topK`, ['topK'])).toBeNull()
  const known = `${'y'.repeat(64)}`
  expect(suggestionFor(`${known.slice(1)}`, [known])).toBe(known)
  expect(suggestionFor(`${known}z`, [known])).toBeNull()
})

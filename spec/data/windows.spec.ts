/**
 * Windows: whole words, an exact count of them, no overlap, nothing of a document twice.
 *
 * Tests src/io/encode_pieces.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { loadBrown, type Document } from '../../src/data/corpus.ts'
import {
  continuationLabels,
  cutWindows,
  drawWindows,
  makeWordEncoder,
  type Window,
} from '../../src/data/windows.ts'
import type { Encode } from '../../src/io/encode_pieces.ts'
import { openTokenizer } from '../../src/io/tokenizer.ts'
import { fixtures } from '../golden/golden.ts'
import { kills, law, lawForAll, stateLaw } from '../harness/seed.ts'

/** What models expect before a text: a token, as OPT, or nothing, as SmolLM2; two for good measure. */
const prefixes = [[2], [], [2, 7]]

/** A tokeniser of two characters per token, so that words differ in length; token 0xABCD spells two characters. */
const encode: Encode = (text) =>
  (text.match(/[^]{1,2}/g) ?? []).map((pair) => pair.charCodeAt(0) * 256 + (pair.charCodeAt(1) || 0))
const spell = (tokens: Iterable<number>): string =>
  [...tokens]
    .map((id) => String.fromCharCode(id >> 8) + (id & 255 ? String.fromCharCode(id & 255) : ''))
    .join('')

const someText = fc
  .array(fc.tuple(fc.stringMatching(/^[a-z"',.-]{1,9}$/), fc.constantFrom(' ', '\n')), {
    minLength: 1,
    maxLength: 60,
  })
  .map((words) =>
    words
      .map(([word, space]) => word + space)
      .join('')
      .trimEnd(),
  )
const someSizes = fc.record({
  prompt: fc.integer({ min: 2, max: 20 }),
  continuation: fc.integer({ min: 1, max: 20 }),
  prefixIds: fc.constantFrom(...prefixes),
})
const documentOf = (text: string): Document => ({ name: 'page', genre: 'prose', text })

type Cut = typeof cutWindows

const cutsAreExact = lawForAll(
  'spell whole words of the document, in order, each counted once',
  { text: someText, sizes: someSizes },
  (cut: Cut, { text, sizes }) => {
    const windows = cut(documentOf(text), makeWordEncoder(encode), sizes)
    let spelled = ''
    for (const { tokens, promptLength, words } of windows) {
      const { prefixIds } = sizes
      expect([...tokens.subarray(0, prefixIds.length)]).toEqual(prefixIds)
      expect(promptLength).toBeGreaterThan(prefixIds.length)
      expect(promptLength).toBeLessThanOrEqual(sizes.prompt)
      expect(tokens.length - promptLength).toBeLessThanOrEqual(sizes.continuation)
      const scored = spell(tokens.subarray(promptLength))
      expect(scored.split(/\s+/).filter(Boolean)).toHaveLength(words)
      expect(words).toBeGreaterThan(0)
      spelled += spell(tokens.subarray(prefixIds.length))
    }
    // Together the windows spell the beginning of the document, cut at the end of a word.
    expect(text.startsWith(spelled)).toBe(true)
    if (spelled) expect(text.slice(spelled.length)).toMatch(/^(\s|$)/)
  },
)

describe('windows', () => {
  stateLaw(cutsAreExact, cutWindows)

  law(
    'score exactly the tokens after the prompt',
    { text: someText, sizes: someSizes },
    ({ text, sizes }) => {
      for (const window of cutWindows(documentOf(text), makeWordEncoder(encode), sizes)) {
        const labels = continuationLabels(window)
        labels.forEach((label, t) => expect(label).toBe(t < window.promptLength ? -100 : window.tokens[t]))
      }
    },
  )

  law(
    'are drawn once each, genres in turn; a smaller draw is a prefix of a larger one',
    { count: fc.nat(60), seed: fc.nat() },
    ({ count, seed }) => {
      const documents = Array.from({ length: 12 }, (_, i): Document => {
        return { name: String(i), genre: ['a', 'b', 'b', 'c', 'c', 'c'][i % 6], text: '' }
      })
      // Documents 0 to 11 have 0, 1, 2, 3, 4, 5, 0, ... windows: 30 in all.
      const cut = ({ name, genre }: Document): Window[] =>
        Array.from({ length: Number(name) % 6 }, (_, i) => {
          return { document: `${name}.${i}`, genre, tokens: Int32Array.of(2), promptLength: 1, words: 1 }
        })
      const drawn = drawWindows(documents, count, seed, cut)
      expect(new Set(drawn.map(({ document }) => document)).size).toBe(Math.min(count, 30))
      expect(drawWindows(documents, 60, seed, cut).slice(0, count)).toEqual(drawn)
      // Genre a has none, b has 6, c has 24.
      const ofGenre = (genre: string): number => drawn.filter((window) => window.genre === genre).length
      if (count <= 12) expect(Math.abs(ofGenre('b') - ofGenre('c'))).toBeLessThan(2)
    },
  )

  test('need a prompt and a continuation of at least one token', () => {
    const sizes = { prompt: 1, continuation: 4, prefixIds: [2] }
    expect(() => cutWindows(documentOf('a b'), makeWordEncoder(encode), sizes)).toThrow(
      'window: expected a prompt of 2 tokens or more and a continuation, got 1 + 4',
    )
  })
})

describe('words', () => {
  test('encoded one by one are the text encoded at once: the real tokenizer, every genre', async () => {
    const tokenizer = await openTokenizer(`${fixtures}tiny-opt`)
    if (!tokenizer) return expect.unreachable()
    const plain: Encode = (text) => tokenizer.encode(text, { prefix: false })
    const genres = Map.groupBy(await loadBrown(), ({ genre }) => genre)
    for (const [{ text }] of genres.values())
      expect(makeWordEncoder(plain)(text).flatMap((tokens) => [...tokens])).toEqual(plain(text))
  })
})

const withText =
  (change: (window: Window) => Window): Cut =>
  (...args) =>
    cutWindows(...args).map(change)
const mutants: Readonly<Record<string, Cut>> = {
  'words of the whole window are counted': withText((window) => ({ ...window, words: window.words + 1 })),
  'the prompt forgets </s>': withText((window) => ({ ...window, tokens: window.tokens.subarray(1) })),
  'every model expects </s>': (document, words, sizes) =>
    cutWindows(document, words, { ...sizes, prefixIds: [2] }),
  'the boundary is off by one token': withText((window) => ({
    ...window,
    promptLength: window.promptLength + 1,
  })),
}

describe('mutants of cutWindows', () => {
  for (const [name, mutant] of Object.entries(mutants))
    test(`${name}: killed`, () => kills(cutsAreExact, mutant))
})

/**
 * What a language model learns from: the tokens of the text, all of them once an epoch, in an order that the seed and
 * the number of a step decide.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { openTokenizer } from '../../src/io/tokenizer.ts'
import {
  cutStream,
  holdOut,
  joinDocuments,
  makeTextEncoder,
  seededBatches,
  spread,
} from '../../src/training/pretrain_data.ts'
import { fixtures } from '../golden/golden.ts'
import { kills, killsEach, law, lawForAll, stateLaw } from '../harness/seed.ts'

const tokenizer = await openTokenizer(`${fixtures}tiny-opt`)
if (tokenizer === null) throw new Error('the embedded model has a tokenizer')
const encode = (text: string): number[] => tokenizer.encode(text, { prefix: false })

const anyText = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc
    .array(fc.constantFrom('a', 'word', "don't", '42', '.', ' ', '  ', '\n', '\n\n', '\t', ' ', 'é', '</s>'))
    .map((parts) => parts.join('')),
)

const encodesText = lawForAll(
  'gives the tokens of the text',
  { text: anyText },
  (make: typeof makeTextEncoder, { text }) => expect([...make(encode)(text)]).toEqual(encode(text)),
)

describe('an encoder with a cache of words', () => {
  stateLaw(encodesText, makeTextEncoder)

  test('one that drops white space at borders is found', () => {
    const mutant: typeof makeTextEncoder = (one) => (text) =>
      Int32Array.from((text.match(/\s?\S+/g) ?? []).flatMap((word) => Array.from(one(word))))
    return kills(encodesText, mutant)
  })
})

describe('windows', () => {
  const stream = fc
    .array(fc.integer({ min: 3, max: 99 }), { maxLength: 60 })
    .map((ids) => Int32Array.from(ids))
  const length = fc.integer({ min: 2, max: 9 })

  const coverTheStream = lawForAll(
    'begin with </s> and hold the stream once, except a remainder',
    { tokens: stream, length },
    (cut: typeof cutStream, { tokens, length }) => {
      const windows = cut(tokens, length, 2)
      for (const window of windows) expect([window.length, window[0]]).toEqual([length, 2])
      const covered = windows.flatMap((window) => [...window.subarray(1)])
      expect(covered).toEqual([...tokens.subarray(0, covered.length)])
      expect(tokens.length - covered.length).toBeLessThan(length - 1)
    },
  )

  stateLaw(coverTheStream, cutStream)

  test('windows that overlap are found', () => {
    const mutant: typeof cutStream = (tokens, length, bos) => [
      ...cutStream(tokens, length, bos),
      ...cutStream(tokens.subarray(1), length, bos),
    ]
    return kills(coverTheStream, mutant)
  })

  test('documents follow each other with a separator between', () => {
    const documents = [Int32Array.of(5, 6), new Int32Array(0), Int32Array.of(7)]
    expect([...joinDocuments(documents, 2)]).toEqual([5, 6, 2, 2, 7])
    expect([...joinDocuments([], 2)]).toEqual([])
  })

  const numbered = (count: number): Int32Array[] =>
    Array.from({ length: count }, (_, i) => Int32Array.of(2, i))
  const numbersOf = (windows: readonly Int32Array[]): number[] => windows.map((window) => window[1])

  law(
    'are each trained on or held out, by their index',
    { count: fc.nat(40), every: fc.integer({ min: 1, max: 9 }) },
    ({ count, every }) => {
      const { training, heldOut } = holdOut(numbered(count), every)
      const held = Array.from({ length: Math.floor(count / every) }, (_, i) => (i + 1) * every - 1)
      expect(numbersOf(heldOut)).toEqual(held)
      expect(numbersOf(training)).toEqual(numbersOf(numbered(count)).filter((i) => !held.includes(i)))
    },
  )

  law(
    'are spread evenly: the first of each of as many equal parts, all of them where they are few',
    { count: fc.nat(99), most: fc.nat(40) },
    ({ count, most }) => {
      const taken = numbersOf(spread(numbered(count), most))
      expect(taken).toHaveLength(Math.min(count, most))
      taken.forEach((place, i) => {
        // place <= i count / taken < place + 1, in whole numbers.
        expect(place * taken.length).toBeLessThanOrEqual(i * count)
        expect((place + 1) * taken.length).toBeGreaterThan(i * count)
      })
    },
  )

  test('of one token are refused, as there is nothing to predict', () => {
    expect(() => cutStream(Int32Array.of(1), 1, 2)).toThrow(/^window: expected 2 tokens or more, got 1$/)
    expect(() => seededBatches(0, 1, 0)).toThrow(/expected the tokens of at least one window/)
  })
})

describe('batches', () => {
  const sizes = {
    windows: fc.integer({ min: 2, max: 40 }),
    batch: fc.integer({ min: 1, max: 9 }),
    seed: fc.nat(),
  }

  /** The first draws of a run, its steps asked for from the first on or from the last on. */
  const drawn = (
    of: typeof seededBatches,
    sizes: [number, number, number],
    fromTheLast = false,
  ): number[] => {
    const [windows, batch] = sizes
    const steps = Array.from({ length: Math.ceil((3 * windows) / batch) }, (_, step) => step)
    const batches = of(...sizes)
    const asked = (fromTheLast ? steps.toReversed() : steps).map((step) => [...batches(step)])
    return (fromTheLast ? asked.toReversed() : asked).flat()
  }

  const goThroughAll = lawForAll(
    'take every window once an epoch, whichever step is asked for first; another epoch or seed has another order',
    { ...sizes },
    (of: typeof seededBatches, { windows, batch, seed }) => {
      const draws = drawn(of, [windows, batch, seed])
      expect(drawn(of, [windows, batch, seed], true)).toEqual(draws)
      const epochs = [0, 1, 2].map((epoch) => draws.slice(epoch * windows, (epoch + 1) * windows))
      const all = Array.from({ length: windows }, (_, i) => i)
      for (const epoch of epochs) expect(epoch.toSorted((a, b) => a - b)).toEqual(all)
      if (windows < 20) return
      expect(epochs[1]).not.toEqual(epochs[0])
      expect(drawn(of, [windows, batch, seed + 1]).slice(0, windows)).not.toEqual(epochs[0])
    },
  )
  stateLaw(goThroughAll, seededBatches)

  killsEach('batches that %s are found', goThroughAll, {
    'are drawn anew each step': (windows, batch, seed) => (step) =>
      seededBatches(windows, batch, seed + step)(0),
    'have one order for all epochs': (windows, batch, seed) => {
      const order = seededBatches(windows, windows, seed)(0)
      return (step) => Int32Array.from({ length: batch }, (_, b) => order[(step * batch + b) % windows])
    },
    'do not ask the seed': (windows, batch) => seededBatches(windows, batch, 0),
    'count on being asked in order': (windows, batch, seed) => {
      let step = 0
      return () => seededBatches(windows, batch, seed)(step++)
    },
  })
})

/**
 * A peer whose logits are not ours is not timed.
 */
import { describe, expect, test } from 'vitest'
import { compareContinuations } from '../../bench/peers/agree.ts'
import {
  checkAgreement,
  promptOf,
  relativeError,
  samplesOf,
  type Arm,
  type Decoder,
} from '../../bench/peers/decoder.ts'
import { Roster, type Reference } from '../../bench/peers/measure.ts'
import type { Format } from '../../src/io/gguf_formats.ts'
import { MissingError, ShadowError } from '../../src/tensor/errors.ts'

const peer = { name: 'peer', tolerance: 0.01 }
const f32 = (...values: number[]): Float32Array => Float32Array.from(values)

describe('greedy continuations of two engines', () => {
  const ours = { tokens: [1, 0, 1], logs: [f32(-4, -1), f32(-1, -2), f32(-2, -1)] }

  test('agree where all tokens are equal and each log-probability is within the tolerance', () => {
    const logs = [f32(-4, -1), f32(-1, -2), f32(-2.02, -1)]
    const { error, ...rest } = compareContinuations(ours, { tokens: ours.tokens, logs })
    expect(rest).toEqual({ tokens: 3, equal: 3, agrees: true })
    expect(error).toBeCloseTo(0.005)
  })

  test.each([
    ['a log-probability beyond the tolerance', ours.tokens, [f32(-4, -1), f32(-1, -2), f32(-2.2, -1)], 3],
    ['NaN', ours.tokens, [f32(-4, -1), f32(NaN, -2), f32(-2, -1)], 3],
    ['another vocabulary', ours.tokens, [f32(-4, -1), f32(-1, -2), f32(-2, -1, -9)], 3],
    ['a step missing', [1, 0], [f32(-4, -1), f32(-1, -2)], 2],
    ['another token', [1, 1, 1], ours.logs, 1],
  ])('%s is a disagreement', (_, tokens, logs, equal) => {
    expect(compareContinuations(ours, { tokens, logs })).toMatchObject({ equal, agrees: false })
  })

  test('of a file of blocks tokens may differ, and log-probabilities by what 8 bits of activations explain', () => {
    const theirs = (log: number) => ({ tokens: [1, 1, 1], logs: [f32(-4, -1), f32(-1, log), f32(-2, -1)] })
    expect(compareContinuations(ours, theirs(-1.3), true)).toMatchObject({ equal: 1, agrees: true })
    expect(compareContinuations(ours, theirs(-1.3), false)).toMatchObject({ equal: 1, agrees: false })
    expect(compareContinuations(ours, theirs(0), true)).toMatchObject({ equal: 1, agrees: false })
  })

  test('after the first token that differs nothing is compared: the texts are different ones', () => {
    const logs = [f32(-4, -1), f32(-1, -2), f32(-9, -9)]
    expect(compareContinuations(ours, { tokens: [1, 1, 0], logs })).toMatchObject({ equal: 1, error: 0 })
  })
})

describe('agreement', () => {
  test('the error is the largest one, as a share of the largest logit', () => {
    expect(relativeError([f32(1, -4), f32(2, 2)], [f32(1, -4), f32(2, 3)])).toBe(0.25)
    expect(checkAgreement(peer, [f32(100, -400)], [f32(101, -400)])).toBe(0.0025)
  })

  test('a method that computes something else on purpose is not compared, and says so', () => {
    expect(checkAgreement({ ...peer, tolerance: null }, [f32(1, 2)], [f32(3, 4)])).toBeNull()
  })

  test('where logits are known but for a number added to all, that number does not matter, and all else does', () => {
    const shifted = { ...peer, shifted: true } as const
    expect(checkAgreement(shifted, [f32(1, 3), f32(2, 8)], [f32(-4, -2), f32(12, 18)])).toBe(0)
    expect(() => checkAgreement(shifted, [f32(1, 3)], [f32(1, 4)])).toThrow('differ by 5.0e-1 of')
    expect(() => checkAgreement(peer, [f32(1, 3)], [f32(-4, -2)])).toThrow('differ by')
  })

  test.each([
    ['NaN', [f32(NaN, 4)]],
    ['infinity', [f32(3, -Infinity)]],
    ['another vocabulary', [f32(3)]],
    ['a position missing', []],
  ])('%s is refused of a method that is not compared, too', (_, actual) => {
    expect(() => checkAgreement({ ...peer, tolerance: null }, [f32(1, 2)], actual)).toThrow(
      expect.objectContaining({ code: 'PEER_DISAGREES', exitCode: 1 }),
    )
  })

  test.each([
    ['a logit further off than the tolerance', [f32(1, 2)], [f32(1, 2.1)]],
    ['a wrong logit of the last position alone', [f32(1, 2), f32(1, 2)], [f32(1, 2), f32(1, 3)]],
    ['NaN', [f32(1, 2)], [f32(NaN, 2)]],
    ['NaN everywhere', [f32(NaN, NaN)], [f32(NaN, NaN)]],
    ['infinity', [f32(1, 2)], [f32(1, Infinity)]],
    ['another vocabulary', [f32(1, 2)], [f32(1, 2, 3)]],
    ['a position missing', [f32(1, 2), f32(1, 2)], [f32(1, 2)]],
  ])('%s is refused', (_, expected, actual) => {
    expect(() => checkAgreement(peer, expected, actual)).toThrow(
      expect.objectContaining({ code: 'PEER_DISAGREES', exitCode: 1 }),
    )
  })
})

/** A decoder whose logits tell what it was fed: a sum of tokens, weighted by position. */
class Adding implements Decoder {
  readonly #scale: number
  #fed: number[] = []

  constructor(scale = 1) {
    this.#scale = scale
  }

  begin(prompt: Int32Array): Float32Array {
    this.#fed = [...prompt]
    return this.logits(this.#fed)
  }

  next(token: number): Float32Array {
    this.#fed.push(token)
    return this.logits(this.#fed)
  }

  logits(fed: readonly number[]): Float32Array {
    return f32(this.#scale * fed.reduce((sum, token, i) => sum + token * (i + 1), 0), fed.length)
  }

  dispose(): void {}
}

const VOCABULARY = 50
const armOf = (name: string, decoder: Decoder): Arm<null> => ({
  name,
  engine: name,
  weights: 'f32',
  format: 'F32',
  sparsity: 0,
  threads: 1,
  tolerance: 1e-6,
  make: async () => decoder,
})
const reference: Reference = { samples: () => samplesOf(new Adding(), VOCABULARY), error: 0 }

describe('the comparison before timing', () => {
  test('the same logits are accepted', async () => {
    const roster = new Roster(VOCABULARY, reference)
    const loaded = await roster.load([armOf('ours', new Adding()), armOf('peer', new Adding())], null)
    expect(loaded.map(({ name, error }) => [name, error])).toEqual([
      ['ours', 0],
      ['peer', 0],
    ])
    expect(roster.leftOut).toEqual([])
  })

  test.each([
    [
      'its past',
      new (class extends Adding {
        override next(token: number): Float32Array {
          return this.begin(Int32Array.of(token))
        }
      })(),
    ],
    [
      'the order of its past',
      new (class extends Adding {
        override logits(fed: readonly number[]): Float32Array {
          return super.logits(fed.toSorted((a, b) => a - b))
        }
      })(),
    ],
    [
      'to begin anew',
      new (class extends Adding {
        #all: number[] = []
        override begin(prompt: Int32Array): Float32Array {
          this.#all.push(...prompt)
          return super.begin(Int32Array.from(this.#all))
        }
      })(),
    ],
  ])('a peer that forgets %s is refused', async (_, broken) => {
    const roster = new Roster(VOCABULARY, reference)
    await expect(roster.load([armOf('peer', broken)], null)).rejects.toMatchObject({ code: 'PEER_DISAGREES' })
  })

  test('a method without memory is left out and named; other errors, and those of the reference, are thrown', async () => {
    const failing = (error: Error): Arm<null> => ({
      ...armOf('large', new Adding()),
      make: async () => {
        throw error
      },
    })
    const noMemory = new MissingError('BACKEND_MEMORY', 'large: expected less')
    const roster = new Roster(VOCABULARY, reference)
    const loaded = await roster.load([armOf('ours', new Adding()), failing(noMemory)], null)
    expect(loaded.map(({ name }) => name)).toEqual(['ours'])
    expect(roster.leftOut).toEqual([{ name: 'large', reason: 'large: expected less' }])
    const missing = new MissingError('PEERS_MISSING', 'peers: expected')
    await expect(roster.load([failing(missing)], null)).rejects.toBeInstanceOf(ShadowError)
    const broken = new Roster(VOCABULARY, { ...reference, samples: () => Promise.reject(noMemory) })
    await expect(broken.load([armOf('ours', new Adding())], null)).rejects.toThrow('large: expected less')
  })

  test('a method is held against the weights of its own file, and the error of the reference is allowed', async () => {
    const files: Format[] = []
    const ofFile: Reference = {
      error: 0.5,
      samples(format) {
        files.push(format)
        return samplesOf(new Adding(format === 'F16' ? 2 : 1), VOCABULARY)
      },
    }
    const roster = new Roster(VOCABULARY, ofFile)
    const rounded: Arm<null> = { ...armOf('rounded', new Adding(2)), format: 'F16' }
    const loaded = await roster.load([armOf('ours', new Adding(1.25)), rounded, rounded], null)
    expect(loaded.map(({ error }) => error)).toEqual([expect.closeTo(0.25), 0, 0])
    expect(files).toEqual(['F32', 'F16'])
    const wrong: Arm<null> = { ...rounded, make: async () => new Adding(4) }
    await expect(roster.load([wrong], null)).rejects.toMatchObject({ code: 'PEER_DISAGREES' })
  })

  test('covers a prompt, cached steps and another prompt', async () => {
    const samples = await samplesOf(new Adding(), VOCABULARY)
    expect(samples.map(([, length]) => length)).toEqual([8, 9, 10, 11, 12, 24])
    expect(new Set(promptOf(24, VOCABULARY)).size).toBeGreaterThan(12)
  })
})

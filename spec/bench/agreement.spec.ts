/**
 * A peer whose logits are not ours is not timed.
 */
import { describe, expect, test } from 'vitest'
import {
  checkAgreement,
  promptOf,
  relativeError,
  samplesOf,
  type Decoder,
} from '../../bench/peers/decoder.ts'
import { Roster } from '../../bench/peers/measure.ts'
import { MissingError, ShadowError } from '../../src/tensor/errors.ts'

const peer = { name: 'peer', tolerance: 0.01 }
const f32 = (...values: number[]): Float32Array => Float32Array.from(values)

describe('agreement', () => {
  test('the error is the largest one, as a share of the largest logit', () => {
    expect(relativeError([f32(1, -4), f32(2, 2)], [f32(1, -4), f32(2, 3)])).toBe(0.25)
    expect(checkAgreement(peer, [f32(100, -400)], [f32(101, -400)])).toBe(0.0025)
  })

  test('a method that computes something else on purpose is not compared, and says so', () => {
    expect(checkAgreement({ ...peer, tolerance: null }, [f32(1, 2)], [f32(3, 4)])).toBeNull()
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
  #fed: number[] = []

  begin(prompt: Int32Array): Float32Array {
    this.#fed = [...prompt]
    return this.logits(this.#fed)
  }

  next(token: number): Float32Array {
    this.#fed.push(token)
    return this.logits(this.#fed)
  }

  logits(fed: readonly number[]): Float32Array {
    return f32(
      fed.reduce((sum, token, i) => sum + token * (i + 1), 0),
      fed.length,
    )
  }

  dispose(): void {}
}

const VOCABULARY = 50
const armOf = (name: string, decoder: Decoder) => ({
  name,
  threads: 1,
  tolerance: 1e-6,
  make: async (): Promise<Decoder> => decoder,
})

describe('the comparison before timing', () => {
  test('the same logits are accepted', async () => {
    const roster = new Roster(VOCABULARY)
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
    const roster = new Roster(VOCABULARY)
    await roster.load([armOf('ours', new Adding())], null)
    await expect(roster.load([armOf('peer', broken)], null)).rejects.toMatchObject({ code: 'PEER_DISAGREES' })
  })

  test('a method without memory is left out and named; other errors, and those of the first method, are thrown', async () => {
    const failing = (error: Error) => ({
      ...armOf('large', new Adding()),
      make: async (): Promise<Decoder> => {
        throw error
      },
    })
    const noMemory = new MissingError('BACKEND_MEMORY', 'large: expected less')
    const roster = new Roster(VOCABULARY)
    await expect(roster.load([failing(noMemory)], null)).rejects.toThrow('large: expected less')
    const loaded = await roster.load([armOf('ours', new Adding()), failing(noMemory)], null)
    expect(loaded.map(({ name }) => name)).toEqual(['ours'])
    expect(roster.leftOut).toEqual([{ name: 'large', reason: 'large: expected less' }])
    const missing = new MissingError('PEERS_MISSING', 'peers: expected')
    await expect(roster.load([failing(missing)], null)).rejects.toBeInstanceOf(ShadowError)
  })

  test('covers a prompt, cached steps and another prompt', async () => {
    const samples = await samplesOf(new Adding(), VOCABULARY)
    expect(samples.map(([, length]) => length)).toEqual([8, 9, 10, 11, 12, 24])
    expect(new Set(promptOf(24, VOCABULARY)).size).toBeGreaterThan(12)
  })
})

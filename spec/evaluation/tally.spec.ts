/**
 * A tally has plain sums over its scores: by unit for errors, over the whole text for the first difference.
 */
import fc from 'fast-check'
import { describe, expect } from 'vitest'
import type { ComparedCost } from '../../src/evaluation/score_window.ts'
import { Tally, type Measured } from '../../src/evaluation/tally.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { ratioByHand } from './by_hand.ts'

/** A score of numbers that float64 adds exactly. */
const someScore = fc
  .record({
    unit: fc.nat(3),
    nll: fc.integer({ min: -64, max: 640 }),
    kl: fc.integer({ min: -4, max: 640 }),
    tokens: fc.integer({ min: 1, max: 9 }),
    differs: fc.option(fc.nat(8)),
  })
  .map(({ unit, nll, kl, tokens, differs }): { unit: number; score: ComparedCost } => {
    const firstDifference = differs === null ? null : differs % tokens
    const agreed = firstDifference === null ? tokens : tokens - 1
    return { unit, score: { nll: nll / 64, kl: kl / 64, tokens, agreed, firstDifference } }
  })

const addsUp = lawForAll(
  'adds up windows by unit, and counts differences over the whole text',
  { scores: fc.array(someScore, { minLength: 1, maxLength: 30 }) },
  (make: () => Tally, { scores }) => {
    const tally = make()
    const [nll, kl, tokens, above]: number[][] = [[], [], [], []]
    const texts: boolean[] = []
    for (const [i, { unit, score }] of scores.entries()) {
      const share = i / 32
      const layers = [{ heads: share, neurons: 0, weights: 1 }]
      const achieved = { heads: share, neurons: 1 - share, weights: 0.5, layers }
      tally.add(unit, { ...score, decisions: i % 4 }, achieved)
      nll[unit] = (nll[unit] ?? 0) + score.nll
      kl[unit] = (kl[unit] ?? 0) + score.kl
      tokens[unit] = (tokens[unit] ?? 0) + score.tokens
      for (let t = 0; t < score.tokens; t++) texts.push(t === score.firstDifference)
    }
    tokens.forEach((count, unit) => (above[unit] = count * (unit + 2)))
    const first = texts.indexOf(true)
    expect(tally.tokens).toBe(texts.length)
    expect(tally.decisions).toBe(scores.reduce((sum, _, i) => sum + (i % 4), 0) / scores.length)
    expect(tally.firstDifference).toBe(first < 0 ? null : first)
    expect(tally.agreement).toBe(texts.filter((differs) => !differs).length / texts.length)
    const expected = [ratioByHand(kl, tokens), ratioByHand(nll, tokens), ratioByHand(nll, above)]
    const found = [tally.kl, tally.natsPer(), tally.natsPer((unit) => unit + 2)]
    expected.forEach(({ value, error }, i) => {
      expect(found[i].value).toBeCloseTo(value, 9)
      if (Number.isNaN(error)) expect(found[i].error ?? NaN).toBeNaN()
      else expect(found[i].error).toBeCloseTo(error, 9)
    })
    // A row of twice the nats, over the same windows.
    const twice = make()
    for (const { unit, score } of scores)
      twice.add(unit, { ...score, kl: 2 * score.kl }, { heads: 0, neurons: 0, weights: 0, layers: [] })
    const over = twice.klOver(tally)
    expect(over.value).toBeCloseTo(expected[0].value, 9)
    if (!Number.isNaN(expected[0].error)) expect(over.error).toBeCloseTo(expected[0].error, 9)
    expect(tally.klOver(tally).value).toBe(0)
    const skipped = (scores.length - 1) / 64
    expect(tally.achieved.heads).toBeCloseTo(skipped, 9)
    expect(tally.achieved.neurons).toBeCloseTo(1 - skipped, 9)
    expect(tally.achieved.weights).toBeCloseTo(0.5, 9)
    expect(tally.achieved.layers[0].heads).toBeCloseTo(skipped, 9)
  },
)

describe('a tally', () => {
  stateLaw(addsUp, () => new Tally())

  class InItsWindow extends Tally {
    override get firstDifference(): number | null {
      const first = super.firstDifference
      return first === null ? null : first % 9
    }
  }
  class Unsigned extends Tally {
    override add(...[unit, score, achieved]: Parameters<Tally['add']>): void {
      super.add(unit, { ...score, tokens: score.tokens, kl: Math.abs(score.kl) }, achieved)
    }
  }
  class OneUnit extends Tally {
    override add(...[, score, achieved]: Parameters<Tally['add']>): void {
      super.add(0, score, achieved)
    }
  }

  class Unpaired extends Tally {
    override klOver(other: Tally): Measured {
      return { value: this.kl.value - other.kl.value, error: (this.kl.error ?? 0) + (other.kl.error ?? 0) }
    }
  }
  class Reversed extends Tally {
    override klOver(other: Tally): Measured {
      const { value, error } = super.klOver(other)
      return { value: -value, error }
    }
  }

  killsEach('mutant: one that %s: killed', addsUp, {
    'forgets how many tokens came before': () => new InItsWindow(),
    'takes a negative KL for a positive one': () => new Unsigned(),
    'takes all units for one': () => new OneUnit(),
    'adds the errors of two rows': () => new Unpaired(),
    'takes the other row less this one': () => new Reversed(),
  })
})

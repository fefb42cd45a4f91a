/**
 * Sequences that are fed in steps, in turns with others.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import type { Sequence } from '../../src/engine/sequence.ts'
import { makeMask, type UnitMask } from '../../src/masks/mask.ts'
import type { PlannerBy } from '../../src/masks/planner.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { overQuickBackends } from '../harness/backends.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { smallCase, withModel, type ModelCase } from './cases.ts'

const model: ModelCase = { ...smallCase, heads: 3, headSize: 4, neurons: 20, vocabulary: 40, positions: 80 }
const { layers, heads, neurons } = model

/** Leaves out one unit of each kind in all layers but the first: which one, the last id of the prompt says. */
const planner: PlannerBy<'attention'> = {
  name: 'leaves one out',
  by: 'attention',
  choose: ({ ids }): UnitMask => {
    const id = ids[ids.length - 1]
    const rows = (units: number): Float32Array =>
      Float32Array.from({ length: layers * units }, (_, i) =>
        i >= units && i % units === id % units ? 0 : 1,
      )
    return makeMask({ layers, heads, neurons }, rows(heads), rows(neurons))
  },
}

/** A prompt of more tokens than run at once, or of fewer. */
const someIds = fc.array(fc.nat(39), { minLength: 1, maxLength: 70 }).map((ids) => Int32Array.from(ids))

/** Feeds sequences in turns, each by the step that this function makes. */
type Feed = (sequence: Sequence, ids: Int32Array) => Generator<null, Float32Array, void>
const inSteps: Feed = (sequence, ids) => sequence.feedInSteps(ids)

function inTurns(loaded: LanguageModel, feed: Feed, prompts: readonly Int32Array[]): Float32Array[] {
  const sequences = prompts.map(() => loaded.begin({ planner }))
  const results: Float32Array[] = []
  try {
    const feeds = prompts.map((ids, i) => feed(sequences[i], ids))
    while (results.filter(Boolean).length < feeds.length)
      for (const [i, steps] of feeds.entries()) {
        if (results[i]) continue
        const { done, value } = steps.next()
        if (done) results[i] = value
      }
    return results
  } finally {
    for (const sequence of sequences) sequence.dispose()
  }
}

overQuickBackends((backend: Backend) => {
  const haveTheirBits = lawForAll(
    'prompts that are fed in steps, in turns with others, have the bits that they have alone',
    { prompts: fc.array(someIds, { minLength: 1, maxLength: 3 }) },
    (feed: Feed, { prompts }) =>
      withModel({ backend, load: LanguageModel.load }, model, (loaded) => {
        const alone = prompts.map((ids) => {
          const sequence = loaded.begin({ planner })
          try {
            return sequence.feed(ids)
          } finally {
            sequence.dispose()
          }
        })
        const turns = inTurns(loaded, feed, prompts)
        for (const [i, logits] of alone.entries()) sameBits(`prompt ${i}`, turns[i], logits)
      }),
    { runs: 20 },
  )
  stateLaw(haveTheirBits, inSteps)

  describe('feeds that are not the same are found', () => {
    test.each<[string, Feed]>([
      [
        'a prompt in two parts, the first of which decides',
        function* (sequence, ids) {
          if (ids.length > 1) yield* sequence.feedInSteps(ids.subarray(0, -1))
          return yield* sequence.feedInSteps(ids.subarray(-1))
        },
      ],
      [
        'a prompt that goes on from another',
        function* (sequence, ids) {
          yield* sequence.feedInSteps(Int32Array.of(1))
          return yield* sequence.feedInSteps(ids)
        },
      ],
    ])('%s', (_, mutant) => kills(haveTheirBits, mutant))
  })

  test('a long prompt has a step for each operation, a short one has one', () =>
    withModel({ backend, load: LanguageModel.load }, model, (loaded) => {
      const stepsOf = (tokens: number): number => {
        const sequence = loaded.begin()
        try {
          return [...sequence.feedInSteps(new Int32Array(tokens).fill(2), 'none')].length
        } finally {
          sequence.dispose()
        }
      }
      const [, ...sections] = loaded.plan.sections
      const operations = sections.slice(0, layers).reduce((total, { steps }) => total + steps.length, 0)
      expect([stepsOf(1), stepsOf(32), stepsOf(33)]).toEqual([0, 0, operations])
    }))

  test('every other call is refused until a feed has ended, and also to the planner that it asks', () =>
    withModel({ backend, load: LanguageModel.load }, model, (loaded) => {
      const ids = Int32Array.from({ length: 40 }, (_, i) => i % 7)
      const busy = expect.objectContaining({
        code: 'BUSY',
        message: 'sequence: expected one call at a time, got another while a feed is still writing to it',
      }) as object
      const tries = (sequence: Sequence): void => {
        expect(() => sequence.feed(ids)).toThrow(busy)
        expect(() => sequence.feedInSteps(ids).next()).toThrow(busy)
        expect(() => sequence.score(ids, ids)).toThrow(busy)
        expect(() => sequence.rewind(1)).toThrow(busy)
        expect(() => sequence.state()).toThrow(busy)
      }
      let asked = 0
      const asking: PlannerBy<'attention'> = {
        ...planner,
        choose(view) {
          asked++
          tries(sequence)
          return planner.choose(view)
        },
      }
      const sequence = loaded.begin({ planner: asking })
      const alone = loaded.begin({ planner })
      const steps = sequence.feedInSteps(ids)
      let step = steps.next()
      for (; !step.done; step = steps.next()) tries(sequence)
      sameBits('logits', step.value, alone.feed(ids))
      expect(asked).toBe(1)
      sequence.feed(Int32Array.of(3))
      // A feed that failed has ended.
      const failing = loaded.begin({
        planner: {
          ...planner,
          choose() {
            throw new Error('no idea')
          },
        },
      })
      for (let time = 0; time < 2; time++) expect(() => failing.feed(ids)).toThrow('no idea')
      for (const one of [sequence, alone, failing]) one.dispose()
    }))
})

/**
 * Merges as pairs of ids, against a search of the list.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { pairsOf } from '../../src/io/piece_merges.ts'

const IDS = new Map([...'abcde'].map((token, i) => [token, 3 * i]))
const token = fc.constantFrom(...IDS.keys())

test('a pair has the rank of its first place in the list, and the first pair that is there again is found', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(token, token), { maxLength: 12, size: 'max' }), (merges) => {
      const keys = merges.map((pair) => pair.join(' '))
      const pairs = pairsOf(merges, new Map(IDS))
      for (const [left, from] of IDS)
        for (const [right, to] of IDS) {
          const at = keys.indexOf(`${left} ${right}`)
          expect(pairs.rankOf(from, to)).toBe(at === -1 ? undefined : at)
        }
      const again = keys.findIndex((key, i) => keys.indexOf(key) < i)
      expect(pairs.repeated()).toBe(again === -1 ? undefined : again)
    }),
  )
})

test('ids that get another list of merges get other ranks', () => {
  expect(pairsOf([['a', 'b']], IDS).rankOf(0, 3)).toBe(0)
  expect(pairsOf([['b', 'a']], IDS).rankOf(0, 3)).toBeUndefined()
})

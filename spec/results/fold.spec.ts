/**
 * Tables and lines that are wider than a terminal are folded and wrapped: nothing is lost, and nothing is wider than it must be.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { foldColumns, GAP, wrapLines } from '../../src/results/fold.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'

const widths = fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 12 })
const fits = fc.record({ columns: fc.integer({ min: 1, max: 100 }), keys: fc.integer({ min: 0, max: 4 }) })

const foldsWell = lawForAll(
  'folded columns: each part begins with the keys, has each other column once, fits if it can, and takes what fits',
  { all: widths, fits },
  (fold: typeof foldColumns, { all, fits: { columns, keys } }) => {
    const parts = fold(all, { columns, keys })
    const lead = [...all.keys()].slice(0, keys)
    const rest = parts.map((part) => {
      expect(part.slice(0, lead.length)).toEqual(lead)
      return part.slice(lead.length)
    })
    expect(rest.flat()).toEqual([...all.keys()].slice(keys))
    const widthOf = (part: readonly number[]): number => part.reduce((total, i) => total + all[i] + GAP, -GAP)
    for (const [i, own] of rest.entries()) {
      if (own.length > 1) expect(widthOf(parts[i])).toBeLessThanOrEqual(columns)
      if (i + 1 < rest.length) expect(widthOf([...parts[i], rest[i + 1][0]])).toBeGreaterThan(columns)
    }
  },
)
stateLaw(foldsWell, foldColumns)

describe('a mutant of folding is killed that', () => {
  killsEach('%s', foldsWell, {
    'does not fold': (all) => foldColumns(all, { keys: 0 }),
    'forgets the gaps': (all, fit = {}) => foldColumns(all, { ...fit, columns: (fit.columns ?? 0) + GAP }),
    'folds one column too early': (all, fit = {}) =>
      foldColumns(all, { ...fit, columns: (fit.columns ?? 0) - 1 }),
    'repeats one key only': (all, fit) =>
      foldColumns(all, fit).map((part, i) => (i === 0 ? part : part.slice(1))),
    'loses the last part': (all, fit) => foldColumns(all, fit).slice(0, -1),
  })
})

const texts = fc.array(fc.constantFrom('a', 'word', 'a-longer-word', '±', 'x'.repeat(25)), { maxLength: 20 })

const wrapsWell = lawForAll(
  'wrapped lines: the words of the text in their order, no line longer than it must be, and none could take the next word',
  { words: texts, columns: fc.integer({ min: 4, max: 40 }), indent: fc.constantFrom('', '  ') },
  (wrap: typeof wrapLines, { words, columns, indent }) => {
    const lines = wrap(words.join(' '), columns, indent).split('\n')
    expect(lines.join(' ').split(/ +/).filter(Boolean)).toEqual(words)
    for (const [i, line] of lines.entries()) {
      if (i > 0) expect(line.startsWith(indent)).toBe(true)
      if (line.trim().includes(' ')) expect(line.length).toBeLessThanOrEqual(columns)
      const next = lines[i + 1]?.trim().split(' ')[0]
      if (next !== undefined) expect(`${line} ${next}`.length).toBeGreaterThan(columns)
    }
  },
)
stateLaw(wrapsWell, wrapLines)

describe('a mutant of wrapping is killed that', () => {
  killsEach('%s', wrapsWell, {
    'does not wrap': (text) => text,
    'wraps one character too early': (text, columns, indent) => wrapLines(text, columns - 1, indent),
    'wraps one character too late': (text, columns, indent) => wrapLines(text, columns + 1, indent),
    'forgets the indent': (text, columns) => wrapLines(text, columns),
    'loses a word': (text, ...rest) => wrapLines(text, ...rest).replace(/\n\s*\S+/, '\n'),
  })
})

test('line breaks and the spaces of short lines stay', () => {
  expect(wrapLines('a  b\n\n  c', 10)).toBe('a  b\n\n  c')
})

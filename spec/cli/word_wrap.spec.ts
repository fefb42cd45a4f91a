/**
 * A text that comes in pieces is broken between words where a terminal would cut one, and nothing of it is lost.
 *
 * Tests src/cli/word_wrap.ts and src/cli/step_printer.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { GenerateStep } from '../../src/library/options.ts'
import { render, type Text } from '../../src/cli/screen.ts'
import { stepPrinter } from '../../src/cli/step_printer.ts'
import { WordWrap, wrapWords } from '../../src/cli/word_wrap.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'

const words = fc.array(fc.constantFrom('a', 'word', 'longer-word', 'cafe\u0301', '長い'), {
  maxLength: 20,
})

/** Columns of these words. */
const columnsOf = (line: string): number =>
  [...line].reduce((sum, letter) => sum + (letter === '\u0301' ? 0 : /[長い]/.test(letter) ? 2 : 1), 0)

const wrapsWell = lawForAll(
  'wrapped pieces: the text with some blanks turned into line breaks, no line too wide, none that could take the next word',
  { words, columns: fc.integer({ min: 12, max: 30 }), cuts: fc.array(fc.nat(6), { maxLength: 30 }) },
  (wrap: (text: string, columns: number, cuts: readonly number[]) => string, { words, columns, cuts }) => {
    const text = words.join(' ')
    const wrapped = wrap(text, columns, cuts)
    // A word of wide characters may be cut anywhere.
    expect(wrapped.replace(/[\s]/g, '')).toBe(text.replace(/[\s]/g, ''))
    expect(wrapped.split(/\s+/).join(' ').replaceAll('長 い', '長い')).toBe(text.split(/\s+/).join(' '))
    const lines = wrapped.split('\n')
    for (const [i, line] of lines.entries()) {
      expect(columnsOf(line.trimEnd())).toBeLessThanOrEqual(columns)
      const next = lines[i + 1] ?? ''
      const [first] = /^(?:長|い|[^\s長い]+)/.exec(next) ?? ['']
      if (first !== '') expect(columnsOf(`${line} ${first}`)).toBeGreaterThan(columns)
    }
  },
)
const inPieces = (text: string, columns: number, cuts: readonly number[]): string => {
  const wrap = new WordWrap(() => columns)
  let [shown, rest] = ['', text]
  for (const cut of cuts) {
    shown += wrap.push(rest.slice(0, cut))
    rest = rest.slice(cut)
  }
  return shown + wrap.push(rest) + wrap.end()
}
stateLaw(wrapsWell, inPieces)

describe('a mutant of wrapping is killed that', () => {
  killsEach('%s', wrapsWell, {
    'does not wrap': (text) => text,
    'wraps a column too late': (text, columns, cuts) => inPieces(text, columns + 1, cuts),
    'loses what is held back': (text, columns) => new WordWrap(() => columns).push(text),
    'ends a word with each piece': (text, columns, cuts) => {
      const [cut = 3] = cuts
      return wrapWords(text.slice(0, cut), columns) + wrapWords(text.slice(cut), columns)
    },
  })
})

test.each([
  ['a line that fits stays, with its blanks', 'a  b   ', 7, 'a  b   '],
  ['blanks that have no room are left out', 'ab cd   ', 5, 'ab cd'],
  ['wide characters are broken anywhere, but closing marks stay', '長い道。長い', 7, '長い\n道。長\nい'],
  ['an emoji takes two columns', 'ab 😀😀', 5, 'ab 😀\n😀'],
  [
    'a word that is longer than a line begins one, and is left to the terminal',
    'a bcdefghij k',
    4,
    'a\nbcdefghij k',
  ],
  ['a line break begins a line', 'abc\n\nde fg', 4, 'abc\n\nde\nfg'],
  ['a tab is a blank', 'ab\tcd', 9, 'ab\ncd'],
  ['without a terminal nothing changes', 'one two three', Infinity, 'one two three'],
])('%s', (_, text, columns, wrapped) => {
  expect(wrapWords(text, columns)).toBe(wrapped)
})

test('a window that is resized takes the new width, and a pipe holds nothing back', () => {
  let columns = 5
  const wrap = new WordWrap(() => columns)
  expect([wrap.push('ab cd'), wrap.push(' ef ')]).toEqual(['ab', ' cd\nef'])
  columns = 20
  expect(wrap.push('gh ij kl') + wrap.end()).toBe(' gh ij kl')
  columns = Infinity
  expect(wrap.push('mn')).toBe('mn')
})

test('steps are wrapped on a terminal, each kind in its style, and what is held back comes at the end', async () => {
  const print = async (isAnswer: boolean): Promise<string> => {
    let shown = ''
    const screen = { columns: 6, hasColours: true }
    const session = {
      screen,
      isTerminal: true,
      print: async (text: Text) => void (shown += render(text, screen)),
    }
    const printer = stepPrinter(session, isAnswer)
    const steps: Partial<GenerateStep>[] = [
      { text: 'one t', thinking: true },
      { text: 'wo', thinking: true },
      { text: 'three fo' },
      { text: 'ur' },
    ]
    for (const step of steps) await printer.show(step as GenerateStep)
    await printer.end()
    // oxlint-disable-next-line no-control-regex -- those are the codes of a style
    return shown.replaceAll(/\u001b\[22m(\s*)\u001b\[2m/g, '$1')
  }
  expect(await print(true)).toBe('\u001b[2mone\ntwo\u001b[22m\n\nthree\nfour')
  expect(await print(false)).toBe('\u001b[2mone two\u001b[22m\n\nthree four')
})

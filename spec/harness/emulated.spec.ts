/**
 * SHADOWLLM_EMULATE names chapters of the book, or is refused.
 */
import { expect, test } from 'vitest'
import { chapterNames, chapterOf, readEmulated } from './emulated.ts'

test('the chapters are the folders of the book, and a file is in one of them', () => {
  expect(chapterNames()).toEqual(expect.arrayContaining(['engine', 'golden', 'harness', 'ops']))
  expect(chapterNames()).not.toContain('README.md')
  expect(chapterOf(expect.getState().testPath ?? '')).toBe('harness')
})

test.each([
  [undefined, []],
  ['', []],
  ['ops', ['ops']],
  ['golden,ops', ['golden', 'ops']],
  ['all', ['golden', 'model', 'ops']],
  ['ops,all', ['golden', 'model', 'ops']],
])('%j names %j', (text, names) => {
  expect(readEmulated(text, ['golden', 'model', 'ops'])).toEqual(names)
})

test.each(['opps', 'ops,All', 'spec/ops'])('%j is refused', (text) => {
  expect(() => readEmulated(text, ['golden', 'ops'])).toThrow(
    `SHADOWLLM_EMULATE: expected all, or names from golden, ops, got ${text.split(',').at(-1)}`,
  )
})

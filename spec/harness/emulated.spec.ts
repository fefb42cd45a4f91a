/**
 * SHADOWLLM_EMULATE takes names of sections; unknown names are refused.
 */
import { expect, test } from 'vitest'
import { sectionNames, sectionOf, readEmulated } from './emulated.ts'
import { root } from './syntax.ts'

test('the sections are the folders of spec, and a spec file belongs to its folder', () => {
  expect(sectionNames()).toEqual(expect.arrayContaining(['golden', 'harness', 'engine', 'library', 'ops']))
  expect(sectionNames()).not.toContain('README.md')
  expect(sectionOf(expect.getState().testPath ?? '')).toBe('harness')
  expect(sectionOf(`${root}spec/library/shadow_model.spec.ts`)).toBe('library')
  expect(sectionOf(`${root}spec/io/hub/cache.spec.ts`)).toBe('io')
})

test.each([
  [undefined, []],
  ['', []],
  ['ops', ['ops']],
  ['golden,ops', ['golden', 'ops']],
  ['all', ['golden', 'engine', 'ops']],
  ['ops,all', ['golden', 'engine', 'ops']],
])('SHADOWLLM_EMULATE=%j selects the sections %j', (text, names) => {
  expect(readEmulated(text, ['golden', 'engine', 'ops'])).toEqual(names)
})

test.each(['opps', 'ops,All', 'spec/ops'])('SHADOWLLM_EMULATE=%j is refused', (text) => {
  expect(() => readEmulated(text, ['golden', 'ops'])).toThrow(
    `SHADOWLLM_EMULATE: expected all, or names from golden, ops, got ${text.split(',').at(-1)}`,
  )
})

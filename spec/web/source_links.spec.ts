/**
 * The links of the page to its sources lead to the repository of the build, and never hold what a browser cannot open.
 */
import { expect, test } from 'vitest'
import { sourceLinks } from '../../scripts/vite_page.ts'

test.each([
  ['https://github.com/someone/shadowllm'],
  ['https://github.com/someone/shadowllm.git\n'],
  ['git@github.com:someone/shadowllm.git'],
  ['ssh://git@github.com/someone/shadowllm.git'],
])('%s is linked as a page', (repository) => {
  expect(sourceLinks(repository)).toEqual({
    source: 'https://github.com/someone/shadowllm',
    specification: 'https://github.com/someone/shadowllm/blob/HEAD/docs/guides/read.md',
  })
})

test.each([
  ['', 'no repository'],
  ['/home/someone/shadowllm', 'a folder'],
  ['https://someone:secret@github.com/someone/shadowllm', 'an address with a password'],
  ['javascript:alert(1)', 'a script'],
])('for %j (%s) the package stands', (repository) => {
  const { source, specification } = sourceLinks(repository)
  expect(source).toBe('https://www.npmjs.com/package/shadowllm')
  expect(specification).toMatch(/^https:\/\/www\.npmjs\.com\/package\/shadowllm\?/)
})

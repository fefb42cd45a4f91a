/**
 * Files that are no model are refused in the words of their reader, before anything reads them.
 */
import { expect, test } from 'vitest'
import { refusalOfFiles } from '../../src/web/dropped.ts'

const files = (...names: string[]): Map<string, Blob> => new Map(names.map((name) => [name, new Blob([])]))

test('a picture and a folder without a model are refused by name', () => {
  expect(refusalOfFiles(files('cat.png'), 'cat.png')).toBe(
    'cat.png is not a model. A model is a GGUF file, or a folder with config.json.',
  )
  expect(refusalOfFiles(files('a.txt', 'inner/config.json'), 'tiny')).toBe(
    'tiny is not a model. A model is a GGUF file, or a folder with config.json.',
  )
})

test.each([['config.json'], ['model.gguf'], ['MODEL.GGUF']])('%s may be of a model', (name) => {
  expect(refusalOfFiles(files(name, 'other.txt'), 'any')).toBeNull()
})

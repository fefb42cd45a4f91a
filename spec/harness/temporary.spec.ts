/**
 * A test that leaves a temporary file behind fails the run that it is in.
 */
import { existsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { lendTemporaryFolder } from './temporary.ts'

test('this run has a folder of its own for temporary files', () => {
  expect(basename(tmpdir())).toMatch(/^shadowllm-run-/)
})

test('the folder is lent, and taken away again', () => {
  const before = tmpdir()
  const giveBack = lendTemporaryFolder()
  const lent = tmpdir()
  expect(dirname(lent)).toBe(before)
  giveBack()
  expect([tmpdir(), existsSync(lent)]).toEqual([before, false])
})

test('what is left in it is named, and removed', () => {
  const giveBack = lendTemporaryFolder()
  const lent = tmpdir()
  for (const name of ['b', 'a']) writeFileSync(join(lent, name), '')
  expect(giveBack).toThrow('temporary files: expected tests to leave none behind, got a, b')
  expect(existsSync(lent)).toBe(false)
})

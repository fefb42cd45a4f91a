/**
 * A test that leaves a temporary file behind fails the run that it is in.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { lendTemporaryFolder } from './temporary.ts'
import { root } from './syntax.ts'

test('this spec file has its own temporary folder inside that of the run', () => {
  expect(basename(tmpdir())).toBe('harness-temporary.spec.ts')
  expect(basename(dirname(tmpdir()))).toMatch(/^shadowllm-run-/)
})

test('the temporary folder is set and restored', () => {
  const before = tmpdir()
  const lent = lendTemporaryFolder()
  expect([tmpdir(), dirname(lent.path)]).toEqual([lent.path, before])
  lent.giveBack()
  expect([tmpdir(), existsSync(lent.path)]).toEqual([before, false])
})

test('files left in it are named and removed', () => {
  const lent = lendTemporaryFolder()
  for (const name of ['io-a.spec.ts', 'io-b.spec.ts']) mkdirSync(join(lent.path, name))
  for (const name of ['io-b.spec.ts/c', 'z']) writeFileSync(join(lent.path, name), '')
  expect(() => lent.giveBack()).toThrow(
    'temporary files: expected tests to leave none behind, got io-b.spec.ts/c, z',
  )
  expect(existsSync(lent.path)).toBe(false)
})

test('a spec file without a run test is not checked, and its files are removed', () => {
  const lent = lendTemporaryFolder()
  mkdirSync(join(lent.path, 'io-a.spec.ts'))
  writeFileSync(join(lent.path, 'io-a.spec.ts', 'left'), '')
  lent.giveBack([join(root, 'spec', 'io', 'a.spec.ts')])
  expect(existsSync(lent.path)).toBe(false)
})

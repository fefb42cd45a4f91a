/**
 * A package that is not installed is asked for by its name; every other failure is told as it is.
 */
import { expect, test } from 'vitest'
import { withPackages } from '../../src/tensor/packages.ts'

/** What a runtime throws for a package that it does not find. */
const missing = Object.assign(new Error("Cannot find package 'vega'"), { code: 'ERR_MODULE_NOT_FOUND' })

test.each([
  ['vega', 'figures: expected the package vega ("npm install vega"), got none'],
  [
    'vega vega-lite',
    'figures: expected the packages vega vega-lite ("npm install vega vega-lite"), got none',
  ],
])('%s is asked for where it is missing', async (names, message) => {
  const loading = withPackages('figures', names, () => Promise.reject(missing))
  await expect(loading).rejects.toMatchObject({
    code: 'PACKAGE_MISSING',
    exitCode: 4,
    message,
    cause: missing,
  })
})

test('what is loaded is given, and another failure is thrown as it is', async () => {
  expect(await withPackages('figures', 'vega', async () => 7)).toBe(7)
  const broken = new Error('broken')
  await expect(withPackages('figures', 'vega', () => Promise.reject(broken))).rejects.toBe(broken)
})

test('a package that is not there gives that error in this runtime', async () => {
  const name = 'shadowllm-no-such-package'
  const loading = withPackages('figures', name, () => import(/* @vite-ignore */ name))
  await expect(loading).rejects.toMatchObject({ code: 'PACKAGE_MISSING' })
})

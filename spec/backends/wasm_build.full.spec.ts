/**
 * The committed modules, strict and relaxed, are what the sources in assembly/ compile to, byte for byte.
 *
 * Nobody reads a binary, so nobody should have to trust one: it is compiled again here, in memory, and compared.
 */
import { describe, expect, test } from 'vitest'
import { builds, compileKernels, readCommitted, type Build } from './wasm_compile.ts'

describe.each(Object.keys(builds) as Build[])('%s', async (build) => {
  const committed = await readCommitted(build)

  test('the committed module is what the sources compile to', async () => {
    const compiled = await compileKernels(undefined, [], build)
    expect(committed.equals(compiled), 'run `npm run build:wasm` and commit the result').toBe(true)
  })

  test('one digit changed in one kernel would be seen', async () => {
    const plant = { file: 'float32.ts', from: 'x *= 8388608', to: 'x *= 8388609' }
    expect(committed.equals(await compileKernels(plant, [], build))).toBe(false)
  })
})

/**
 * The committed modules, one for each build, are what the sources in assembly/ compile to, byte for byte.
 *
 * A binary cannot be reviewed, so it is compiled again in memory and compared.
 */
import { describe, expect, test } from 'vitest'
import { builds, compileKernels, readCommitted, type Build } from './compile.ts'

describe.each(Object.keys(builds) as Build[])('%s', async (build) => {
  const committed = await readCommitted(build)

  test('the committed module is what the sources compile to', async () => {
    const compiled = await compileKernels(undefined, [], build)
    expect(committed.equals(compiled), 'run `npm run build:wasm` and commit the result').toBe(true)
  })

  test('a changed digit in one kernel changes the module', async () => {
    const plant = { file: 'float32.ts', from: 'x *= 8388608', to: 'x *= 8388609' }
    expect(committed.equals(await compileKernels(plant, [], build))).toBe(false)
  })
})

/**
 * The committed modules, one for each build, are what the sources in assembly/ compile to, byte for byte.
 *
 * A binary cannot be reviewed, so it is compiled again in memory and compared.
 */
import { expect, test } from 'vitest'
import { builds, compileKernels, readCommitted, type Build } from './compile.ts'

test.each(Object.keys(builds) as Build[])(
  '%s: the committed module is what the sources compile to',
  async (build) => {
    const compiled = await compileKernels(undefined, [], build)
    const committed = await readCommitted(build)
    expect(committed.equals(compiled), 'run `npm run build:wasm` and commit the result').toBe(true)
  },
)

// The sources of all builds are read in the same way; mutants.full.spec.ts plants bugs in three of them.
test('a changed digit in one kernel changes the module', async () => {
  const plant = { file: 'float32.ts', from: 'x *= 8388608', to: 'x *= 8388609' }
  // Unoptimised: compiled sooner.
  const [right, changed] = [undefined, plant].map((planted) =>
    compileKernels(planted, ['--optimizeLevel', '0'], 'bytes'),
  )
  expect(Buffer.from(await right).equals(await changed)).toBe(false)
})

/**
 * The committed modules, strict and relaxed, are what the sources in assembly/ compile to, byte for byte, and have a
 * kernel for every op.
 *
 * Nobody reads a binary, so nobody should have to trust one: it is compiled again here, in memory, and compared.
 */
import { describe, expect, test } from 'vitest'
import { builds, compileKernels, readCommitted, type Build } from './wasm_compile.ts'
import { exportsTheOps, hasNoData, importsMemoryAnd, takesWhatRowsList } from './wasm_module_laws.ts'

describe.each(Object.keys(builds) as Build[])('%s', async (build) => {
  const committed = await readCommitted(build)
  const module = new WebAssembly.Module(committed)

  test('the committed module is what the sources compile to', async () => {
    const compiled = await compileKernels(undefined, [], build)
    expect(committed.equals(compiled), 'run `npm run build:wasm` and commit the result').toBe(true)
  })

  test('one digit changed in one kernel would be seen', async () => {
    const plant = { file: 'float32.ts', from: 'x *= 8388608', to: 'x *= 8388609' }
    expect(committed.equals(await compileKernels(plant, [], build))).toBe(false)
  })

  test('every op of the catalogue is exported, parts of those that can be shared, the size of the scratch, and no more', () =>
    exportsTheOps(module))

  test('a kernel takes as many arguments as its row lists', () => takesWhatRowsList(module))

  test('it has no data of its own, which would stand where kernels work', () => hasNoData(committed))

  test('it imports a memory, a number, and nothing else: no clock, no file, no abort', () =>
    importsMemoryAnd(module, [{ module: 'scratch', name: 'start' }]))
})

test('only the relaxed module has relaxed instructions', async () => {
  const relaxedMadd = Buffer.of(0xfd, 0x85, 0x02)
  expect((await readCommitted('release')).includes(relaxedMadd)).toBe(false)
  expect((await readCommitted('relaxed')).includes(relaxedMadd)).toBe(true)
})

/**
 * The committed modules, strict and relaxed, are what the sources in assembly/ compile to, byte for byte, and have a
 * kernel for every op.
 *
 * Nobody reads a binary, so nobody should have to trust one: it is compiled again here, in memory, and compared.
 */
import { describe, expect, test } from 'vitest'
import { instantiate } from '../../src/backends/wasm/instance.ts'
import { splitOf, splitOps } from '../../src/backends/wasm/split.ts'
import { opNames, opRow } from '../../src/ops/catalog.ts'
import { builds, compileKernels, readCommitted, type Build } from './wasm_compile.ts'

const DATA_SECTION = 11

/** The kinds of the sections a module is made of: a kind, a length in seven-bit groups, the content, eight bytes in. */
function sectionsOf(bytes: Uint8Array): number[] {
  const kinds: number[] = []
  for (let at = 8; at < bytes.length;) {
    kinds.push(bytes[at++])
    let length = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]
      length |= (byte & 127) << shift
      if (byte < 128) break
    }
    at += length
  }
  return kinds
}

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

  test('every op of the catalogue is exported, parts of those that can be shared, the size of the scratch, and no more', () => {
    const exported = WebAssembly.Module.exports(module).map(({ name }) => name)
    const parts = splitOps.map((name) => splitOf(name)?.kernel)
    expect(exported.sort()).toEqual([...opNames, ...parts, 'scratch_size'].sort())
  })

  test('a kernel takes as many arguments as its row lists', () => {
    const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536 })
    const { kernels } = instantiate(module, memory, 0)
    for (const name of opNames) expect(kernels[name].length, name).toBe(opRow(name).params.length)
  })

  test('it has no data of its own, which would stand where kernels work', () => {
    expect(sectionsOf(committed)).not.toContain(DATA_SECTION)
  })

  test('it imports a memory, a number, and nothing else: no clock, no file, no abort', () => {
    expect(WebAssembly.Module.imports(module).toSorted((a, b) => (a.module < b.module ? -1 : 1))).toEqual([
      { module: 'env', name: 'memory', kind: 'memory' },
      { module: 'scratch', name: 'start', kind: 'global' },
    ])
  })
})

test('only the relaxed module has relaxed instructions', async () => {
  const relaxedMadd = Buffer.of(0xfd, 0x85, 0x02)
  expect((await readCommitted('release')).includes(relaxedMadd)).toBe(false)
  expect((await readCommitted('relaxed')).includes(relaxedMadd)).toBe(true)
})

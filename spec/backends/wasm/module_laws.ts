/**
 * What holds of every module of kernels, whatever it was compiled from and by (src/backends/wasm/instance.ts).
 */
import { expect } from 'vitest'
import { instantiate } from '../../../src/backends/wasm/instance.ts'
import { splitOf, splitOps } from '../../../src/backends/wasm/split.ts'
import { kernelNames, kernels as definitions } from '../../../src/ops/catalog.ts'

const START_SECTION = 8
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

/**
 * Every op of the catalogue is exported, parts of those that can be shared, and the size of the scratch.
 * @param others what is exported besides
 */
export function exportsTheOps(module: WebAssembly.Module, others: readonly string[] = []): void {
  const exported = WebAssembly.Module.exports(module).map(({ name }) => name)
  const parts = splitOps.map((name) => splitOf(name)?.kernel)
  expect(exported.sort()).toEqual([...kernelNames, ...parts, 'scratch_size', ...others].sort())
}

/** A kernel takes as many arguments as its row lists. */
export function takesWhatRowsList(module: WebAssembly.Module): void {
  const memory = new WebAssembly.Memory({ initial: 80, maximum: 65536 })
  const { kernels } = instantiate(module, memory, 0)
  for (const name of kernelNames) expect(kernels[name].length, name).toBe(definitions[name].params.length)
}

/** It has no data of its own, which would stand where kernels work, and does nothing by itself when it is made. */
export function hasNoData(binary: Uint8Array): void {
  const sections = sectionsOf(binary)
  for (const section of [DATA_SECTION, START_SECTION]) expect(sections).not.toContain(section)
}

/** The numbers a module of the Rust kernels imports, as every shared library has them. */
export const numbersOfRust: readonly { module: string; name: string }[] = [
  { module: 'GOT.mem', name: 'scratch' },
  // Where its data are, and its functions in a table: this one has neither.
  { module: 'env', name: '__memory_base' },
  { module: 'env', name: '__table_base' },
]

/** It imports the memory and these numbers, and nothing else: no clock, no file, no abort, no stack. */
export function importsMemoryAnd(
  module: WebAssembly.Module,
  numbers: readonly { module: string; name: string }[],
): void {
  const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1)
  const expected = [
    { module: 'env', name: 'memory', kind: 'memory' },
    ...numbers.map((number) => ({ ...number, kind: 'global' })),
  ]
  expect(WebAssembly.Module.imports(module).toSorted(byName)).toEqual(expected.toSorted(byName))
}

/**
 * The bit that makes an imported memory a shared one: it is the only thing that changes, wherever in a module it stands,
 * and what runs over the shared memory are the same kernels.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { kernelFiles } from '../../../src/backends/kernel_files.ts'
import { instantiate } from '../../../src/backends/wasm/instance.ts'
import { withSharedMemory } from '../../../src/backends/wasm/shared_import.ts'
import { kills, lawForAll, stateLaw } from '../../harness/seed.ts'

type Share = (binary: Uint8Array) => Uint8Array<ArrayBuffer>

const plainMemory = (): WebAssembly.Memory => new WebAssembly.Memory({ initial: 80, maximum: 65536 })
const sharedMemory = (): WebAssembly.Memory =>
  new WebAssembly.Memory({ initial: 80, maximum: 65536, shared: true })

/** An unsigned number in groups of seven bits. */
function integer(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...integer(value >> 7)]
}

const sized = (bytes: readonly number[]): number[] => [...integer(bytes.length), ...bytes]
const nameOf = (text: string): number[] => sized([...new TextEncoder().encode(text)])

interface Import {
  readonly name: string
  /** What is imported, as a descriptor. */
  readonly what: readonly number[]
}

/** A module of a custom section, a function type, and these imports. */
function moduleOf(custom: string, imports: readonly Import[]): Uint8Array {
  const entries = imports.flatMap(({ name, what }, i) => [...nameOf(name), ...nameOf(`${i}`), ...what])
  const sections = [
    [0, ...sized(nameOf(custom))],
    [1, ...sized([1, 96, 0, 0])],
    [2, ...sized([...integer(imports.length), ...entries])],
  ]
  return Uint8Array.from([0, 97, 115, 109, 1, 0, 0, 0, ...sections.flat()])
}

const text = fc.string({ maxLength: 200 })
const memory = fc.record({
  name: text,
  what: fc.nat({ max: 65536 }).map((pages) => [2, 1, ...integer(pages), ...integer(65536)]),
})
const other = fc.record({ name: text, what: fc.constantFrom([0, 0], [3, 0x7f, 0], [3, 0x7d, 1]) })

/** One byte differs, the flags of the memory, and the module wants what it wanted before. */
const changesOneBit = lawForAll(
  'one bit is set, that of the imported memory',
  {
    custom: text,
    before: fc.array(other, { maxLength: 5 }),
    own: memory,
    after: fc.array(other, { maxLength: 5 }),
  },
  (share: Share, { custom, before, own, after }) => {
    const plain = moduleOf(custom, [...before, own, ...after])
    const shared = share(plain)
    const changed = [...plain.keys()].filter((i) => shared[i] !== plain[i])
    expect(changed.map((i) => [plain[i], shared[i]])).toEqual([[1, 3]])
    const wanted = [plain, shared].map((bytes) =>
      WebAssembly.Module.imports(new WebAssembly.Module(bytes as BufferSource)),
    )
    expect(wanted[1]).toEqual(wanted[0])
  },
)
stateLaw(changesOneBit, withSharedMemory)

test('a mutant that takes the first import for the memory: killed', () =>
  kills(changesOneBit, (binary) => {
    const copy = Uint8Array.from(binary)
    copy[copy.indexOf(2, 8) + 8] = 3
    return copy
  }))

test.each(['wasm', 'wasm-rust'] as const)('%s: plain, and after the change shared', async (build) => {
  const committed = await kernelFiles[build]()
  const plain = new WebAssembly.Module(committed)
  const shared = new WebAssembly.Module(withSharedMemory(committed))
  expect(() => instantiate(plain, sharedMemory(), 0)).toThrow(WebAssembly.LinkError)
  expect(() => instantiate(shared, plainMemory(), 0)).toThrow(WebAssembly.LinkError)
  const here = sharedMemory()
  const { kernels, scratchSize } = instantiate(shared, here, 0)
  const numbers = new Float32Array(here.buffer, scratchSize, 2)
  numbers.set([-1, 2])
  kernels.relu(scratchSize, scratchSize, 2)
  expect([...numbers]).toEqual([0, 2])
})

test.each([
  ['no memory', moduleOf('', [{ name: 'f', what: [0, 0] }])],
  ['no imports', Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0)],
  ['a memory without a maximum', moduleOf('', [{ name: 'm', what: [2, 0, 1] }])],
  ['a memory that is shared already', moduleOf('', [{ name: 'm', what: [2, 3, 1, 2] }])],
  ['a table', moduleOf('', [{ name: 't', what: [1, 0x70, 0, 1] }])],
])('a module with %s is refused', (_, module) => {
  expect(() => withSharedMemory(module)).toThrow(RangeError)
})

/**
 * The Rust kernels by way of wasm-pack: the crate it takes compiles to the same kernels, and what it makes of their module,
 * with other names for imports and more of them, is filled like the other.
 */
import binaryen from 'assemblyscript/binaryen'
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { expect, test, vi } from 'vitest'
import { modulePath } from '../../../scripts/rust/module.ts'
import * as instances from '../../../src/backends/wasm/instance.ts'
import { kills, lawForAll, stateLaw } from '../../harness/seed.ts'
import { keepsTheBits } from './rust_pack_laws.ts'

type Instantiate = typeof instances.instantiate

const anyName = fc.oneof(fc.string({ maxLength: 20 }), fc.constantFrom('__proto__', 'toString', 'GOT.mem'))

/**
 * A function import gives where the scratch is, whatever it is called, and one that is called at the start, for nothing, is
 * there too.
 */
const fillsFunctions = lawForAll(
  'a module gets its memory and its number under any names, also from functions',
  { room: anyName, names: fc.uniqueArray(anyName, { minLength: 3, maxLength: 3 }) },
  (instantiate: Instantiate, { room, names }) => {
    const source = new binaryen.Module()
    source.addFunctionImport('address', room, names[0], binaryen.none, binaryen.i32)
    source.addFunctionImport('begin', room, names[1], binaryen.none, binaryen.none)
    source.setMemory(1, 65536)
    source.addMemoryImport('0', room, names[2])
    source.addFunction('size', binaryen.none, binaryen.i32, [], source.i32.const(64))
    source.addFunctionExport('address', 'address')
    source.addFunctionExport('size', 'scratch_size')
    source.setStart(source.getFunction('begin'))
    const module = new WebAssembly.Module(source.emitBinary() as Uint8Array<ArrayBuffer>)
    source.dispose()
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 })
    const { kernels, scratchSize } = instantiate(module, memory, 4096)
    expect(kernels.address()).toBe(4096)
    expect(scratchSize).toBe(64)
  },
)
stateLaw(fillsFunctions, instances.instantiate)

/** The committed module as wasm-bindgen's tool would leave it: the memory renamed, and a function that it calls at its start. */
function asBound(): WebAssembly.Module {
  const source = binaryen.readBinary(readFileSync(modulePath))
  source.setFeatures(binaryen.Features.All)
  source.addMemoryImport('mimport$0', './kernels_bg.js', 'memory')
  source.addFunctionImport('begin', 'wbg', '__wbindgen_init', binaryen.none, binaryen.none)
  source.setStart(source.getFunction('begin'))
  const module = new WebAssembly.Module(source.emitBinary() as Uint8Array<ArrayBuffer>)
  source.dispose()
  return module
}

test('a mutant that ignores imports of functions: killed', () =>
  kills(fillsFunctions, (module, memory, start) => {
    const wanted = WebAssembly.Module.imports(module).filter(({ kind }) => kind !== 'function')
    const imports = vi.spyOn(WebAssembly.Module, 'imports').mockReturnValue(wanted)
    try {
      return instances.instantiate(module, memory, start)
    } finally {
      imports.mockRestore()
    }
  }))

test('the committed module with its memory renamed, and a function that it calls at its start, keeps the bits', async () => {
  const module = asBound()
  const imports = WebAssembly.Module.imports(module)
  expect(imports).toContainEqual({ module: './kernels_bg.js', name: 'memory', kind: 'memory' })
  expect(imports).toContainEqual({ module: 'wbg', name: '__wbindgen_init', kind: 'function' })
  expect(imports).not.toContainEqual({ module: 'env', name: 'memory', kind: 'memory' })
  await keepsTheBits(module)
})

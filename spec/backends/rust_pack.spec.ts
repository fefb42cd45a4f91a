/**
 * The Rust kernels by way of wasm-pack: the crate it takes compiles to the same kernels, and what it makes of their module,
 * with other names for imports and more of them, is filled like the other.
 */
import binaryen from 'assemblyscript/binaryen'
import fc from 'fast-check'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { modulePath } from '../../scripts/rust/module.ts'
import { compilePacked, findWasmPack, packedPath, whyNoBindgen } from '../../scripts/rust/pack.ts'
import { findToolchain, type Toolchain } from '../../scripts/rust/toolchain.ts'
import * as instances from '../../src/backends/wasm/instance.ts'
import { WasmBackend } from '../../src/backends/wasm/wasm_backend.ts'
import type { OpName } from '../../src/ops/catalog.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { smallSizes } from './wasm_mutant_laws.ts'
import {
  exportsTheOps,
  hasNoData,
  importsMemoryAnd,
  numbersOfRust,
  takesWhatRowsList,
} from './wasm_module_laws.ts'

/** Ops whose kernels are in their scratch, and one whose is not. */
const some: readonly OpName[] = ['linear', 'linear_i8', 'attention', 'softmax', 'top_k', 'relu']

async function keepsTheBits(module: WebAssembly.Module): Promise<void> {
  takesWhatRowsList(module)
  const backend = new WasmBackend(module, undefined, 'wasm-rust')
  for (const name of some) await smallSizes(name)(backend)
  backend.dispose()
}

type Instantiate = typeof instances.instantiate

const anyName = fc.oneof(fc.string({ maxLength: 20 }), fc.constantFrom('__proto__', 'toString', 'GOT.mem'))

/**
 * A function import gives where the scratch is, whatever it is called, and one that is called at the start, for nothing, is
 * there too.
 */
const fillsFunctions = lawForAll(
  'a module gets its memory and its number under any names, also from functions',
  [anyName, fc.uniqueArray(anyName, { minLength: 3, maxLength: 3 })],
  (instantiate: Instantiate, room, names) => {
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

test('a mutant that ignores imports of functions: killed', async () => {
  const mutant: Instantiate = (module, memory, start) => {
    const wanted = WebAssembly.Module.imports(module).filter(({ kind }) => kind !== 'function')
    const imports = vi.spyOn(WebAssembly.Module, 'imports').mockReturnValue(wanted)
    try {
      return instances.instantiate(module, memory, start)
    } finally {
      imports.mockRestore()
    }
  }
  await kills(fillsFunctions, mutant)
})

test('the committed module with its memory renamed, and a function that it calls at its start, keeps the bits', async () => {
  const module = asBound()
  const imports = WebAssembly.Module.imports(module)
  expect(imports).toContainEqual({ module: './kernels_bg.js', name: 'memory', kind: 'memory' })
  expect(imports).toContainEqual({ module: 'wbg', name: '__wbindgen_init', kind: 'function' })
  expect(imports).not.toContainEqual({ module: 'env', name: 'memory', kind: 'memory' })
  await keepsTheBits(module)
})

const toolchain = await findToolchain()
const missing = typeof toolchain === 'string' ? `no Rust is here: ${toolchain}` : whyNoBindgen()

test.skipIf(missing !== null)(
  `the crate for wasm-pack compiles to the same kernels${missing === null ? '' : `: ${missing}`}`,
  { timeout: 300_000 },
  async () => {
    const binary = await compilePacked(toolchain as Toolchain)
    const module = new WebAssembly.Module(binary)
    exportsTheOps(module, ['__wasm_apply_data_relocs'])
    importsMemoryAnd(module, numbersOfRust)
    hasNoData(binary)
    await keepsTheBits(module)
  },
)

const packed = existsSync(packedPath)

test.skipIf(!packed)(
  `what wasm-pack made keeps the bits${packed ? '' : ': nothing is here that it made (`npm run build:rust`, where wasm-pack is)'}`,
  async () => keepsTheBits(new WebAssembly.Module(readFileSync(packedPath))),
)

/** Writes a program that notes what it was asked. */
function writeProgram(file: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, '#!/bin/sh\necho "$@" >>"$0.asked"\n')
  chmodSync(file, 0o755)
}

/** The script of npm's package counts by the program it has, and is never asked itself: it would download one. */
async function findsPrograms(find: typeof findWasmPack): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'wasm-pack-'))
  const [script, program, other] = ['run.js', 'binary/wasm-pack', 'bin/wasm-pack'].map((name) =>
    join(folder, name),
  )
  try {
    writeProgram(script)
    expect(await find([script, other])).toBe(null)
    writeProgram(other)
    expect(await find([script, other])).toBe(other)
    writeProgram(program)
    expect(await find([script, other])).toBe(program)
    expect(existsSync(`${script}.asked`)).toBe(false)
    expect(readFileSync(`${program}.asked`, 'utf8')).toBe('--version\n')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const noShell = process.platform === 'win32'

describe.skipIf(noShell)(
  `which wasm-pack there is${noShell ? ': the programs of these tests are scripts of a shell' : ''}`,
  () => {
    test('the script of its package is none, and downloads nothing', () => findsPrograms(findWasmPack))

    test('a mutant that takes whatever has the name: killed', async () => {
      const mutant: typeof findWasmPack = async (places = []) => places.find(existsSync) ?? null
      await expect(findsPrograms(mutant)).rejects.toThrow('to be null')
    })
  },
)

/**
 * The committed module of the Rust kernels is what the sources in rust/ compile to, and has a kernel for every op.
 *
 * Without Rust it is still known whether it was made from these sources, and whether anybody changed it by hand. With the
 * Rust that made it, it is compiled again, in a folder of its own, and compared byte for byte; with another, what that one
 * makes of the sources must keep the bits of the definitions too.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  compileModule,
  manifestOf,
  modulePath,
  readManifest,
  readSources,
} from '../../scripts/rust/module.ts'
import { findToolchain, type Toolchain } from '../../scripts/rust/toolchain.ts'
import { hashOf, root } from '../../scripts/sources.ts'
import { WasmBackend } from '../../src/backends/wasm/wasm_backend.ts'
import { opNames } from '../../src/ops/catalog.ts'
import { smallSizes } from './wasm_mutant_laws.ts'
import {
  exportsTheOps,
  hasNoData,
  importsMemoryAnd,
  numbersOfRust,
  takesWhatRowsList,
} from './wasm_module_laws.ts'

const committed = readFileSync(modulePath)
const module = new WebAssembly.Module(committed)

test('the module was made from these sources, and is as it was made', () => {
  const manifest = readManifest()
  expect(manifestOf(committed, manifest.toolchain), 'run `npm run build:rust`').toEqual(manifest)
})

test('one digit changed in one kernel would be seen, and one byte of the module', () => {
  const { sources, module } = readManifest()
  const plant = { file: 'src/float32.rs', from: '8388608.0', to: '8388609.0' }
  expect(hashOf(readSources([plant]))).not.toBe(sources)
  const changed = Uint8Array.from(committed)
  changed[changed.length - 1] ^= 1
  expect(manifestOf(changed, '').module).not.toBe(module)
})

test('a kernel has the name of the file that has it in AssemblyScript, and no file goes without the other', () => {
  const names = (folder: string, ending: string): string[] =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith(ending))
      .map((name) => name.slice(0, -ending.length))
      .filter((name) => !['index', 'lib'].includes(name))
      .sort()
  expect(names('rust/src', '.rs')).toEqual(names('assembly', '.ts'))
})

test('every op of the catalogue is exported, parts of those that can be shared, the size of the scratch, and what the linker adds', () =>
  exportsTheOps(module, ['__wasm_apply_data_relocs']))

test('a kernel takes as many arguments as its row lists', () => takesWhatRowsList(module))

test('it has no data of its own, which would stand where kernels work', () => hasNoData(committed))

test('it imports a memory, where its scratch is, and nothing else: no clock, no file, no stack', () =>
  importsMemoryAnd(module, numbersOfRust))

const toolchain = await findToolchain()

function whyNotAgain(): string | null {
  if (typeof toolchain === 'string') return `no Rust is here: ${toolchain}`
  const { toolchain: maker } = readManifest()
  return toolchain.version === maker ? null : `it was made by ${maker}, here is ${toolchain.version}`
}

/** Why the committed module cannot be made again here; null if it can. */
const whyNot = whyNotAgain()

test.skipIf(whyNot !== null)(
  `the committed module is what the sources compile to${whyNot === null ? '' : `: ${whyNot}`}`,
  async () => {
    const compiled = await compileModule(toolchain as Toolchain)
    expect(committed.equals(compiled), 'run `npm run build:rust` and commit the result').toBe(true)
  },
)

test.skipIf(typeof toolchain === 'string' || whyNot === null)(
  'what another Rust than the one that made it makes of the sources keeps the bits',
  async () => {
    const binary = await compileModule(toolchain as Toolchain)
    hasNoData(binary)
    const backend = new WasmBackend(new WebAssembly.Module(binary), undefined, 'wasm-rust')
    for (const name of opNames) await smallSizes(name)(backend)
    backend.dispose()
  },
)

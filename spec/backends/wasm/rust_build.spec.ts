/**
 * The committed module of the Rust kernels was made from the sources in rust/, is unchanged since, and has a kernel for every op.
 * rust_build.full.spec.ts compiles it again.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { manifestOf, modulePath, readManifest, readSources } from '../../../scripts/rust/module.ts'
import { hashOf, root } from '../../../scripts/sources.ts'
import {
  exportsTheOps,
  hasNoData,
  importsMemoryAnd,
  numbersOfRust,
  takesWhatRowsList,
} from './module_laws.ts'

const committed = readFileSync(modulePath)
const module = new WebAssembly.Module(committed)

test('the module was made from these sources and is unchanged', () => {
  const manifest = readManifest()
  expect(manifestOf(committed, manifest.toolchain), 'run `npm run build:rust`').toEqual(manifest)
})

test('a changed digit in a kernel, and a changed byte of the module, are found', () => {
  const { sources, module } = readManifest()
  const plant = { file: 'src/float32.rs', from: '8388608.0', to: '8388609.0' }
  expect(hashOf(readSources([plant]))).not.toBe(sources)
  const changed = Uint8Array.from(committed)
  changed[changed.length - 1] ^= 1
  expect(manifestOf(changed, '').module).not.toBe(module)
})

/** The tiles of vectors that an engine may join, what they share with other kernels, gradients by blocks, and heads side by side: not in Rust. */
const tiles = [
  'attention_backward',
  'attention_i8_packed',
  'attention_i8_shared',
  'int4_blocks',
  'int4_rows',
  'int4_runs',
  'linear_i4_tile',
  'linear_i8_tile',
  'linear_input_major_i4_tile',
  'tile',
]

test('every kernel file has the name of its AssemblyScript file, and the reverse but for tiles', () => {
  const names = (folder: string, ending: string): string[] =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith(ending))
      .map((name) => name.slice(0, -ending.length))
      .filter((name) => !['index', 'lib'].includes(name))
      .sort()
  expect([...names('rust/src', '.rs'), ...tiles].sort()).toEqual(names('assembly', '.ts'))
})

test('every op of the catalogue is exported, parts of those that can be shared, the size of the scratch, and what the linker adds', () =>
  exportsTheOps(module, ['__wasm_apply_data_relocs']))

test('a kernel takes as many arguments as its row lists', () => takesWhatRowsList(module))

test('it has no static data, which would overlap the scratch', () => hasNoData(committed))

test('it imports a memory and the address of its scratch, and nothing else', () =>
  importsMemoryAnd(module, numbersOfRust))

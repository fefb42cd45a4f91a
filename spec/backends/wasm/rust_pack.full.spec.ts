/**
 * The Rust kernels through wasm-pack, if it is installed: its crate compiles to the same kernels, and its module keeps the bits.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { compilePacked, findWasmPack, packedPath, whyNoBindgen } from '../../../scripts/rust/pack.ts'
import { findToolchain, type Toolchain } from '../../../scripts/rust/toolchain.ts'
import { keepsTheBits } from './rust_pack_laws.ts'
import { exportsTheOps, hasNoData, importsMemoryAnd, numbersOfRust } from './module_laws.ts'

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

/** Writes a program that records its arguments. */
function writeProgram(file: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, '#!/bin/sh\necho "$@" >>"$0.asked"\n')
  chmodSync(file, 0o755)
}

/** The script of npm's package is never started, because it would download wasm-pack; only its program counts. */
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
    test('the script of the npm package is not taken for the program', () => findsPrograms(findWasmPack))

    test('a mutant that accepts any program of that name: killed', async () => {
      const mutant: typeof findWasmPack = async (places = []) => places.find(existsSync) ?? null
      await expect(findsPrograms(mutant)).rejects.toThrow('to be null')
    })
  },
)

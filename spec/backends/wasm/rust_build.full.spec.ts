/**
 * The committed module of the Rust kernels is what the sources in rust/ compile to. The Rust version that made it gives the same
 * bytes; the module of another version keeps the bits of the definitions.
 */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { compileModule, modulePath, readManifest } from '../../../scripts/rust/module.ts'
import { findToolchain, type Toolchain } from '../../../scripts/rust/toolchain.ts'
import { WasmBackend } from '../../../src/backends/wasm/wasm_backend.ts'
import { kernelNames } from '../../../src/ops/catalog.ts'
import { smallSizes } from './mutant_laws.ts'
import { hasNoData } from './module_laws.ts'

const committed = readFileSync(modulePath)

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
  'the module that another version of Rust makes keeps the bits',
  async () => {
    const binary = await compileModule(toolchain as Toolchain)
    hasNoData(binary)
    const backend = new WasmBackend(new WebAssembly.Module(binary), undefined, 'wasm-rust')
    for (const name of kernelNames) await smallSizes(name)(backend)
    backend.dispose()
  },
)

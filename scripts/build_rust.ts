/**
 * `npm run build:rust`: compiles the kernels of rust/ with cargo to the module in src/backends/wasm, and names the compiler. If
 * wasm-pack is installed, it also makes its package of them.
 */
import { writeFileSync } from 'node:fs'
import { compileModule, manifestOf, manifestPath, modulePath } from './rust/module.ts'
import { findWasmPack, packKernels } from './rust/pack.ts'
import { findToolchain, type Toolchain } from './rust/toolchain.ts'

async function compile(toolchain: Toolchain): Promise<void> {
  const module = await compileModule(toolchain)
  writeFileSync(modulePath, module)
  writeFileSync(manifestPath, `${JSON.stringify(manifestOf(module, toolchain.version), null, 2)}\n`)
  process.stdout.write(`${toolchain.version}: ${module.length} bytes\n`)
}

async function pack(toolchain: Toolchain): Promise<void> {
  const wasmPack = await findWasmPack()
  if (wasmPack === null) {
    process.stdout.write('wasm-pack is not here: by cargo alone\n')
    return
  }
  try {
    await packKernels(wasmPack, toolchain)
    process.stdout.write(`${wasmPack}: rust/pack/pkg\n`)
  } catch (error) {
    process.stderr.write(
      `build:rust: expected a package from wasm-pack, got none: ${(error as Error).message}\n`,
    )
    process.exitCode = 1
  }
}

const toolchain = await findToolchain()
if (typeof toolchain === 'string') {
  process.stderr.write(`build:rust: expected a Rust that compiles to WebAssembly, got none: ${toolchain}\n`)
  process.exitCode = 4
} else {
  await compile(toolchain)
  await pack(toolchain)
}

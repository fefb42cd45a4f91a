/**
 * `npm run build:rust`: compiles the kernels of rust/ to the module in src/backends/wasm, by cargo, and says by which.
 */
import { writeFileSync } from 'node:fs'
import { compileModule, manifestOf, manifestPath, modulePath } from './rust/module.ts'
import { findToolchain } from './rust/toolchain.ts'

const toolchain = await findToolchain()
if (typeof toolchain === 'string') {
  process.stderr.write(`build:rust: expected a Rust that compiles to WebAssembly, got none: ${toolchain}\n`)
  process.exitCode = 4
} else {
  const module = await compileModule(toolchain)
  writeFileSync(modulePath, module)
  writeFileSync(manifestPath, `${JSON.stringify(manifestOf(module, toolchain.version), null, 2)}\n`)
  process.stdout.write(`${toolchain.version}: ${module.length} bytes\n`)
}

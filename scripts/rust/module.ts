/**
 * Builds the module of the Rust kernels, by cargo. The same compiler makes the same bytes of equal sources, wherever they
 * stand; another one makes another module of the same kernels.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { hashOf, readTexts, root, type Plant, type Sources } from '../sources.ts'
import { compile } from '../tool.ts'
import { TARGET, type Toolchain } from './toolchain.ts'

/** The committed module, and the file that says what it is. */
export const modulePath: string = join(root, 'src/backends/wasm/kernels_rust.wasm')
export const manifestPath: string = join(root, 'src/backends/wasm/kernels_rust.json')

/** What the module is made from, with changes. @throws Error if the place of a plant is not there, or not the only one */
export function readSources(plants: readonly Plant[] = []): Sources {
  const kernels = readdirSync(join(root, 'rust/src')).map((name) => `src/${name}`)
  return readTexts('rust', ['Cargo.toml', 'Cargo.lock', '.cargo/config.toml', ...kernels], plants)
}

/** What is known of a module: what it was made from and by, and that it is as it was made. */
export interface Manifest {
  readonly sources: string
  readonly module: string
  readonly toolchain: string
}

/** What a module is that was just made from the sources as they stand. */
export function manifestOf(module: Uint8Array, toolchain: string): Manifest {
  const text = Buffer.from(module).toString('latin1')
  return { sources: hashOf(readSources()), module: hashOf([['module', text]]), toolchain }
}

/** The manifest of the committed module. */
export function readManifest(): Manifest {
  return JSON.parse(readFileSync(manifestPath, 'utf8')) as Manifest
}

/**
 * Compiles the kernels, with changes planted in them.
 * @throws Error with what cargo said
 */
export async function compileModule(
  { cargo, rustc, linker }: Toolchain,
  plants: readonly Plant[] = [],
): Promise<Uint8Array<ArrayBuffer>> {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-rust-'))
  try {
    for (const [name, text] of readSources(plants)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true })
      writeFileSync(join(folder, name), text)
    }
    // Flags from outside would take the place of the project's own.
    const { RUSTFLAGS: _, CARGO_ENCODED_RUSTFLAGS: __, ...environment } = process.env
    const env = {
      ...environment,
      RUSTC: rustc,
      CARGO_TARGET_DIR: join(folder, 'target'),
      ...(linker === null ? {} : { CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER: linker }),
    }
    await compile(cargo, ['build', '--release', '--offline', '--locked'], folder, env)
    return Uint8Array.from(readFileSync(join(folder, 'target', TARGET, 'release/kernels.wasm')))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

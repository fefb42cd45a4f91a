/**
 * Builds the module of the Rust kernels with cargo. The same compiler makes the same bytes from equal sources in any folder;
 * another compiler makes another module with the same results.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { hashOf, readTexts, root, type Plant, type Sources } from '../sources.ts'
import { compile } from '../tool.ts'
import { environmentOf, TARGET, type Toolchain } from './toolchain.ts'

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
export function compileModule(
  toolchain: Toolchain,
  plants: readonly Plant[] = [],
): Promise<Uint8Array<ArrayBuffer>> {
  return compileCrate(readSources(plants), '.', toolchain, ['--locked'])
}

/**
 * Compiles a crate of these sources, in a folder of its own.
 * @param crate its folder among them
 * @throws Error with what cargo said
 */
export async function compileCrate(
  sources: Sources,
  crate: string,
  toolchain: Toolchain,
  options: readonly string[] = [],
): Promise<Uint8Array<ArrayBuffer>> {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-rust-'))
  try {
    for (const [name, text] of sources) {
      mkdirSync(dirname(join(folder, name)), { recursive: true })
      writeFileSync(join(folder, name), text)
    }
    const target = join(folder, 'target')
    const env = { ...environmentOf(toolchain), CARGO_TARGET_DIR: target }
    await compile(toolchain.cargo, ['build', '--release', '--offline', ...options], join(folder, crate), env)
    return Uint8Array.from(readFileSync(join(target, TARGET, 'release/kernels.wasm')))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

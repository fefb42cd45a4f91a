/**
 * The same kernels by wasm-pack: a package in rust/pack/pkg from the crate in rust/pack.
 *
 * A program of that name may be the script of the npm package `wasm-pack`, which downloads the real program on its first run.
 * Nothing is downloaded here: the script is used only if it has its program already.
 */
import { existsSync, readdirSync, realpathSync } from 'node:fs'
import { delimiter, dirname, isAbsolute, join } from 'node:path'
import { readTexts, root, type Sources } from '../sources.ts'
import { compile, whyMissing } from '../tool.ts'
import { compileCrate, readSources } from './module.ts'
import { environmentOf, type Toolchain } from './toolchain.ts'

/** What wasm-pack makes of the kernels, not committed. */
export const packedPath: string = join(root, 'rust/pack/pkg/kernels_bg.wasm')

/** Where Debian has the sources of wasm-bindgen (librust-wasm-bindgen-dev), and of what that needs. */
const DEBIAN = '/usr/share/cargo/registry'

const PROGRAM = process.platform === 'win32' ? 'wasm-pack.exe' : 'wasm-pack'

/**
 * The first wasm-pack that answers, that of node_modules or on the PATH; null if there is none.
 * @param places where to look
 */
export async function findWasmPack(places: readonly string[] = usualPlaces()): Promise<string | null> {
  for (const place of places) {
    if (!existsSync(place)) continue
    const file = realpathSync(place)
    const program = file.endsWith('.js') ? join(dirname(file), 'binary', PROGRAM) : file
    if ((await whyMissing(program)) === null) return program
  }
  return null
}

function usualPlaces(): string[] {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  return [join(root, 'node_modules/wasm-pack/run.js'), ...folders.map((folder) => join(folder, PROGRAM))]
}

/**
 * Makes the package. wasm-pack fetches wasm-bindgen, and the tool of the same version, where they are not here.
 * @throws Error with what wasm-pack said
 */
export async function packKernels(wasmPack: string, toolchain: Toolchain): Promise<void> {
  const crate = join(root, 'rust/pack')
  const options = ['--release', '--target', 'web', '--no-opt', '--out-dir', 'pkg', '--out-name', 'kernels']
  await compile(wasmPack, ['build', crate, ...options], root, environmentOfPack(toolchain))
}

/** wasm-pack starts cargo and rustc by name. */
function environmentOfPack(toolchain: Toolchain): Record<string, string | undefined> {
  const folders = [toolchain.cargo, toolchain.rustc].filter((tool) => isAbsolute(tool)).map(dirname)
  const environment = environmentOf(toolchain)
  if (folders.length === 0) return environment
  return { ...environment, PATH: [...folders, environment.PATH].join(delimiter) }
}

/** Why the crate cannot be compiled here, by cargo alone and from what is here; null if it can. */
export function whyNoBindgen(): string | null {
  const crates = existsSync(DEBIAN) ? readdirSync(DEBIAN) : []
  if (crates.some((name) => /^wasm-bindgen-\d/.test(name))) return null
  return `${DEBIAN}: expected the crate wasm-bindgen, got none`
}

/**
 * Compiles the crate as wasm-pack has it compiled, without what it does to the module then.
 * @throws Error with what cargo said
 */
export function compilePacked(toolchain: Toolchain): Promise<Uint8Array<ArrayBuffer>> {
  const local = [`source.crates-io.replace-with="debian"`, `source.debian.directory="${DEBIAN}"`]
  const sources: Sources = new Map([...readSources(), ...readTexts('rust', ['pack/Cargo.toml'])])
  return compileCrate(sources, 'pack', toolchain, [
    '--lib',
    ...local.flatMap((setting) => ['--config', setting]),
  ])
}

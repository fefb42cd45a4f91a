/**
 * Finds a Rust compiler with the WebAssembly target, and its linker.
 *
 * The first rustc on the PATH may lack that target while a later one has it. Linkers come with rustup, or as a package of the
 * distribution named after its LLVM version.
 */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { compile, whyMissing } from '../tool.ts'

/** What the kernels are compiled to. */
export const TARGET = 'wasm32-unknown-unknown'

/** A compiler that has the target. */
export interface Toolchain {
  readonly cargo: string
  readonly rustc: string
  /** A program, where it has to be named; null where rustc has its own. */
  readonly linker: string | null
  /** The version of compiler and linker, in their own words. */
  readonly version: string
}

/** By name on the PATH, or where distributions install. CARGO and RUSTC name others. */
const candidates: readonly (readonly [string, string])[] = [
  [process.env.CARGO ?? 'cargo', process.env.RUSTC ?? 'rustc'],
  ['/usr/bin/cargo', '/usr/bin/rustc'],
]

/** The first that can be used; otherwise why none can, as one line. */
export async function findToolchain(): Promise<Toolchain | string> {
  const reasons: string[] = []
  for (const [cargo, rustc] of candidates) {
    const found = await tryToolchain(cargo, rustc)
    if (typeof found !== 'string') return found
    if (!reasons.includes(found)) reasons.push(found)
  }
  return reasons.join('; ')
}

/** The environment in which cargo, or what starts it, uses this toolchain and the flags of the project. */
export function environmentOf({ rustc, linker }: Toolchain): Record<string, string | undefined> {
  // Flags from outside would take the place of the project's own.
  const { RUSTFLAGS: _, CARGO_ENCODED_RUSTFLAGS: __, ...environment } = process.env
  return {
    ...environment,
    RUSTC: rustc,
    ...(linker === null ? {} : { CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER: linker }),
  }
}

async function tryToolchain(cargo: string, rustc: string): Promise<Toolchain | string> {
  for (const tool of [cargo, rustc]) {
    const missing = await whyMissing(tool)
    if (missing !== null) return missing
  }
  const ask = async (...args: string[]): Promise<string> => (await compile(rustc, args, '.')).trim()
  if (!existsSync(await ask('--print', 'target-libdir', '--target', TARGET)))
    return `${rustc}: expected the target ${TARGET}, got none`
  const compiler = await ask('--version', '--verbose')
  const bundled = join(dirname(await ask('--print', 'target-libdir')), 'bin/rust-lld')
  if (existsSync(bundled)) return { cargo, rustc, linker: null, version: firstLine(compiler) }
  const linker = await findLinker(/LLVM version: (\d+)/.exec(compiler)?.[1])
  if (linker === null) return `${rustc}: expected rust-lld or wasm-ld to link with, got neither`
  const linked = await compile(linker, ['--version'], '.')
  return { cargo, rustc, linker, version: `${firstLine(compiler)}, ${firstLine(linked)}` }
}

async function findLinker(llvm: string | undefined): Promise<string | null> {
  for (const name of ['wasm-ld', `wasm-ld-${llvm}`]) if ((await whyMissing(name)) === null) return name
  return null
}

function firstLine(text: string): string {
  return text.split('\n')[0]
}

/**
 * The Deno that npm installed: an ordinary package per system with the program in it, of which nothing runs at
 * installation.
 */
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/** Where Deno is, or why there is none. */
export type Deno = { readonly program: string } | { readonly missing: string }

/** Finds it. npm has it for Linux with glibc, macOS and Windows, on x64 and arm64. */
export function findDeno(platform: string = process.platform, arch: string = process.arch): Deno {
  const name = `@deno/${platform}-${arch}${platform === 'linux' ? '-glibc' : ''}`
  try {
    const folder = dirname(createRequire(import.meta.url).resolve(`${name}/package.json`))
    return { program: join(folder, platform === 'win32' ? 'deno.exe' : 'deno') }
  } catch {
    return { missing: `expected the package ${name}, got none; npm ci brings it where there is one` }
  }
}

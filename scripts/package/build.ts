/**
 * Makes dist/: the JavaScript and the types of the package, as published. A checkout does not need it.
 *
 * The output of the compiler is kept, module by module, with four changes. Modules named by URL end in .js. Files that are no
 * code (the kernels) are beside the modules that name them. Each WebAssembly module is also text in a separate module, which
 * the library loads (src/backends/wasm/binaries.ts gives the reason). The sources themselves are not in the package: their hashes
 * are. For pages there is also dist/browser/ (browser.ts).
 */
import { execFile } from 'node:child_process'
import { cp, glob, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { listHashes } from '../../src/results/method_hash.ts'
import { buildBrowser, type Entry } from './browser.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const source = join(root, 'src')
const output = join(root, 'dist')

/** What the modules read that is no code. */
const kernelFiles = '**/*.{wasm,ptx}'

async function compile(): Promise<void> {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const config = join(root, 'tsconfig.build.json')
  await promisify(execFile)(process.execPath, [tsc, '--project', config], { cwd: root })
}

/** Rewrites every module in place. */
async function rewriteModules(rewrite: (text: string) => string): Promise<void> {
  for await (const file of glob('**/*.js', { cwd: output })) {
    const path = join(output, file)
    const text = await readFile(path, 'utf8')
    const rewritten = rewrite(text)
    if (rewritten !== text) await writeFile(path, rewritten)
  }
}

/** The compiler gives imports their new endings, but not modules that are named by URL. */
export function renameThreads(text: string): string {
  return text.replace(/(new URL\('[^']+)\.ts(', import\.meta\.url\))/g, '$1.js$2')
}

async function copyKernels(): Promise<void> {
  for await (const file of glob(kernelFiles, { cwd: source })) {
    await mkdir(dirname(join(output, file)), { recursive: true })
    await cp(join(source, file), join(output, file))
  }
}

/** Has the table of binaries ask modules instead of files. @throws Error if it reads as something else */
export function askModules(table: string): string {
  const asked = table.replace(
    /\(\) => readFile\(new URL\('([^']+)', import\.meta\.url\)\)/g,
    "async () => (await import('./$1.js')).bytes()",
  )
  if (asked === table || asked.includes('new URL('))
    throw new Error('binaries: expected a table of files that are read, got something else')
  return asked.replace(/^import \{ readFile \}.*\n/m, '')
}

/** A module that has these bytes as text. */
export function textModule(name: string, bytes: Uint8Array): string {
  return `/** ${name} as text. Written by the build. */
const text = '${Buffer.from(bytes).toString('base64')}'
/** Its bytes. */
export const bytes = () => Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
`
}

async function embedBinaries(): Promise<void> {
  const folder = join(output, 'backends/wasm')
  const table = join(folder, 'binaries.js')
  await writeFile(table, askModules(await readFile(table, 'utf8')))
  for await (const file of glob('*.wasm', { cwd: folder })) {
    const name = basename(file)
    await writeFile(join(folder, `${name}.js`), textModule(name, await readFile(join(folder, file))))
  }
}

/** What stands for the sources in the hash of the method: they are not in the package. */
async function writeHashes(): Promise<void> {
  const lines = await listHashes()
  await writeFile(join(output, 'results/source_hashes.json'), `${JSON.stringify(lines, null, 1)}\n`)
}

/** Builds it anew. */
export async function build(): Promise<void> {
  await rm(output, { recursive: true, force: true })
  await compile()
  await rewriteModules(renameThreads)
  await copyKernels()
  await writeHashes()
  await embedBinaries()
  await buildBrowser(root, await browserEntries())
}

/** What package.json offers to pages. */
async function browserEntries(): Promise<Entry[]> {
  const { exports } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    exports: Record<string, string | Entry>
  }
  return Object.values(exports).filter((entry) => typeof entry === 'object')
}

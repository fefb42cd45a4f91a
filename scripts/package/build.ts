/**
 * Makes dist/: the JavaScript and the types of the package, as published. A checkout does not need it.
 *
 * The output of the compiler is kept, module by module, with five changes. Modules named by URL end in .js. The kernels are
 * text in modules of their own (src/backends/kernel_files.ts gives the reason). What is used of a large package is inside
 * (inside.ts). Types that no entry leads to are left out. The sources themselves are not in the package: their hashes are. For
 * pages there is also dist/browser/ (browser.ts).
 */
import { execFile } from 'node:child_process'
import { glob, readFile, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { deflateSync } from 'node:zlib'
import { listHashes } from '../../src/results/method_hash.ts'
import { buildBrowser, type Entry } from './browser.ts'
import { takeInside } from './inside.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const source = join(root, 'src')
const output = join(root, 'dist')

/** The kernels, and the module that reads them. */
const kernels = 'backends/**/*.{wasm,ptx}'
const kernelReader = 'backends/kernel_files.js'

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

/** Has a table of files ask modules instead. @throws Error if it reads as something else */
export function askModules(table: string): string {
  const asked = table.replace(
    /\(\) => readFile\(new URL\('([^']+)', import\.meta\.url\)\)/g,
    "async () => (await import('./$1.js')).bytes()",
  )
  if (asked === table || asked.includes('new URL('))
    throw new Error('kernels: expected a table of files that are read, got something else')
  return asked.replace(/^import \{ readFile \}.*\n/m, '')
}

/** A module that has these bytes as text, compressed. */
export function textModule(name: string, bytes: Uint8Array): string {
  return `/** ${name} as text. Written by the build. */
const text = '${deflateSync(bytes, { level: 9 }).toString('base64')}'
/** Its bytes. */
export async function bytes() {
  const packed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'))
  return new Uint8Array(await new Response(stream).arrayBuffer())
}
`
}

async function embedKernels(): Promise<void> {
  const reader = join(output, kernelReader)
  await writeFile(reader, askModules(await readFile(reader, 'utf8')))
  for await (const file of glob(kernels, { cwd: source }))
    await writeFile(
      join(output, `${file}.js`),
      textModule(basename(file), await readFile(join(source, file))),
    )
}

/** Removes the types that no entry leads to: nobody can ask for them. */
async function removeUnaskedTypes(entries: readonly Entry[]): Promise<void> {
  const reached = new Set<string>()
  const reach = async (path: string): Promise<void> => {
    if (reached.has(path)) return
    reached.add(path)
    for (const target of typesNamedIn(await readFile(path, 'utf8'))) await reach(join(dirname(path), target))
  }
  for (const { types } of entries) await reach(join(root, types))
  for await (const file of glob('**/*.d.ts', { cwd: output }))
    if (!reached.has(join(output, file))) await rm(join(output, file))
}

/** The files of types of this package that one of them names, relative to it. */
export function typesNamedIn(text: string): string[] {
  return [...text.matchAll(/\b(?:from|import)\b\s*\(?\s*['"](\.[^'"]+?)(?:\.d)?\.[jt]s['"]/g)].map(
    ([, name]) => `${name}.d.ts`,
  )
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
  await writeHashes()
  await embedKernels()
  await takeInside(root, output)
  const entries = await readEntries()
  await removeUnaskedTypes(entries)
  await buildBrowser(root, entries)
}

/** The modules that package.json offers. */
async function readEntries(): Promise<Entry[]> {
  const { exports } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    exports: Record<string, string | Entry>
  }
  return Object.values(exports).filter((entry) => typeof entry === 'object')
}

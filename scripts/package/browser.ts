/**
 * Makes dist/browser/: the same modules for a page, with their dependencies included, so that a page can import them directly.
 * Bundlers find them by the condition `browser`.
 *
 * The modules of threads become separate files without imports. Files that are no code stay at their place in the package: a
 * URL is correct both for the page and for a bundler that moves the file.
 */
import { build, type BuildOptions, type Metafile, type Plugin } from 'esbuild'
import { glob, readFile, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Plots are drawn by packages that are larger than all of this; who draws in a page adds them. */
const left = ['vega', 'vega-lite']

/**
 * Files that no page has a use for: those of CUDA, the threads of calibrations and experiments, which are kept in folders, those of
 * the server, and what refuses an old Node.
 */
const notForPages = /\.so$|\/(calibrate|job|reading)_thread\.js$/
const modulesNotForPages = /\.ptx\.js$|[\\/]tensor[\\/]version\.js$/

const urls = /new URL\(((?:\s*\/\*[^*]*\*\/\s*)?)'([^']+)', import\.meta\.url\)/g

/** What `exports` of package.json says of one subpath. */
export interface Entry {
  readonly types: string
  readonly browser: string
  readonly default: string
}

/** Writes the modules of these entries, and what threads of them run. @param root of the package, with dist/ in it */
export async function buildBrowser(root: string, entries: readonly Entry[]): Promise<void> {
  const output = join(root, 'dist/browser')
  const threads = await findThreads(join(root, 'dist'))
  const common: BuildOptions & { metafile: true } = {
    bundle: true,
    external: left,
    format: 'esm',
    legalComments: 'none',
    logLevel: 'warning',
    metafile: true,
    minify: true,
    // Errors are told by the names of their classes.
    keepNames: true,
    outdir: output,
    platform: 'browser',
    plugins: [hubForPages, withoutModules, placeUrls(output, threads)],
    target: 'es2024',
  }
  const modules = await build({
    ...common,
    chunkNames: 'chunk-[hash]',
    entryPoints: entries.map((entry) => ({
      in: join(root, entry.default),
      out: basename(entry.browser, '.js'),
    })),
    splitting: true,
  })
  const alone = await build({
    ...common,
    entryPoints: threads.map((path) => ({ in: path, out: basename(path, '.js') })),
  })
  const inputs = [modules, alone].flatMap(({ metafile }) => packagesIn(metafile))
  await writeFile(join(output, 'LICENSES.txt'), await licences(root, inputs))
}

/** The modules that compiled modules start in threads of a page. @throws Error if two have one name, which is a place in dist/browser/ */
async function findThreads(dist: string): Promise<string[]> {
  const found = new Set<string>()
  for await (const file of glob('**/*.js', { cwd: dist })) {
    const path = join(dist, file)
    const text = await readFile(path, 'utf8')
    for (const [, name] of text.matchAll(/new Worker\(new URL\('([^']+)'/g))
      if (!notForPages.test(name)) found.add(resolve(dirname(path), name))
  }
  const names = [...found].map((path) => basename(path))
  if (new Set(names).size < names.length)
    throw new Error(`threads: expected different names, got ${names.join(', ')}`)
  return [...found].sort()
}

/** The hub's package has another module for pages, which not every resolver finds where it says so. */
const hubForPages: Plugin = {
  name: 'hub-for-pages',
  setup({ onResolve }) {
    onResolve({ filter: /^@huggingface\/hub$/ }, ({ path }) => ({
      path: join(dirname(fileURLToPath(import.meta.resolve(path))), 'browser/index.mjs'),
    }))
  },
}

/** A page has no driver to give the kernels of CUDA to, and is no Node: it loads neither. */
const withoutModules: Plugin = {
  name: 'without-modules',
  setup({ onLoad }) {
    onLoad({ filter: modulesNotForPages }, () => ({ contents: 'export {}' }))
  },
}

/** A URL leads to the same file from dist/browser/ as from where it was written; a thread's is there itself. */
function placeUrls(output: string, threads: readonly string[]): Plugin {
  return {
    name: 'place-urls',
    setup({ onLoad }) {
      onLoad({ filter: /[\\/]dist[\\/].*\.js$/ }, async ({ path }) => {
        if (path.includes('node_modules')) return null
        const text = await readFile(path, 'utf8')
        const contents = text.replace(urls, (_, comment: string, name: string) => {
          const target = resolve(dirname(path), name)
          const place = threads.includes(target)
            ? `./${basename(target)}`
            : relative(output, target).replaceAll('\\', '/') + (name.endsWith('/') ? '/' : '')
          // Bundlers take along what a URL names in this very form.
          const base = notForPages.test(name) ? 'String(import.meta.url)' : 'import.meta.url'
          return `new URL(${comment}'${place}', ${base})`
        })
        return { contents, loader: 'js' }
      })
    },
  }
}

/** The folders of the packages whose modules are inside. */
function packagesIn({ inputs }: Metafile): string[] {
  return Object.keys(inputs).flatMap((path) => {
    const folder = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]
    // What package.json has nothing stand for is not inside.
    return folder === undefined || folder.startsWith('(disabled)') ? [] : [folder]
  })
}

/** The text of a licence that a package names and does not hold. @throws Error for another one than MIT */
async function unwritten(root: string, { name, license }: Readonly<Record<string, string>>): Promise<string> {
  if (license !== 'MIT') throw new Error(`${name}: expected the text of its licence ${license}, got none`)
  const own = await readFile(join(root, 'LICENSE'), 'utf8')
  return own.replace(
    /^Copyright.*$/m,
    `Copyright (c) the authors of ${name}, whose package holds no text of its licence`,
  )
}

async function licences(root: string, folders: readonly string[]): Promise<string> {
  const parts: string[] = []
  for (const folder of [...new Set(folders)].sort()) {
    const about = JSON.parse(await readFile(join(root, folder, 'package.json'), 'utf8')) as Record<
      string,
      string
    >
    const texts: string[] = []
    for await (const file of glob('{LICENSE,LICENCE,license}*', { cwd: join(root, folder) }))
      texts.push(await readFile(join(root, folder, file), 'utf8'))
    if (texts.length === 0) texts.push(await unwritten(root, about))
    parts.push(`${about.name} ${about.version}: ${about.license}\n\n${texts.join('\n').trim()}`)
  }
  return `The modules beside this file contain these packages.\n\n${parts.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`
}

/**
 * The vite configuration of the page.
 *
 *   npm run build:web    static files in build/web, to be served from anywhere, below any path
 *   npm run dev:web      the page from its sources, with headers that allow threads
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type * as pageFiles from './page_data.ts'
import { siteNavigation } from './site_pages.ts'
import { markup } from '../src/experiments/report/markup.ts'
import { defineConfig, type BuildEnvironmentOptions, type InlineConfig, type Plugin } from 'vite'

const root = fileURLToPath(new URL('../src/web/', import.meta.url))

/** What lets the threads of a page share memory. */
export const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
} as const

/** What only a disk has (CUDA's module and emulator, this checkout) is not packed: a page has no use for it. */
export function diskOnly(): Plugin {
  const pattern = /(?<!`)new URL\(\s*('[^']*(?:\.ptx|\.so|\/)'),\s*import\.meta\.url,?\s*\)/g
  return {
    name: 'shadowllm-disk-only',
    enforce: 'pre',
    transform(code, id) {
      if (!id.includes('/src/') || !code.includes('import.meta.url')) return null
      const replaced = code.replace(pattern, 'new URL($1, self.location.href)')
      return replaced === code ? null : { code: replaced, map: null }
    },
  }
}

/** What a page fetches first (`page_data.ts`). */
type Data = typeof pageFiles

/** Makes the files of `src/web/embedded/first_data.ts` when a page is built, and writes their addresses there. @param names the exports */
export function pageData(names: readonly (keyof Data)[]): Plugin {
  let folder: string | null = null
  return {
    name: 'shadowllm-page-data',
    apply: 'build',
    enforce: 'pre',
    async transform(code, id) {
      if (!id.replaceAll('\\', '/').endsWith('/src/web/embedded/first_data.ts')) return null
      const data = await import('./page_data.ts')
      folder ??= mkdtempSync(join(tmpdir(), 'shadowllm-page-data-'))
      let text = code
      for (const name of names) {
        const file = join(folder, `${name}.bin`)
        writeFileSync(file, await data[name]())
        const address = relative(dirname(id), file).replaceAll('\\', '/')
        text = text.replace(
          `${name}: URL | null = null`,
          `${name}: URL = new URL('${address}', import.meta.url)`,
        )
      }
      return { code: text, map: null }
    },
    closeBundle() {
      if (folder !== null) rmSync(folder, { recursive: true, force: true })
      folder = null
    },
  }
}

/** The addresses of the sources and of the specification. */
export interface SourceLinks {
  readonly source: string
  readonly specification: string
}

/**
 * Where the sources of this build are.
 * @param repository the address of a repository, as git or a workflow of GitHub writes it; without one that a browser can open,
 *   the package stands for it
 */
export function sourceLinks(repository: string): SourceLinks {
  const [, host, path] =
    /^(?:https:\/\/|git@|ssh:\/\/git@)([\w.-]+)[:/]([\w./-]+?)(?:\.git)?\/?$/.exec(repository.trim()) ?? []
  if (!host) {
    const source = 'https://www.npmjs.com/package/shadowllm'
    return { source, specification: `${source}?activeTab=code` }
  }
  const source = `https://${host}/${path}`
  return { source, specification: `${source}/blob/HEAD/docs/guides/read.md` }
}

function readRepository(): string {
  const { GITHUB_SERVER_URL, GITHUB_REPOSITORY } = process.env
  if (GITHUB_SERVER_URL && GITHUB_REPOSITORY) return `${GITHUB_SERVER_URL}/${GITHUB_REPOSITORY}`
  try {
    return execFileSync('git', ['remote', 'get-url', 'origin'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
  } catch {
    // Built from a copy without git.
    return ''
  }
}

/** Writes the links into the page, where it says `{{specification}}` and `{{siteLinks}}`. @param isOfSite whether it stands in the site */
export function linked(isOfSite: boolean): Plugin {
  return {
    name: 'shadowllm-links',
    transformIndexHtml(html) {
      const { source, specification } = isOfSite
        ? { source: '../source/', specification: '../spec/' }
        : sourceLinks(readRepository())
      const siteLinks = isOfSite
        ? siteNavigation('../', 'Live page')
        : markup`<a href="${specification}" data-spec>Annotated page</a> <a href="${source}">Sources</a>`
      const links = { specification, siteLinks: siteLinks.html }
      return Object.entries(links).reduce(
        (text, [name, address]) => text.replaceAll(`{{${name}}}`, address),
        html,
      )
    },
  }
}

/** What the worker of the page loads later, if at all: laws, other forms of models, chats, GPUs. */
const later =
  /\/src\/(?:verify|spec|training|backends\/(?:cuda|webgpu)|web\/engine\/faster_model|io\/(?:hub|gguf|torch|pickle|zip|parquet|chat|convert))/

/** Whether the worker needs a module for its first text: those come in one file, as each level of imports costs a round trip. */
const isOfFirstText = (id: string): boolean => id.includes('/src/') && !later.test(id)

/** How a page is packed into a folder. */
export const packing = (outDir: string): BuildEnvironmentOptions => ({
  outDir,
  emptyOutDir: true,
  target: 'es2024',
  // A file of its own for each: the policy of pages lets nothing be read from text inside of code.
  assetsInlineLimit: 0,
  modulePreload: { polyfill: false },
})

/** How the page is built into a folder. @param isOfSite as `linked` */
export const pageConfig = (outDir: string, isOfSite = false): InlineConfig => ({
  root,
  base: './',
  plugins: [diskOnly(), linked(isOfSite), pageData(['packedWeights', 'packedPredictor', 'firstTrace'])],
  worker: {
    format: 'es',
    plugins: () => [diskOnly()],
    rolldownOptions: { output: { codeSplitting: { groups: [{ name: 'engine', test: isOfFirstText }] } } },
  },
  build: packing(outDir),
  server: { headers: isolation },
  preview: { headers: isolation },
})

export default defineConfig(pageConfig(fileURLToPath(new URL('../build/web', import.meta.url))))

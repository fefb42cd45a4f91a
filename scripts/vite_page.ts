/**
 * The vite configuration of the page.
 *
 *   npm run build:web    static files in build/web, to be served from anywhere, below any path
 *   npm run dev:web      the page from its sources, with headers that allow threads
 */
import { fileURLToPath } from 'node:url'
import { defineConfig, type Plugin } from 'vite'

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

export default defineConfig({
  root,
  base: './',
  plugins: [diskOnly()],
  worker: {
    format: 'es',
    plugins: () => [diskOnly()],
  },
  build: {
    outDir: fileURLToPath(new URL('../build/web', import.meta.url)),
    emptyOutDir: true,
    target: 'es2024',
    // A file of its own for each: the page's policy lets nothing be read from text inside of code.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { headers: isolation },
  preview: { headers: isolation },
})

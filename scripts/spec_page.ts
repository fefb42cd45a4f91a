/**
 * Builds the annotated specification: static files, to be served from anywhere, below any path. `npm run build:site` has it in
 * docs/site/spec.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build, type Plugin } from 'vite'
import { figures } from '../src/web/spec_page/figures.ts'
import { computeSteps, openSpecModel, type SomeSteps } from '../src/web/spec_page/method.ts'
import { proofs } from '../src/web/spec_page/proofs.ts'
import { defaultSettings } from '../src/web/spec_page/settings.ts'
import { pageParts, readPages } from './spec_page/document.ts'
import { plants } from './spec_page/plants.ts'
import { setProof } from './spec_page/proof.ts'
import { diskOnly, packing } from './vite_page.ts'

const path = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url))
const read = (name: string): string => readFileSync(path(name), 'utf8')

/** What stands beside definitions, by address: laws, and figures for the default prompt, computed here. */
async function drawAsides(): Promise<Map<string, string>> {
  let steps: SomeSteps = {}
  for await (const more of computeSteps(await openSpecModel(), defaultSettings)) steps = { ...steps, ...more }
  const asides = new Map(proofs.map((proof) => [proof.address, setProof(proof)]))
  for (const { address, draw } of figures) {
    const html = draw(steps, defaultSettings)?.html
    if (html === undefined) throw new Error(`${address}: expected values, got none`)
    asides.set(
      address,
      `<div class="figure" id="figure.${address}">${html}</div>${asides.get(address) ?? ''}`,
    )
  }
  return asides
}

/** Puts contents and chapters where a page has a comment with their name. */
function specification(asides: ReadonlyMap<string, string>): Plugin {
  const pages = readPages(read('docs/guides/read.md'), read)
  return {
    name: 'shadowllm-specification',
    transformIndexHtml: {
      order: 'pre',
      handler(html, { filename }) {
        const page = pages.find(({ file }) => filename.endsWith(`/${file}`))
        if (page === undefined) throw new Error(`${filename}: expected a page of the specification`)
        return Object.entries(pageParts(page, pages, asides)).reduce(
          (text, [name, part]) => text.replace(`<!-- ${name} -->`, () => part),
          html,
        )
      },
    },
  }
}

/** Builds the pages into a folder. */
export async function buildSpecPage(outDir: string): Promise<void> {
  const root = path('src/web/spec_page/')
  await build({
    configFile: false,
    logLevel: 'warn',
    root,
    base: './',
    plugins: [plants(), diskOnly(), specification(await drawAsides())],
    worker: { format: 'es', plugins: () => [plants(), diskOnly()] },
    build: {
      ...packing(outDir),
      rolldownOptions: {
        input: ['index.html', 'operations.html'].map((file) => `${root}${file}`),
        checks: { pluginTimings: false },
      },
    },
  })
}

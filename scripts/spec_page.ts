/**
 * Builds the annotated specification: static files, to be served from anywhere, below any path. `npm run build:site` has it in
 * docs/site/spec.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build, type Plugin } from 'vite'
import { figuresOf } from '../bench/pages/figures.ts'
import { Pages } from '../bench/pages/pages.ts'
import { parseConfig } from '../src/engine/config.ts'
import { markup } from '../src/experiments/report/markup.ts'
import { figures } from '../src/web/spec_page/figures.ts'
import { packValues } from '../src/web/spec_page/given_values.ts'
import { stations } from '../src/web/spec_page/strip.ts'
import { computeSteps, MOST_TOKENS, openSpecModel, type SomeSteps } from '../src/web/spec_page/method.ts'
import { proofs } from '../src/web/spec_page/proofs.ts'
import { decidingWords, defaultSettings, planners, scoreSources } from '../src/web/spec_page/settings.ts'
import { glossary } from '../src/web/view/glossary.ts'
import { plannerNames } from '../src/web/view/planner_words.ts'
import { setCompared } from './spec_page/compared.ts'
import { siteNavigation } from './site_pages.ts'
import { setMethod, setSymbols } from './spec_page/idea.ts'
import { pageParts, readPages, type Page } from './spec_page/document.ts'
import { plants } from './spec_page/plants.ts'
import { setBugs, setProof } from './spec_page/proof.ts'
import { diskOnly, linked, packing, pageData } from './vite_page.ts'

const path = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url))
const read = (name: string): string => readFileSync(path(name), 'utf8')

/** The steps of the method for the default prompt, by the specification. */
async function defaultSteps(): Promise<SomeSteps> {
  let steps: SomeSteps = {}
  for await (const more of computeSteps(await openSpecModel(), defaultSettings)) steps = { ...steps, ...more }
  return steps
}

/** Before the first chapter that is not about the method or a model. */
const secondStop =
  '<p class="enough"><b>Stop here if the method and its models are what you came for.</b> The rest defines their operations and derivatives, and two methods to compare with.</p>'

/** What stands beside definitions and before chapters, by address: laws, figures of steps, and where a reader may stop. */
function drawAsides(steps: SomeSteps): Map<string, string> {
  const asides = new Map(proofs.map((proof) => [proof.address, setProof(proof)]))
  asides.set('before.program', secondStop)
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

/** What the settings mean, in the words of the live page. */
const meanings = {
  ...Object.fromEntries(
    scoreSources.map((source) => [plannerNames[planners[source]], decidingWords[source]]),
  ),
  sparsity: glossary.sparsity,
  scope: glossary.scope,
}

/**
 * The parts before the chapters: the settings, the method in words and as a strip of figures, the symbols, the bugs, the comparison,
 * and the values as data.
 */
function drawTop(steps: SomeSteps, head: string): Readonly<Record<string, string>> {
  const config = parseConfig(JSON.parse(read('fixtures/tiny-opt/config.json')) as object)
  const strip = stations.map(({ address, title, draw }) => {
    const html = draw(steps, defaultSettings)?.html ?? ''
    return `<li><a href="#${address.slice('strip.'.length)}">${title(defaultSettings.source)}</a><div id="figure.${address}">${html}</div></li>`
  })
  return {
    method: setMethod(head),
    symbols: setSymbols(read('src/spec/opt.ts'), config, steps.tokens?.ids.length ?? NaN),
    limit: String(MOST_TOKENS),
    strip: `<ol class="strip">${strip.join('\n')}</ol>`,
    sources:
      markup`${scoreSources.map((source) => markup`<option value="${source}">${plannerNames[planners[source]]}</option>`)}`
        .html,
    meanings:
      markup`${Object.entries(meanings).map(([name, words]) => markup`<dt>${name}</dt><dd>${words}</dd>`)}`
        .html,
    decides: markup`${decidingWords[defaultSettings.source]}`.html,
    bugs: setBugs(proofs),
    compared: comparedWords() + setCompared(read('spec/README.md')),
    values: `<script type="application/json" id="values">${JSON.stringify(packValues(steps))}</script>`,
  }
}

/** Which row of the comparison changes results much, as far as it was measured. */
function comparedWords(): string {
  const { kl } = figuresOf(Pages.read(path(''))) as {
    kl: (name: string, planner: string, asked: number) => string
  }
  const [released, own, still] = ['shadow, as released', 'shadow', 'static'].map((planner) =>
    kl('embedded', planner, 50),
  )
  return `<p>One of these was measured to change results much: the <a href="#predictor.targets">targets</a>. With half of the units skipped over the whole model, the predictor as released, whose targets are scaled to [0, 1] in every layer, costs ${released} nats per token (KL from dense); with unscaled targets, measured in a model that is already pruned, ${own}. One mask for all prompts costs ${still}. <a href="../reference/documents/evidence.embedded.html">How it was measured</a>.</p>`
}

/** The bar of a phone. @param hasFigures whether the page has figures, laws and settings */
function bar(hasFigures: boolean): string {
  const pairs = ['function', 'figure'].map(
    (name) =>
      `<span><button type="button" aria-label="The ${name} before">↑</button>${name}<button type="button" aria-label="The next ${name}">↓</button></span>`,
  )
  const [settings, stops] = hasFigures
    ? ['<a href="#prompt">Prompt</a> ', `<span id="stops" class="stops" hidden>${pairs.join('')}</span>`]
    : ['', '']
  return `<nav class="to-top" aria-label="On this page"><span class="ways"><a id="here" class="here" href="#contents" aria-label="Where you are" hidden></a> ${settings}<a href="#contents">Contents</a></span>${stops}</nav>`
}

/** Puts the parts of a page where it has a comment with their name. */
function specification(
  asides: ReadonlyMap<string, string>,
  top: Readonly<Record<string, string>>,
  references: ReadonlyMap<string, string>,
  pages: readonly [Page, Page],
): Plugin {
  return {
    name: 'shadowllm-specification',
    transformIndexHtml: {
      order: 'pre',
      handler(html, { filename }) {
        const page = pages.find(({ file }) => filename.endsWith(`/${file}`))
        if (page === undefined) throw new Error(`${filename}: expected a page of the specification`)
        const links = siteNavigation('../', page === pages[0] ? 'Annotated page' : undefined)
        const own = pageParts(page, pages, asides, references)
        return Object.entries({ ...own, ...top, links: links.html, bar: bar(page === pages[0]) }).reduce(
          (text, [name, part]) => text.replace(`<!-- ${name} -->`, () => part),
          html,
        )
      },
    },
  }
}

/** Builds the pages into a folder. @param references as for `pageParts` */
export async function buildSpecPage(outDir: string, references: ReadonlyMap<string, string>): Promise<void> {
  const root = path('src/web/spec_page/')
  const steps = await defaultSteps()
  const pages = readPages(read('docs/guides/read.md'), read)
  const [{ head }] = pages[0].chapters
  await build({
    configFile: false,
    logLevel: 'warn',
    root,
    base: './',
    plugins: [
      plants(),
      diskOnly(),
      linked(true),
      specification(drawAsides(steps), drawTop(steps, head), references, pages),
    ],
    worker: {
      format: 'es',
      plugins: () => [plants(), diskOnly(), pageData(['packedWeights', 'packedPredictor'])],
    },
    build: {
      ...packing(outDir),
      // A browser without scripts complains of what would be loaded for one.
      modulePreload: false,
      rolldownOptions: {
        input: ['index.html', 'operations.html'].map((file) => `${root}${file}`),
        checks: { pluginTimings: false },
      },
    },
  })
}

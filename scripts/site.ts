/**
 * Builds docs/site, static files to be served from anywhere, below any path: the annotated specification in `spec`, the live
 * page in `live`, the library's reference and the guides in `reference`, the sources in `source`, the package, the conformance kit
 * as an archive, and a page that leads to them.
 *
 *   npm run build:site && npm run serve:site
 *   npm run build:site -- FOLDER [ARCHIVE]
 */
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'
import { derive } from '../bench/pages/derive.ts'
import { figuresOf } from '../bench/pages/figures.ts'
import { Pages } from '../bench/pages/pages.ts'
import { markup, type Markup } from '../src/experiments/report/markup.ts'
import { commandArguments } from '../src/platform/platform.ts'
import { writeKit } from './kit/folder.ts'
import { linkedDocuments, linkedSources, measuredDocuments } from './site_links.ts'
import { buildSources } from './site_sources.ts'
import { siteNavigation } from './site_pages.ts'
import { buildSpecPage } from './spec_page.ts'
import { compile } from './tool.ts'
import { pageConfig } from './vite_page.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const { name, version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as Record<string, string>
/** The site's folder, and the package that visitors install: the file that `npm run package` makes. */
const [folder = `${root}docs/site`, archive = `${root}${name}-${version}.tgz`] = commandArguments()
const site = `${resolve(folder)}/`
/** The folder that the archive of the kit holds, and the archive without its ending. */
const KIT = 'shadowllm-kit'
const typedoc = `${root}docs/node_modules/typedoc/bin/typedoc`

if (!existsSync(typedoc)) throw new Error('build:site: expected typedoc, got none: npm ci installs it')
if (!existsSync(archive))
  throw new Error(`build:site: expected ${archive}, got none: npm run package makes it`)
await build({ configFile: false, logLevel: 'warn', ...pageConfig(`${site}live`, true) })
await compile(
  process.execPath,
  [typedoc, '--options', 'docs/typedoc.json', '--out', `${site}reference`],
  root,
)
await buildSpecPage(`${site}spec`, referencesOf(`${site}reference`))
const guideFiles = (
  JSON.parse(readFileSync(`${root}docs/typedoc.json`, 'utf8')) as { projectDocuments: string[] }
).projectDocuments.map((file) => `docs/${file}`)
buildSources(`${site}source`, linkedSources(linkedDocuments(guideFiles)))
await packKit(`${site}${KIT}.tgz`)
writeFileSync(
  `${site}index.html`,
  withFigures('src/web/site/index.html')
    .replace('<!-- links -->', siteNavigation('', 'Home').html)
    .replace('<!-- guides -->', guides)
    .replaceAll('<!-- archive -->', basename(archive))
    .replace('<!-- size -->', `${(statSync(archive).size / 1e6).toFixed()} MB`),
)
writeFileSync(
  `${site}site.css`,
  ['style/shared.css', 'site/site.css']
    .map((file) => readFileSync(`${root}src/web/${file}`, 'utf8'))
    .join(''),
)
const pictures = readdirSync(`${root}docs/pictures`).map((file) => `${root}docs/pictures/${file}`)
for (const file of [`${root}src/web/icon.svg`, archive, ...pictures])
  copyFileSync(file, `${site}${basename(file)}`)

/** Writes the conformance kit as an archive. @throws Error where `tar` fails */
async function packKit(archive: string): Promise<void> {
  const parent = mkdtempSync(join(tmpdir(), 'shadowllm-site-'))
  try {
    writeKit(join(parent, KIT))
    await compile('tar', ['-czf', archive, '-C', parent, KIT], root)
  } finally {
    rmSync(parent, { recursive: true })
  }
}

/** The pages of the reference that lead to a definition of the annotated specification, by its address, as links from there. */
function referencesOf(folder: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.html')) continue
    const html = readFileSync(`${folder}/${file}`, 'utf8')
    const [, address] = /tsd-tag-specified.*?href="[^"]*spec\/index\.html#([^"]+)"/s.exec(html) ?? []
    if (address === undefined) continue
    // That of the same name before others that it specifies.
    const isSame = file.endsWith(`.${address.split('.').at(-1)}.html`)
    if (isSame || !found.has(address)) found.set(address, `../reference/${file.replaceAll('\\', '/')}`)
  }
  return found
}

/** A file with its figures, each computed from result files. @throws InputError FIGURE, RESULT */
function withFigures(file: string): string {
  const text = derive(file, readFileSync(`${root}${file}`, 'utf8'), figuresOf(Pages.read(root)))
  return text.replaceAll(/<!--(?:= .*?|\/)-->/g, '')
}

/** The guides as lists, in the order of the reference: that of use. */
function guides(): string {
  // By the first guide of each group, to begin with.
  const groups: Readonly<Record<string, string>> = {
    use: 'To use it',
    read: 'To understand it',
    evidence: 'What was measured',
    laws: 'To check it, and kernels of your own',
  }
  const sections: { readonly heading: string; readonly items: Markup[] }[] = []
  const linkTo = (file: string, page: string): Markup => {
    const [, title] = /^# (.*)$/m.exec(readFileSync(`${root}${file}`, 'utf8')) ?? []
    if (title === undefined) throw new Error(`${file}: expected a title, got none`)
    return markup`<a href="reference/documents/${page}.html">${title}</a>`
  }
  for (const file of guideFiles) {
    const name = basename(file, '.md')
    if (name in groups) sections.push({ heading: groups[name], items: [] })
    const first = name in groups ? markup` <b>(begin here)</b>` : ''
    sections.at(-1)?.items.push(markup`<li>${linkTo(file, name)}${first}</li>`)
    // They are below it in the reference too (docs/titles.mjs).
    if (name === 'evidence')
      for (const one of measuredDocuments(guideFiles)) {
        const page = one.endsWith('/README.md') ? basename(dirname(one)) : basename(one, '.md')
        sections.at(-1)?.items.push(markup`<li>${linkTo(one, `${name}.${page}`)}</li>`)
      }
  }
  if (sections.length !== Object.keys(groups).length)
    throw new Error(`guides: expected ${Object.keys(groups).join(', ')}, each the first of its group`)
  const lists = sections.map(
    ({ heading, items }) => markup`<section><h3>${heading}</h3><ul>${items}</ul></section>`,
  )
  return markup`<div class="guides">${lists}</div>`.html
}

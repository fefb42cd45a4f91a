/**
 * Builds docs/site, static files to be served from anywhere, below any path: the annotated specification in `spec`, the live
 * page in `live`, the library's reference and the guides in `reference`, the sources in `source`, and a page that leads to them.
 *
 *   npm run build:site && npm run serve:site
 *   npm run build:site -- FOLDER
 */
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'
import { markup } from '../src/experiments/report/markup.ts'
import { commandArguments } from '../src/platform/platform.ts'
import { linkedDocuments, linkedSources } from './site_links.ts'
import { buildSources } from './site_sources.ts'
import { buildSpecPage } from './spec_page.ts'
import { compile } from './tool.ts'
import { pageConfig } from './vite_page.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const site = `${resolve(commandArguments()[0] ?? `${root}docs/site`)}/`
const typedoc = `${root}docs/node_modules/typedoc/bin/typedoc`

if (!existsSync(typedoc)) throw new Error('build:site: expected typedoc, got none: npm ci installs it')
await buildSpecPage(`${site}spec`)
await build({ configFile: false, logLevel: 'warn', ...pageConfig(`${site}live`, true) })
await compile(
  process.execPath,
  [typedoc, '--options', 'docs/typedoc.json', '--out', `${site}reference`],
  root,
)
const guideFiles = (
  JSON.parse(readFileSync(`${root}docs/typedoc.json`, 'utf8')) as { projectDocuments: string[] }
).projectDocuments.map((file) => `docs/${file}`)
buildSources(`${site}source`, linkedSources(linkedDocuments(guideFiles)))
writeFileSync(
  `${site}index.html`,
  readFileSync(`${root}src/web/site/index.html`, 'utf8').replace('<!-- guides -->', guides),
)
writeFileSync(
  `${site}site.css`,
  ['style/shared.css', 'site/site.css']
    .map((file) => readFileSync(`${root}src/web/${file}`, 'utf8'))
    .join(''),
)
for (const file of ['src/web/icon.svg', 'docs/page.png'])
  copyFileSync(`${root}${file}`, `${site}${basename(file)}`)

/** The guides as lists, in the order of the reference: that of use. */
function guides(): string {
  // The first of each group.
  const groups: Readonly<Record<string, string>> = {
    use: 'To use it',
    read: 'To understand and measure it',
    laws: 'To check it, and kernels of your own',
  }
  const items = guideFiles.map((file) => {
    const [, title] = /^# (.*)$/m.exec(readFileSync(`${root}${file}`, 'utf8')) ?? []
    if (title === undefined) throw new Error(`${file}: expected a title, got none`)
    const page = `reference/documents/${basename(file, '.md')}.html`
    const group = groups[basename(file, '.md')]
    const heading = group && markup`</ul></section><section><h3>${group}</h3><ul>`.html
    return `${heading ?? ''}${markup`<li><a href="${page}">${title}</a></li>`.html}`
  })
  return `<div class="guides">${items.join('').replace('</ul></section>', '')}</ul></section></div>`
}

/**
 * Builds docs/site, static files to be served from anywhere, below any path: the annotated specification in `spec`, the live
 * page in `live`, the library's reference and the guides in `reference`, and a page that leads to them.
 *
 *   npm run build:site && npm run serve:site
 *   npm run build:site -- FOLDER
 */
import { copyFileSync, existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'
import { commandArguments } from '../src/platform/platform.ts'
import { buildSpecPage } from './spec_page.ts'
import { compile } from './tool.ts'
import { pageConfig } from './vite_page.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const site = `${resolve(commandArguments()[0] ?? `${root}docs/site`)}/`
const typedoc = `${root}docs/node_modules/typedoc/bin/typedoc`

if (!existsSync(typedoc)) throw new Error('build:site: expected typedoc, got none: npm ci installs it')
await buildSpecPage(`${site}spec`)
await build({ configFile: false, logLevel: 'warn', ...pageConfig(`${site}live`, '../spec/') })
await compile(
  process.execPath,
  [typedoc, '--options', 'docs/typedoc.json', '--out', `${site}reference`],
  root,
)
for (const name of ['index.html', 'site.css']) copyFileSync(`${root}src/web/site/${name}`, `${site}${name}`)
copyFileSync(`${root}src/web/icon.svg`, `${site}icon.svg`)

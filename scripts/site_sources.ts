/**
 * The sources as pages of the site, in its folder `source`: highlighted, with numbered lines (`#L12`), every name that another file
 * declares a link to it. The list of them, by folder and name, says what each file is, by the first sentence of the comment at its
 * top, and what each folder is, by that of its `index.ts`, or else by the table of modules in CONTRIBUTING.md, or one of its own.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, posix } from 'node:path'
import { parseModule, readSources, root, walk, type Node, type Source } from '../spec/harness/syntax.ts'
import { escapeText, markup, trusted, type Content } from '../src/experiments/report/markup.ts'
import { siteNavigation } from './site_pages.ts'
import { setLine } from './spec_page/prose.ts'
import { declaredNames, referencesOf, wordsOf } from './spec_page/source.ts'

/** Part of a text that is a link, a definition, or of a kind with a colour. */
interface Mark {
  readonly start: number
  readonly end: number
  /** The HTML of the part, from that of its text. */
  readonly set: (html: string) => string
}

const keyword =
  /(?<![.\w])(?:abstract|as|async|await|break|case|catch|class|const|continue|default|delete|do|else|export|extends|finally|for|from|function|if|implements|import|in|instanceof|interface|keyof|let|new|of|private|protected|public|readonly|return|satisfies|static|super|switch|throw|try|type|typeof|void|while|yield)\b(?!\s*[:?])/g

/** What folders are that no `index.ts` and no table tells of. */
const folderWords: Readonly<Record<string, string>> = {
  '.': 'The licence and the manifest of the package',
  bench: 'How results of benches are judged',
  'bench/results': 'What benches have measured',
  'cuda/certify': 'What judges CUDA kernels without Node',
  'cuda/example': 'Kernels for a processor and for CUDA that are checked through files',
  'docs/schemas': 'The output of commands as JSON schemas',
  examples: 'Programs that extend the library, and a page that uses it',
  'scripts/kit': 'Writes the conformance kit',
  spec: 'Tests of the documents',
  'spec/backends/wasm': 'Tests of the WebAssembly kernels',
  'spec/golden': 'Tests of the specification against values of PyTorch',
  'spec/harness': 'What tests share',
  'src/backends/cuda': 'CUDA: devices, memory, launches and graphs',
  'src/backends/wasm': 'WebAssembly: instances of the kernels, and threads',
  'src/backends/webgpu': 'WebGPU: kernels in WGSL, exact and fast, and their devices',
  'src/cli/commands': 'The commands, a file each',
  'src/evaluation/jobs': 'Evaluation cut into jobs, for threads and other machines',
  'src/evaluation/tasks': 'Choice tasks: how they are asked and scored',
  'src/experiments/cache': 'What experiments have in common, computed once',
  'src/experiments/report': 'Reports: figures, tables and pages',
  'src/io/hub': 'Files of the Hugging Face hub, and their cache',
  'src/ops/contracts': 'The contract of each operation: sizes, bounds and bindings',
  'src/verify/criteria': 'Laws of criteria',
  'src/verify/masks': 'Laws of masks, budgets and selection',
  'src/verify/model': 'Laws of the model: engine and specification agree',
  'src/verify/ops': 'Laws of the operations',
  'src/verify/tokenizer': 'Laws of tokenizers',
  'src/web/embedded': 'The embedded model of the live page',
  'src/web/engine': 'The engine of the live page, in a thread of its own',
  'src/web/spec_page': 'The annotated specification as a page',
  'src/web/trace': 'Traces: what the live page shows, as a file',
  'src/web/view': 'What the live page draws',
}

/** Pages of files of `src`, and of what else documents link to. @param linked paths of files, and of folders whose files are shown */
export function buildSources(folder: string, linked: readonly string[]): void {
  const paths = linked.flatMap((path) =>
    statSync(`${root}${path}`).isDirectory()
      ? readdirSync(`${root}${path}`).map((file) => `${path}/${file}`)
      : path,
  )
  const files = new Map(readSources('src').map((source) => [source.path, source]))
  for (const path of [...paths, 'package.json'])
    if (statSync(`${root}${path}`).isFile())
      files.set(path, { path, text: readFileSync(`${root}${path}`, 'utf8') })
  const modules = new Map(
    [...files.values()]
      .filter(({ path }) => path.endsWith('.ts'))
      .map((source) => {
        const module = parseModule(source)
        return [source.path, { module, names: declaredNames(module) }]
      }),
  )
  const marksOf = ({ path, text }: Source): Mark[] => {
    const parsed = modules.get(path)
    if (parsed === undefined) return []
    const { module, names } = parsed
    const marks: Mark[] = Array.from(names, ([name, start]) => ({
      start,
      end: start + name.length,
      set: (html) => `<b id="${name}">${html}</b>`,
    }))
    for (const { start, end, path: to, name } of referencesOf(module, names)) {
      if (!files.has(to)) continue
      const place = name !== null && modules.get(to)?.names.has(name) ? `#${name}` : ''
      const page = to === path ? '' : `${posix.relative(posix.dirname(path), to)}.html`
      if (page + place !== '')
        marks.push({ start, end, set: (html) => `<a href="${page}${place}">${html}</a>` })
    }
    const coloured = (kind: string, { start, end }: Pick<Node, 'start' | 'end'>): number =>
      marks.push({ start, end, set: (html) => `<span class="${kind}">${html}</span>` })
    for (const comment of module.comments) coloured('comment', comment)
    for (const statement of module.body)
      walk(statement, (node) => {
        if (node.type === 'Literal' || node.type === 'TemplateElement') coloured('string', node)
      })
    for (const found of text.matchAll(keyword))
      coloured('keyword', { start: found.index, end: found.index + found[0].length })
    // Links before colours, and outer ones before inner ones: `sort` is stable, keywords are last.
    return marks.toSorted((a, b) => a.start - b.start)
  }
  for (const source of files.values()) {
    const depth = '../'.repeat(source.path.split('/').length)
    const own = posix.dirname(source.path)
    write(
      `${folder}/${source.path}.html`,
      page(
        source.path,
        own === '.'
          ? source.path
          : markup`<a href="${depth}source/index.html#${own}">${own}</a>/${posix.basename(source.path)}`,
        depth,
        markup`<pre tabindex="0"><code>${trusted(setText(source.text, marksOf(source)))}</code></pre>`,
      ),
    )
  }
  const headOf = (path: string): string => {
    const head = modules.get(path)?.module.comments.at(0)
    return head?.start === 0 ? firstSentence(wordsOf(head)) : ''
  }
  const moduleOf = moduleWords()
  const saidOf = (folder: string): string => {
    const said = headOf(`${folder}/index.ts`) || moduleOf.get(folder) || folderWords[folder] || ''
    return said.replace(/^[a-z]/, (letter) => letter.toUpperCase())
  }
  const set = (text: string): Content => trusted(setLine(text, () => null))
  const item = (path: string): Content =>
    markup`<li><a href="${path}.html">${posix.basename(path)}</a> <span>${set(headOf(path))}</span></li>`
  const byName = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
  const folders = [
    ...Map.groupBy([...files.keys()].toSorted(byName), (path) => posix.dirname(path)),
  ].toSorted(([a], [b]) => byName(a, b))
  const lists = folders.map(
    ([path, inside]) =>
      markup`<section id="${path}"><h2>${path === '.' ? 'At the root' : path}</h2><p>${set(saidOf(path))}</p><ul>${inside.map(item)}</ul></section>`,
  )
  const contents = folders.map(
    ([path]) =>
      markup`<li><a href="#${path}">${path === '.' ? 'At the root' : path}</a> <span>${set(saidOf(path))}</span></li>`,
  )
  write(
    `${folder}/index.html`,
    page(
      'Sources',
      'Sources',
      '../',
      markup`<div class="sources"><p>The folders and their files, each in the order of its name. Names in a source are links to their definitions.</p><ul>${contents}</ul>${lists}<p class="top"><a href="#">To the top</a></p></div>`,
    ),
  )
}

/** What each module of `src` is, by the table of CONTRIBUTING.md: names, and as many words. */
function moduleWords(): Map<string, string> {
  const rows = readFileSync(`${root}CONTRIBUTING.md`, 'utf8').matchAll(
    /^\| (`[a-z]+`(?: `[a-z]+`)*) +\| (.*?) +\|$/gm,
  )
  const words = new Map<string, string>()
  for (const [, cell, content] of rows) {
    const names = [...cell.matchAll(/\w+/g)].map(([name]) => name)
    const parts = names.length === 1 ? [content] : content.split('; ')
    if (parts.length !== names.length || !names.every((name) => existsSync(`${root}src/${name}`)))
      throw new Error(`CONTRIBUTING.md: expected modules and words for each, got ${cell} and ${content}`)
    names.forEach((name, i) => words.set(`src/${name}`, parts[i]))
  }
  return words
}

/**
 * The first sentence of words, on one line, up to a colon or semicolon behind its fourth word; without the name of the module or of
 * the thing before its first colon.
 */
function firstSentence(words: string): string {
  const [paragraph] = words.replaceAll(/[^\S\n]*\n[^\S\n]*(?!\n)/g, ' ').split(/\n| {2,}/)
  const [sentence] = /^.*?(?<!et al)\.(?=\s|$)|^.*/.exec(paragraph) ?? ['']
  const own = sentence.replace(/\.$/, '').replace(/^[\w/-]+(?:, [\w ]+)?: /, '')
  return /^(?:\S+ ){3,}?\S+(?=[:;] )/.exec(own)?.[0] ?? own.replace(/:$/, '')
}

/** A text with its marks, and the number of each line. */
function setText(text: string, marks: readonly Mark[]): string {
  let line = 0
  const number = (): string =>
    `<a id="L${++line}" href="#L${line}" tabindex="-1" aria-label="line ${line}"></a>`
  const numbered = (html: string): string => html.replaceAll('\n', () => `\n${number()}`)
  let [html, at] = [number(), 0]
  for (const { start, end, set } of marks) {
    if (start < at) continue
    html += numbered(escapeText(text.slice(at, start)) + set(escapeText(text.slice(start, end))))
    at = end
  }
  return html + numbered(escapeText(text.slice(at).trimEnd()))
}

/** A page. @param heading the title, or the same as links. @param up the address of the site from the page */
function page(title: string, heading: Content, up: string, content: Content): string {
  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} | ShadowLLM</title>
<link rel="icon" href="${up}icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="${up}site.css">
</head>
<body class="source">
<nav aria-label="Site">${siteNavigation(up)}</nav>
<h1>${heading}</h1>
${content}
</body>
</html>
`.html
}

function write(file: string, html: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, html)
}

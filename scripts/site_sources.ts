/**
 * The sources as pages of the site, in its folder `source`: highlighted, every name that another file declares a link to it.
 */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, posix } from 'node:path'
import { parseModule, readSources, root, walk, type Node, type Source } from '../spec/harness/syntax.ts'
import { escapeText, markup, trusted, type Content } from '../src/experiments/report/markup.ts'
import { declaredNames, referencesOf } from './spec_page/source.ts'

/** Part of a text that is a link, a definition, or of a kind with a colour. */
interface Mark {
  readonly start: number
  readonly end: number
  /** The HTML of the part, from that of its text. */
  readonly set: (html: string) => string
}

const keyword =
  /(?<![.\w])(?:abstract|as|async|await|break|case|catch|class|const|continue|default|delete|do|else|export|extends|finally|for|from|function|if|implements|import|in|instanceof|interface|keyof|let|new|of|private|protected|public|readonly|return|satisfies|static|super|switch|throw|try|type|typeof|void|while|yield)\b(?!\s*[:?])/g

/** Pages of files of `src`, and of what else documents link to. @param linked paths of files, and of folders whose files are shown */
export function buildSources(folder: string, linked: readonly string[]): void {
  const paths = linked.flatMap((path) =>
    statSync(`${root}${path}`).isDirectory()
      ? readdirSync(`${root}${path}`).map((file) => `${path}/${file}`)
      : path,
  )
  const files = new Map(readSources('src').map((source) => [source.path, source]))
  for (const path of paths)
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
    write(
      `${folder}/${source.path}.html`,
      page(
        source.path,
        depth,
        markup`<pre tabindex="0"><code>${trusted(setText(source.text, marksOf(source)))}</code></pre>`,
      ),
    )
  }
  const folders = Map.groupBy(files.keys(), (path) => posix.dirname(path))
  const lists = Array.from(folders, ([path, inside]) => {
    const items = inside.map((file) => markup`<li><a href="${file}.html">${posix.basename(file)}</a></li>`)
    return markup`<section id="${path}"><h2>${path === '.' ? 'At the root' : path}</h2><ul>${items}</ul></section>`
  })
  write(`${folder}/index.html`, page('Sources', '../', markup`<div class="sources">${lists}</div>`))
}

function setText(text: string, marks: readonly Mark[]): string {
  let [html, at] = ['', 0]
  for (const { start, end, set } of marks) {
    if (start < at) continue
    html += escapeText(text.slice(at, start)) + set(escapeText(text.slice(start, end)))
    at = end
  }
  return html + escapeText(text.slice(at))
}

/** A page. @param up the address of the site from the page */
function page(title: string, up: string, content: Content): string {
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
<nav aria-label="Site"><a href="${up}index.html">Home</a> <a href="${up}source/index.html">Sources</a> <a href="${up}spec/index.html">Annotated specification</a> <a href="${up}reference/index.html">Reference</a></nav>
<h1>${title}</h1>
${content}
</body>
</html>
`.html
}

function write(file: string, html: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, html)
}

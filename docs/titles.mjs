/**
 * A plugin of typedoc. Documents that guides link to are pages too, and have the text and the links of the site; a document has the
 * title that its first line gives it, and keeps its address, which is its file's name; a module has the name by which it is imported;
 * lists of names say of each how its comment begins; a name leads to its definition on the site, and to the one of the same name in
 * the annotated specification; and every page leads to the other pages of the site from its header.
 */
import { readFileSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CommentTag, Converter, MinimalSourceFile, ReflectionKind } from 'typedoc'
import { lineAddress, linkedDocuments, siteText, specificationAddresses } from '../scripts/site_links.ts'
import { beginning } from './words.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const pathOf = (file) => relative(root, file).replaceAll('\\', '/')

/** The other pages of the site (src/web/site), from the folder of the reference. */
const others = {
  Home: '../index.html',
  'Live page': '../live/index.html',
  Specification: '../spec/index.html',
  Sources: '../source/index.html',
}

const own = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))

/** The name by which the module of a file is imported. */
function importOf(file) {
  const [path] =
    Object.entries(own.exports).find(([, to]) => file.endsWith(to['@shadowllm/source']?.slice(1))) ?? []
  if (path === undefined) throw new Error(`${file}: expected an export of package.json, got none`)
  return own.name + path.slice(1)
}

/** The document under which those stand that are no guides. */
const OVERVIEW = 'README.md'

/** Called by typedoc. */
export function load(app) {
  let besides = []
  app.on('bootstrapEnd', () => {
    const guides = app.options.getValue('projectDocuments').map(pathOf)
    besides = linkedDocuments(guides).filter((path) => path !== OVERVIEW && !guides.includes(path))
    app.options.setValue(
      'projectDocuments',
      [...guides, OVERVIEW].map((path) => `${root}${path}`),
    )
  })
  const { converter } = app
  const parse = converter.parseRawComment.bind(converter)
  converter.parseRawComment = (file, files) => {
    const path = pathOf(file.fileName)
    const head = path === OVERVIEW ? `---\nchildren: ${JSON.stringify(besides)}\n---\n\n` : ''
    return parse(new MinimalSourceFile(head + siteText(path, file.text), file.fileName), files)
  }
  // Its name is its address, which the common folder of all documents does not belong to.
  converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
    for (const guide of project.documents ?? []) guide.name = guide.name.replace(/^docs\/(?:guides\/)?/, '')
  })
  // The addresses of all pages are known by then; the list of pages is written after it.
  app.renderer.on('beginRender', ({ project }) => {
    for (const guide of project.getReflectionsByKind(ReflectionKind.Document)) {
      const file = project.files.getReflectionPath(guide)
      const [, title] = /^# (.*)$/m.exec(file ? readFileSync(file, 'utf8') : '') ?? []
      if (title) guide.name = title === own.name ? 'Overview' : title
    }
    for (const module of project.getReflectionsByKind(ReflectionKind.Module))
      module.name = importOf(project.files.getReflectionPath(module) ?? '')
    const specified = specificationAddresses()
    for (const one of Object.values(project.reflections)) {
      one.sources = one.sources?.filter(({ fullFileName }) => pathOf(fullFileName).startsWith('src/'))
      for (const source of one.sources ?? []) {
        source.fileName = pathOf(source.fullFileName)
        source.url = lineAddress(source.fileName, source.line)
      }
      if (one.isReference()) {
        const { comment, signatures } = one.getTargetReflectionDeep()
        one.comment = (comment ?? signatures?.[0].comment)?.clone()
      }
      one.comment?.blockTags.push(new CommentTag('@summary', beginning(one.comment.summary)))
      const address = one.parent?.kindOf(ReflectionKind.Module) ? specified.get(one.name) : undefined
      if (address === undefined || one.isReference()) continue
      const text = `[\`${one.name}\`](${address}) of the annotated specification`
      const { comment } = one.signatures?.[0] ?? one
      comment?.blockTags.push(new CommentTag('@specified', [{ kind: 'text', text }]))
    }
  })
  app.renderer.on('endPage', (page) => {
    const up = '../'.repeat(page.url.split('/').length - 1)
    page.contents = page.contents?.replaceAll(
      /href="site:([^"]*)"(?: class="(?:(tsd-signature-type) )?external" target="_blank")?/g,
      (_, address, kind) => `href="${up}../${address}"${kind ? ` class="${kind}"` : ''}`,
    )
    // Code among words is broken behind a slash, and a flag not at its hyphens.
    page.contents = page.contents?.replaceAll(/(?<=<code>)[^<]+(?=<\/code>)/g, (code) =>
      code
        .replaceAll(/(?<=\w)\/(?=\w)/g, '/<wbr>')
        .replaceAll(/(?<![\w-])--?[a-z][\w-]*/g, '<span class="flag">$&</span>'),
    )
    const links = Object.entries(others).map(([name, address]) => `<a href="${up}${address}">${name}</a>`)
    page.contents = page.contents?.replace(
      '<div id="tsd-toolbar-links"></div>',
      `<nav id="tsd-toolbar-links" aria-label="Site">${links.join('')}</nav>`,
    )
  })
}

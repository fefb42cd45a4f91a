/**
 * A plugin of typedoc. Documents that guides link to are pages too, and have the text and the links of the site; a document has the
 * title that its first line gives it, and keeps its address, which is its file's name; a module has the name by which it is imported;
 * lists of names say of each how its comment begins; a name leads to its definition on the site, to that of the annotated specification
 * which has the same name or the one of its tag `@specified`, and to the guides, programs and examples that use it; every page leads to
 * the other pages of the site from its header; formulas, which documents write as `<var>`, are MathML; and a line of code that is too
 * long goes on further in. A command of the page of flags leads to each flag that is explained above it. In the list of pages those about
 * the project stand by themselves, behind the guides.
 */
import { readFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CommentTag, Converter, MinimalSourceFile, ReflectionKind } from 'typedoc'
import {
  lineAddress,
  linkedDocuments,
  measuredDocuments,
  siteText,
  specificationAddresses,
} from '../scripts/site_links.ts'
import { siteNavigation } from '../scripts/site_pages.ts'
import { allExamples } from '../spec/harness/all_examples.ts'
import { typeset } from '../scripts/spec_page/mathematics.ts'
import { beginning, codeAnchor, flagAnchor, repack } from './words.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const pathOf = (file) => relative(root, file).replaceAll('\\', '/')

const own = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))

/** The name by which the module of a file is imported. */
function importOf(file) {
  const [path] =
    Object.entries(own.exports).find(([, to]) => file.endsWith(to['@shadowllm/source']?.slice(1))) ?? []
  if (path === undefined) throw new Error(`${file}: expected an export of package.json, got none`)
  return own.name + path.slice(1)
}

/** What a program calls, reads or makes. */
const usable = ReflectionKind.Function | ReflectionKind.SomeType | ReflectionKind.Variable

/** Up to how many places of its use a name leads to examples of others. */
const PLACES = 3

/** The document under which those stand that are no guides, and the guide under which those stand that have what was measured. */
const OVERVIEW = 'README.md'
const EVIDENCE = 'docs/guides/evidence.md'

/** The names that a program imports from the library. */
function importedNames(code) {
  const lists = code.matchAll(/import \{([^}]*)\} from '(?:@shadowllm\/|shadowllm)/g)
  return Array.from(lists, ([, list]) => list.split(','))
    .flat()
    .map((name) => name.trim().split(' ').at(-1))
}

/** Where guides and programs use what the library exports: links by name, each to the section or the source. */
function placesOfUse(project, router) {
  const guides = new Map()
  for (const guide of project.getReflectionsByKind(ReflectionKind.Document))
    guides.set(pathOf(project.files.getReflectionPath(guide) ?? ''), guide)
  const places = new Map()
  for (const { at, language, code } of allExamples()) {
    if (language !== 'ts') continue
    const [path, line] = at.split(':')
    const guide = path === OVERVIEW ? undefined : guides.get(path)
    if (guide === undefined && !path.startsWith('examples/')) continue
    let link = `[\`${path}\`](site:source/${path}.html)`
    if (guide !== undefined) {
      const before = readFileSync(`${root}${path}`, 'utf8').split('\n').slice(0, line)
      const titles = before
        .filter((one) => one.startsWith('## '))
        .map((one) => one.slice(3).replaceAll('`', ''))
      const anchors = router.getSlugger(guide)
      const own = new anchors.constructor(anchors.options)
      const section = titles.map((title) => `#${own.slug(title)}`).at(-1) ?? ''
      const title = titles.length > 0 ? `${guide.name}: ${titles.at(-1)}` : guide.name
      link = `[${title}](site:reference/${router.getFullUrl(guide)}${section})`
    }
    for (const name of importedNames(code)) places.set(name, (places.get(name) ?? new Set()).add(link))
  }
  return places
}

/**
 * The page of flags with an anchor for each explanation, which the search leads to, and the flags that a command shares as links to them.
 * @throws Error if a command shares a flag that none of the explanations of its group is of
 */
function linkedFlags(html) {
  const counts = {}
  const sections = html.split(/(?=<h2 id="[^"]+")/)
  /** Of each group of flags: the names, the anchor and the commands of each explanation. */
  const groups = new Map()
  const withAnchors = sections.map((section) => {
    const rows = []
    const text = section.replaceAll(
      /<li>(?=<code>((?:-\w, )?--([\w-]+)[^<]*)<\/code>: (.*))/g,
      (_, term, flag, words) => {
        const id = flagAnchor(flag, (counts[flag] = (counts[flag] ?? 0) + 1))
        const [, commands = ''] = /\. Of (<code>.*<\/code>)\./.exec(words) ?? []
        rows.push({
          names: term.match(/--[\w-]+/g),
          id,
          commands: commands.replaceAll(/<\/?code>/g, '').split(', '),
        })
        return `<li id="${id}">`
      },
    )
    groups.set(/^<h2 id="([^"]+)"/.exec(section)?.[1], rows)
    return text
  })
  return withAnchors
    .map((section) => {
      const [, command] = /^<h2 id="shadowllm-[^"]*".*?>shadowllm ([^<]+)</.exec(section) ?? []
      return section.replaceAll(
        /(<li><a href="#([^"]+)">[^<]*<\/a>: )(<code>.*)/g,
        (_, start, group, list) => {
          const links = list.replaceAll(/<code>--([\w-]+)<\/code>/g, (code, flag) => {
            const row = groups
              .get(group)
              ?.find(({ names, commands }) => names.includes(`--${flag}`) && commands.includes(command))
            if (row === undefined) throw new Error(`${command}: expected --${flag} in ${group}, got none`)
            return `<a href="#${row.id}">${code}</a>`
          })
          return start + links
        },
      )
    })
    .join('')
}

/** Where an output has two columns: words with two or more spaces between them. */
const COLUMNS = /[^\s>] {2,}[^\s<]/

/** The text of a cell that is a number, with an error or a unit of per cent. */
const NUMBER = /^[-+−±×%\d.,\s]+$/

/** A block of code with each line as an element, whose second row style sets in; what separates lines stays, to be copied. */
function codeLines(block) {
  const parts = block.split(/(\n|<br\/>)/)
  return parts
    .map((part, i) => (i % 2 === 1 || part === '' ? part : `<span class="code-line">${part}</span>`))
    .join('')
}

/**
 * The list of pages: guides, those about the project, and modules, whose names are in groups by their kinds.
 * @throws Error if there are none about the project
 */
function listOfPages(groups) {
  const inGroups = (pages) => pages.flatMap((one) => (one.path === undefined ? one.children : one))
  const pages = inGroups(groups).map((one) =>
    one.children && !isModule(one) ? { ...one, children: inGroups(one.children) } : one,
  )
  const { children, ...overview } = pages.find(({ path }) => path === 'documents/README.html') ?? {}
  if (children === undefined)
    throw new Error('the list of pages: expected pages below the overview, got none')
  const guides = pages.filter((one) => !isModule(one) && one.path !== overview.path)
  return [overview, ...guides, { text: 'About the project', children }, ...pages.filter(isModule)]
}

/** Whether an entry of the list of pages is a module. */
function isModule({ path }) {
  return path.startsWith('modules/')
}

/** Called by typedoc. */
export function load(app) {
  app.renderer.on('endRender', ({ outputDirectory }) =>
    repack(join(outputDirectory, 'assets/navigation.js'), listOfPages),
  )
  /** Documents by the one under which they stand. */
  const below = new Map()
  /** The names and addresses of documents and modules. */
  let pageLinks = []
  app.on('bootstrapEnd', () => {
    const guides = app.options.getValue('projectDocuments').map(pathOf)
    const measured = measuredDocuments(guides)
    const known = [OVERVIEW, ...guides, ...measured]
    below.set(EVIDENCE, measured)
    below.set(
      OVERVIEW,
      linkedDocuments(guides).filter((path) => !known.includes(path)),
    )
    app.options.setValue(
      'projectDocuments',
      [OVERVIEW, ...guides].map((path) => `${root}${path}`),
    )
    app.options.setValue('blockTags', [...app.options.getValue('blockTags'), '@specified'])
  })
  const { converter } = app
  const parse = converter.parseRawComment.bind(converter)
  converter.parseRawComment = (file, files) => {
    const path = pathOf(file.fileName)
    const children = below.get(path)?.map((one) => relative(dirname(path), one).replaceAll('\\', '/'))
    const head = children ? `---\nchildren: ${JSON.stringify(children)}\n---\n\n` : ''
    return parse(new MinimalSourceFile(head + siteText(path, file.text), file.fileName), files)
  }
  // Its name is its address, which the common folder of all documents does not belong to; a README bears that of its folder.
  converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
    for (const guide of project.documents ?? []) {
      guide.name = guide.name.replace(/^docs\/(?:guides\/)?/, '')
      for (const child of guide.children ?? [])
        if (child.name === 'README')
          child.name = basename(dirname(project.files.getReflectionPath(child) ?? ''))
    }
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
    pageLinks = project
      .getReflectionsByKind(ReflectionKind.Document | ReflectionKind.Module)
      .map((page) => [page.name, app.renderer.router.getFullUrl(page)])
    const specified = specificationAddresses()
    const places = placesOfUse(project, app.renderer.router)
    // What an example of another name shows.
    const shown = new Map()
    for (const one of Object.values(project.reflections)) {
      const code = one.comment?.getTags('@example').flatMap(({ content }) => content) ?? []
      const of = one.kindOf(ReflectionKind.SomeSignature) ? one.parent : one
      for (const name of importedNames(code.map(({ text }) => text).join('\n')))
        if (!of.isReference()) shown.set(name, (shown.get(name) ?? new Set()).add(of))
    }
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
      if (one.isReference() || one.kindOf(ReflectionKind.SomeSignature)) continue
      const ofModule = one.parent?.kindOf(ReflectionKind.Module)
      const { comment } = one.signatures?.[0] ?? one
      let tag = comment?.getTag('@specified')
      const name = tag ? tag.content.map(({ text }) => text.replaceAll('`', '').trim()).join('') : one.name
      const address = specified.get(name)
      if (tag && address === undefined)
        throw new Error(`${one.getFriendlyFullName()}: expected a name of src/spec, got ${name}`)
      if (!tag && ofModule && comment && address !== undefined) {
        tag = new CommentTag('@specified', [])
        comment.blockTags.push(tag)
      }
      if (tag)
        tag.content = [{ kind: 'text', text: `[\`${name}\`](${address}) of the annotated specification` }]
      if (!ofModule || !comment || !one.kindOf(usable)) continue
      const links = [...(places.get(one.name) ?? [])].map((text) => [{ kind: 'text', text }])
      if (!comment.getTag('@example'))
        for (const target of shown.get(one.name) ?? []) {
          if (links.length >= PLACES) break
          const text = target.parent.kindOf(ReflectionKind.Class)
            ? `${target.parent.name}.${target.name}`
            : target.name
          links.push([
            { kind: 'text', text: 'The example of ' },
            { kind: 'inline-tag', tag: '@linkcode', text, target },
          ])
        }
      const items = links.flatMap((parts) => [{ kind: 'text', text: '\n- ' }, ...parts])
      if (items.length > 0) comment.blockTags.push(new CommentTag('@shownIn', items))
    }
  })
  app.renderer.on('endPage', (page) => {
    const up = '../'.repeat(page.url.split('/').length - 1)
    page.contents = page.contents?.replaceAll(
      /href="site:([^"]*)"(?: class="(?:(tsd-signature-type) )?external" target="_blank")?/g,
      (_, address, kind) => `href="${up}../${address}"${kind ? ` class="${kind}"` : ''}`,
    )
    if (page.url === 'documents/flags.html' && page.contents)
      page.contents = linkedFlags(page.contents)
        // Its sections as two groups, of which that of commands opens.
        .replace(
          /(?:<li><a href="#shadowllm-[^"]*">.*<\/li>\n?)+/,
          (items) => `<li><details><summary>Commands</summary><ul>${items}</ul></details></li>`,
        )
    if (page.url === 'documents/errors.html') {
      const counts = {}
      page.contents = page.contents?.replaceAll(
        /<li>(?=<code>([A-Z][A-Z0-9_]+)<\/code>: )/g,
        (_, code) => `<li id="${codeAnchor(code, (counts[code] = (counts[code] ?? 0) + 1))}">`,
      )
    }
    // On a phone what lies beside the menu closes it: so does this.
    page.contents = page.contents?.replace(
      /(?=<div class="col-sidebar">)/,
      '<button class="close-menu" type="button" aria-label="Close the menu">✕</button>',
    )
    // Code among words is broken behind a slash, and a flag not at its hyphens, in blocks of commands neither.
    const wholeFlags = (code) => code.replaceAll(/(?<![\w-])--?[a-z][\w-]*/g, '<span class="flag">$&</span>')
    page.contents = page.contents
      ?.replaceAll(/(?<=<code>)[^<]+(?=<\/code>)/g, (code) =>
        wholeFlags(code.replaceAll(/(?<=\w)\/(?=\w)/g, '/<wbr>')),
      )
      .replaceAll(/(?<=<code class="(?:sh|bash|console)">).*?(?=<\/code>)/gs, (block) =>
        block.replaceAll(/(?<=>)[^<]+/g, wholeFlags),
      )
    page.contents = page.contents
      ?.replaceAll(/<var>(.*?)<\/var>/gs, (_, formula) => typeset(formula))
      .replaceAll(/<pre>(<code[^>]*>)(.*?)(?=<\/code>)/gs, (_, start, block) =>
        // Columns stay below each other: what does not fit is scrolled.
        start === '<code class="text">' && COLUMNS.test(block)
          ? `<pre class="columns" tabindex="0">${start}${block}`
          : `<pre>${start}${codeLines(block)}`,
      )
      .replaceAll(/<td>(?=([^<]+)<)/g, (cell, text) => (NUMBER.test(text) ? '<td class="number">' : cell))
      .replace(
        '<div class="col-content">',
        '<div class="col-content" id="content" role="main" tabindex="-1">',
      )
      .replace('<header ', '<a class="skip" href="#content">Skip to the text</a><header ')
      .replace('id="tsd-search-input" ', '$&aria-label="Search the reference" ')
      // The list of pages before its script has come, or without one.
      .replace(
        '<li>Loading...</li>',
        pageLinks.map(([name, url]) => `<li><a href="${up}${url}">${name}</a></li>`).join(''),
      )
    // The search leads to a word that the start page explains.
    if (page.url === 'index.html')
      page.contents = page.contents?.replaceAll(
        /<li>(?=<strong>(\w+)<\/strong>: )/g,
        (_, word) => `<li id="${word.toLowerCase()}">`,
      )
    page.contents = page.contents?.replace(
      '<div id="tsd-toolbar-links"></div>',
      `<nav id="tsd-toolbar-links" aria-label="Site">${siteNavigation(`${up}../`).html}</nav>`,
    )
  })
}

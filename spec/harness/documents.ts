/**
 * Parts of documents that can be checked against the code: code blocks, TSDoc examples, rows of law tables, links and npm
 * scripts. Pure functions over text; `examples.ts` runs the examples.
 *
 * How a block is read:
 *   ```ts            type-checked and executed; imports the library as 'shadowllm'
 *   ```ts no-run     type-checked only (it needs a network, a GPU or a file of the reader)
 *   ```ts file=PATH  a file of a worked example, which is carried out (worked_example.ts)
 *   <!-- run -->     before a ```sh block: executed. Other sh blocks are not; npm scripts in them must exist
 *   ```text          directly after one of these: its exact output, where a line `...` stands for any lines
 */
import { posix } from 'node:path'
import { type Comment, type Module, type Node, parseModule, place, type Source, walk } from './syntax.ts'

/** One piece of code a document shows. */
export interface Example {
  /** Where it is, as `path:line`. */
  readonly at: string
  readonly language: 'ts' | 'sh'
  readonly code: string
  readonly run: boolean
  /** What it must print, if the document says. */
  readonly output: string | null
}

interface Fence {
  info: string
  content: string
  line: number
  endLine: number
}

/** The fenced blocks of a text, in order. A fence that is never closed reaches to the end. */
function fences(text: string): Fence[] {
  const found: Fence[] = []
  let open: Fence | null = null
  for (const [index, line] of text.split('\n').entries()) {
    const mark = /^\s*```\s*(.*?)\s*$/.exec(line)
    if (open === null) {
      if (mark) open = { info: mark[1], content: '', line: index + 1, endLine: -1 }
    } else if (mark) {
      found.push({ ...open, endLine: index + 1 })
      open = null
    } else {
      open.content += `${line}\n`
    }
  }
  return open === null ? found : [...found, open]
}

/** The ts and sh blocks of a text, with the output each must give. */
export function examplesOf({ path, text }: Source): Example[] {
  const lines = text.split('\n')
  const blocks = fences(text)
  return blocks.flatMap((block, i): Example[] => {
    const [language, ...words] = block.info.split(/\s+/)
    if ((language !== 'ts' && language !== 'sh') || words.some((word) => word.startsWith('file='))) return []
    const marked = lines.slice(0, block.line - 1).findLast((line) => line.trim() !== '') === '<!-- run -->'
    const next = blocks[i + 1]
    const adjacent =
      next?.info === 'text' &&
      lines
        .slice(block.endLine, next.line - 1)
        .join('')
        .trim() === ''
    return [
      {
        at: `${path}:${block.line}`,
        language,
        code: block.content,
        run: language === 'ts' ? !words.includes('no-run') : marked,
        output: adjacent ? next.content : null,
      },
    ]
  })
}

/** A whole program as an example; what it must print stands in the comment after the line `// prints` at its end. */
export function exampleOfProgram({ path, text }: Source): Example {
  const printed = /^\/\/ prints\n((?:\/\/ .*\n)+)$/m.exec(text)?.[1]
  const output = printed?.replace(/^\/\/ /gm, '') ?? null
  return { at: `${path}:1`, language: 'ts', code: text, run: true, output }
}

/** The examples in the docstrings of a module: the blocks under each `@example`. */
export function examplesInDocstrings(module: Module): Example[] {
  return docstringExamples(module).flatMap(({ text, comment }) =>
    examplesOf({ path: place(module, comment.start), text }).map((example) => ({
      ...example,
      at: place(module, comment.start),
    })),
  )
}

/** An `@example` without a block cannot be held to anything. */
export function emptyExamples(module: Module): string[] {
  return docstringExamples(module)
    .filter(({ text }) => fences(text).length === 0)
    .map(({ comment }) => `${place(module, comment.start)}: an @example without a code block`)
}

function docstringExamples({ comments }: Module): { text: string; comment: Comment }[] {
  return comments
    .filter(({ type, value }) => type === 'Block' && value.startsWith('*'))
    .flatMap((comment) => {
      const text = comment.value.replace(/^[ \t]*\* ?/gm, '')
      const parts = text.split(/^@example\b/m).slice(1)
      return parts.map((part) => ({ text: part.split(/^@(?!example)\w+/m)[0], comment }))
    })
}

/** Examples of the library that open a file of the checkout, which an installed package does not have there. */
export function checkoutPaths(examples: readonly Example[]): string[] {
  return examples
    .filter(({ language }) => language === 'ts')
    .flatMap(({ at, code }) =>
      [...code.matchAll(/(['"`])((?:\.{0,2}\/)*(?:fixtures|src|spec)\/[^'"`\n]*)\1/g)].map(
        ([, , path]) => `${at}: the example names ${path}, which no installed package has`,
      ),
    )
}

/** Blocks that are opened and never closed: all that follows would silently be code. */
export function openFences({ path, text }: Source): string[] {
  return fences(text)
    .filter(({ endLine }) => endLine < 0)
    .map(({ line }) => `${path}:${line}: a code block that is never closed`)
}

/** Commands of npm that name no script of package.json. */
export function deadScripts(source: Source, scripts: readonly string[]): string[] {
  return examplesOf(source)
    .filter(({ language }) => language === 'sh')
    .flatMap(({ at, code }) =>
      [...code.matchAll(/\bnpm (?:run ([\w:-]+)|(test))\b/g)]
        .map(([, script, test]) => script ?? test)
        .filter((script) => !scripts.includes(script))
        .map((script) => `${at}: package.json has no script "${script}"`),
    )
}

/** Relative links to nothing. */
export function deadLinks({ path, text }: Source, exists: (path: string) => boolean): string[] {
  const prose = fences(text).reduce(
    (rest, { content }) => rest.replace(content, content.replace(/[^\n]/g, '')),
    text,
  )
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .filter(([, link]) => !/^([a-z]+:|#)/.test(link))
    .filter(([, link]) => !exists(posix.join(posix.dirname(path), link.split('#')[0])))
    .map(
      (match) => `${place({ path, text: prose }, match.index)}: a link to ${match[1]}, which does not exist`,
    )
}

/**
 * Faults in the rows of law tables (tables whose last columns are `code` and `law`): every file named between backticks
 * exists, code and law each name at least one (a law is a spec file or a page of laws in src/verify), and a law's title in
 * double quotes is part of a title in one of its files.
 * A line "Code in `FOLDER`, laws in `FOLDER`." says where the file names below it are looked up, up to the next such line
 * or heading `##`; other names start at the root. `read` gives a file's text by its path from the root, null if there is
 * none.
 */
export function deadRows({ path, text }: Source, read: (path: string) => string | null): string[] {
  let columns = 0
  let folders: [code: string[], law: string[]] = [[], []]
  return text.split('\n').flatMap((line, index) => {
    folders = foldersOf(line) ?? folders
    const cells = cellsOf(line)
    if (cells.length === 0) columns = 0
    if (cells.at(-1)?.trim() === 'law') {
      columns = cells.length
      return []
    }
    if (columns === 0 || /^[\s:-]*$/.test(cells.join(''))) return []
    if (cells.length !== columns)
      return [`${path}:${index + 1}: expected ${columns} cells, got ${cells.length}`]
    const lawCell = cells[columns - 1]
    const [code, law] = cells
      .slice(-2)
      .map((cell, i) => namedFiles(cell).map((name) => lookUp(name, folders[i], read)))
    const specs = law.filter((file) => file.endsWith('.spec.ts') || file.startsWith('src/verify/'))
    const faults = [
      ...(code.length === 0 ? ['names no code'] : []),
      ...(specs.length === 0 ? ['names no law'] : []),
      ...[...code, ...law].filter((file) => read(file) === null).map((file) => `${file} does not exist`),
      ...[...lawCell.matchAll(/"([^"]+)"/g)]
        .filter(
          ([, title]) => !law.some((file) => titles(file, read(file)).some((known) => known.includes(title))),
        )
        .map(([, title]) => `no law is titled "${title}"`),
    ]
    return faults.map((fault) => `${path}:${index + 1}: ${fault}`)
  })
}

/** Statements of law tables that have more words than a reader takes in at once. */
export function longStatements({ path, text }: Source, mostWords: number): string[] {
  let statement = -1
  return text.split('\n').flatMap((line, index) => {
    const cells = cellsOf(line).map((cell) => cell.trim())
    if (cells.length === 0) statement = -1
    if (cells.at(-1) === 'law') statement = cells.indexOf('statement')
    const words = cells[statement]?.split(/\s+/).length ?? 0
    return words > mostWords
      ? [`${path}:${index + 1}: expected at most ${mostWords} words in a statement, got ${words}`]
      : []
  })
}

function cellsOf(line: string): string[] {
  return line.split(/(?<!\\)\|/).slice(1, -1)
}

/** The folders that a line sets for code and laws; null if it sets none. A heading sets the root. */
function foldersOf(line: string): [code: string[], law: string[]] | null {
  if (/^##? /.test(line)) return [[], []]
  const said = /^Code in (.*), laws in (`[^,]*(?:, `[^,]*)*)\.$/.exec(line)
  const named = (part: string): string[] => [...part.matchAll(/`([^`]+)`/g)].map(([, name]) => name)
  return said && [named(said[1]), named(said[2])]
}

/** A file's path from the root: in the first of the folders that has it, else the name itself. */
function lookUp(name: string, folders: readonly string[], read: (path: string) => string | null): string {
  const paths = folders.map((folder) => posix.join(folder, name))
  return paths.find((file) => read(file) !== null) ?? name
}

function namedFiles(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)]
    .map(([, name]) => name)
    .filter((name) => /^[\w./-]+\.\w+$/.test(name))
}

/** What the calls of a spec are given first, as text: the titles of its tests. What `expect` leads to is none. */
export function titles(path: string, text: string | null): string[] {
  if (text === null) return []
  const found: string[] = []
  for (const statement of parseModule({ path, text }).body) {
    walk(statement, (node) => {
      if (node.type !== 'CallExpression' || leadingName(node) === 'expect') return
      const [title] = node.arguments as Node[]
      if (title?.type === 'Literal') found.push(String(title.value))
      if (title?.type === 'TemplateLiteral') {
        found.push(...(title.quasis as Node[]).map(({ value }) => (value as { cooked: string }).cooked))
      }
    })
  }
  return found
}

/** The name a chain of calls and members starts with: `test` of `test.each(rows)(title, body)`. */
function leadingName(node: Node): unknown {
  const inner = (node.callee ?? node.object) as Node | undefined
  return inner ? leadingName(inner) : node.name
}

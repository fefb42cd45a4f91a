/**
 * A source file as rows of words and code, in its order.
 *
 * A comment that has lines of its own is words; what follows it, up to the next such comment, is the code beside it. Top-level
 * statements that an empty line separates have a row each. Comments at the end of a line of code stay in the code.
 */
import { posix } from 'node:path'
import { topNames } from '../../spec/harness/scopes.ts'
import { parseModule, type Comment, type Module, type Node, type Source } from '../../spec/harness/syntax.ts'

/** Words, and the code beside them. */
export interface Row {
  /** The words of a comment, without its marks; empty without one. */
  readonly words: string
  /** The first line of the code and the one after the last, from 0. */
  readonly from: number
  readonly to: number
  /** What the code declares at the top of the file. */
  readonly names: readonly string[]
}

/** A name in the code that leads to a definition. */
export interface Reference {
  readonly start: number
  readonly end: number
  /** The file of the definition, and its name there; null for the file as a whole. */
  readonly path: string
  readonly name: string | null
}

/** A file, taken apart. */
export interface Chapter extends Source {
  readonly lines: readonly string[]
  /** The comment at the top. */
  readonly head: string
  /** The imports, and the lines after the last. */
  readonly imports: Row
  readonly rows: readonly Row[]
  readonly references: readonly Reference[]
}

/** Takes a file apart. It begins with a comment; imports follow. */
export function readChapter(source: Source): Chapter {
  const module = parseModule(source)
  const lines = source.text.split('\n')
  const lineAt = lineFinder(lines)
  const comments = wholeLineComments(module, lineAt)
  const names = declaredNames(module)
  const imports = module.body.filter(({ type }) => type === 'ImportDeclaration')
  const code = rowsOf(lines, comments).map(({ words, from, to }) => ({
    words,
    from,
    to,
    names: [...names].filter(([, at]) => lineAt(at) >= from && lineAt(at) < to).map(([name]) => name),
  }))
  const afterImports = 1 + Math.max(-1, ...imports.map(({ end }) => lineAt(end)))
  // The first row is the head, and imports if they follow at once.
  const rows = code.slice(1).filter(({ from }) => from >= afterImports)
  return {
    ...source,
    lines,
    head: comments[0].words,
    imports: { words: '', from: comments[0].to, to: afterImports, names: [] },
    rows,
    references: referencesOf(module, names),
  }
}

type Words = Pick<Row, 'words' | 'from' | 'to'>

/** Which line an offset is in. */
function lineFinder(lines: readonly string[]): (offset: number) => number {
  const starts = [0]
  for (const line of lines) starts.push(starts[starts.length - 1] + line.length + 1)
  return (offset) => starts.findLastIndex((start) => start <= offset)
}

/** The comments that have lines of their own; those of adjacent lines are one. */
function wholeLineComments({ text, comments }: Module, lineAt: (offset: number) => number): Words[] {
  const found: Words[] = []
  for (const comment of comments) {
    const before = text.slice(text.lastIndexOf('\n', comment.start) + 1, comment.start)
    const after = text.slice(comment.end, text.indexOf('\n', comment.end))
    if (before.trim() !== '' || after.trim() !== '') continue
    const [from, to, words] = [lineAt(comment.start), lineAt(comment.end) + 1, wordsOf(comment)]
    const last = found.at(-1)
    if (last?.to === from && comment.type === 'Line')
      Object.assign(last, { to, words: `${last.words}\n${words}` })
    else found.push({ words, from, to })
  }
  return found
}

/** A comment without its marks. */
export function wordsOf({ type, value }: Comment): string {
  if (type === 'Line') return value.replace(/^ /, '')
  return value
    .replace(/^\*/, '')
    .split('\n')
    .map((line) => line.replace(/^\s*\* ?/, ''))
    .join('\n')
    .trim()
}

/** Rows from comment to comment. */
function rowsOf(lines: readonly string[], comments: readonly Words[]): Words[] {
  const rows: Words[] = []
  let [words, from, at] = ['', 0, 0]
  const close = (): void => {
    while (from < at && lines[from].trim() === '') from++
    let to = at
    while (to > from && lines[to - 1].trim() === '') to--
    if (words !== '' || to > from) rows.push({ words, from, to })
    words = ''
  }
  for (; at < lines.length; at++) {
    const comment = comments.find((candidate) => candidate.from === at)
    const isNewStatement = at > 0 && lines[at - 1] === '' && /^\S/.test(lines[at])
    if (comment === undefined && !isNewStatement) continue
    close()
    from = at
    if (comment === undefined) continue
    words = comment.words
    from = comment.to
    at = comment.to - 1
  }
  close()
  return rows
}

/** The names that a module declares at its top, and where. */
export function declaredNames({ body }: Module): Map<string, number> {
  const names = new Map<string, number>()
  for (const statement of body) {
    const declaration = (statement.declaration ?? statement) as Node
    const declared = (declaration.declarations as Node[] | undefined) ?? [declaration]
    for (const { id } of declared) {
      const identifier = id as Node | undefined
      if (identifier?.type === 'Identifier') names.set(identifier.name as string, identifier.start)
    }
  }
  return names
}

/** The names in the code that lead somewhere. */
export function referencesOf(module: Module, own: ReadonlyMap<string, number>): Reference[] {
  const targets = new Map<string, Pick<Reference, 'path' | 'name'>>()
  for (const name of own.keys()) targets.set(name, { path: module.path, name })
  const files: Reference[] = []
  for (const { type, source, specifiers } of module.body) {
    const { value, start, end } = (source ?? {}) as Node
    if (type !== 'ImportDeclaration' || !String(value).startsWith('.')) continue
    const path = posix.join(posix.dirname(module.path), String(value))
    files.push({ start: start + 1, end: end - 1, path, name: null })
    for (const { local, imported } of specifiers as Node[])
      targets.set((local as Node).name as string, {
        path,
        name: ((imported ?? local) as Node).name as string,
      })
  }
  const uses = topNames(module, [...targets.keys()]).map(({ start, name }) => ({
    start,
    end: start + (name as string).length,
    ...(targets.get(name as string) as Pick<Reference, 'path' | 'name'>),
  }))
  return [...files, ...uses].toSorted((a, b) => a.start - b.start)
}

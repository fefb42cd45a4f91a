/**
 * Code as HTML: highlighted when the page is built, its names links.
 */
import { createCssVariablesTheme, createHighlighter } from 'shiki'
import { escapeText } from '../../src/experiments/report/markup.ts'
import type { Chapter, Reference } from './source.ts'

/** The address of a definition; null if the site does not have it. */
export type FindDefinition = (reference: Reference) => string | null

/** The code of lines `from` to `to` of a chapter. */
export type SetCode = (from: number, to: number) => string

const theme = createCssVariablesTheme()
const highlighter = await createHighlighter({ themes: [theme], langs: ['typescript'] })

/** How many steps a line that is broken stays behind its indent at most. */
const DEEPEST = 4

/** What writes the code of a chapter: an element for each line, its break included, so that a copied block is whole lines. */
export function codeOf({ text, references }: Chapter, find: FindDefinition): SetCode {
  const tokens = highlighter.codeToTokensBase(text, { lang: 'typescript', theme })
  return (from, to) =>
    tokens
      .slice(from, to)
      .map((line) => {
        const text = line.map(({ content }) => content).join('')
        const depth = Math.min(DEEPEST, (text.length - text.trimStart().length) >> 1)
        const html = line.map((token) => setToken(token, references, find)).join('')
        return `<span class="line in-${depth}">${html}\n</span>`
      })
      .join('')
}

interface Token {
  readonly content: string
  readonly offset: number
  readonly color?: string
}

/** A token, in its colour; the names in it are links. */
function setToken(
  { content, offset, color }: Token,
  references: readonly Reference[],
  find: FindDefinition,
): string {
  const end = offset + content.length
  let html = ''
  let at = offset
  for (const reference of references) {
    if (reference.start < at || reference.end > end) continue
    const address = find(reference)
    if (address === null) continue
    html += escapeText(content.slice(at - offset, reference.start - offset))
    const name = escapeText(content.slice(reference.start - offset, reference.end - offset))
    html += `<a href="${address}">${name}</a>`
    at = reference.end
  }
  html += escapeText(content.slice(at - offset))
  // The foreground has no class; other colours are variables with names such as `--shiki-token-keyword`.
  const kind = /--shiki-token-([a-z-]+)/.exec(color ?? '')?.[1]
  return kind === undefined || content.trim() === '' ? html : `<span class="${kind}">${html}</span>`
}

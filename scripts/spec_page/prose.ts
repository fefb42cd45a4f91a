/**
 * Words of comments as HTML: paragraphs, lines that stand alone, parameters.
 *
 * Lines that are set in by two spaces or more stand alone, formulas among them; runs of spaces separate their columns. Names in
 * backticks lead to their definitions, arXiv numbers to the paper, and commits of the released code to its repository.
 */
import { escapeText } from '../../src/experiments/report/markup.ts'
import { typeset } from './mathematics.ts'

/** The address of what a name in backticks means; null if it is defined nowhere on the page. */
export type FindName = (name: string) => string | null

const released = 'https://github.com/abdelfattah-lab/shadow_llm/tree/bdc5ad5'

/** What is no plain word: code, a paper, the released code. */
const special =
  /`([^`]+)`|arXiv (\d{4}\.\d{5})|(?<= and )(\d{4}\.\d{5})|abdelfattah-lab\/shadow_llm at bdc5ad5|(?<=emnlp_activation_predictor\.py )at bdc5ad5/g

/** A line of words as HTML. */
export function setLine(text: string, find: FindName, standsAlone = false): string {
  let html = ''
  let at = 0
  for (const found of text.matchAll(special)) {
    const [whole, code, paper, second] = found
    html += typeset(text.slice(at, found.index), standsAlone)
    if (code !== undefined) html += nameOf(code, find)
    else {
      const id = paper ?? second
      const address = id === undefined ? released : `https://arxiv.org/abs/${id}`
      html += `<a href="${address}">${escapeText(whole)}</a>`
    }
    at = found.index + whole.length
  }
  return html + typeset(text.slice(at), standsAlone)
}

function nameOf(code: string, find: FindName): string {
  const address = find(code)
  const name = `<code>${escapeText(code)}</code>`
  return address === null ? name : `<a href="${address}">${name}</a>`
}

/** All words of a comment. */
export function setWords(words: string, find: FindName): string {
  const blocks: string[] = []
  let [kind, lines]: [kind: string, lines: string[]] = ['', []]
  const close = (): void => {
    if (lines.length > 0) blocks.push(block(kind, lines, find))
    lines = []
  }
  for (const line of words.split('\n')) {
    const next = line.trim() === '' ? '' : line.startsWith('  ') ? 'lines' : kindOfWords(line, kind)
    if (next !== kind || (next === 'parameter' && line.startsWith('@'))) close()
    kind = next
    if (next !== '') lines.push(line)
  }
  close()
  return blocks.join('\n')
}

function kindOfWords(line: string, before: string): string {
  return line.startsWith('@') || before === 'parameter' ? 'parameter' : 'paragraph'
}

function block(kind: string, lines: readonly string[], find: FindName): string {
  if (kind === 'lines') return table(lines, find)
  // One comment of one line may hold both: a sentence, then its parameters.
  const [sentence, ...parameters] = lines.join(' ').split(/(?:^|\s)@param /)
  const paragraph = sentence === '' ? '' : `<p>${setLine(sentence, find)}</p>`
  if (parameters.length === 0) return paragraph
  const entries = parameters.map((parameter) => {
    const [, name, meaning] = /^(\S+)\s+(.*)$/s.exec(parameter) as RegExpExecArray
    return `<div><dt><code>${escapeText(name)}</code></dt> <dd>${setLine(meaning, find)}</dd></div>`
  })
  return `${paragraph}\n<dl>${entries.join(' ')}</dl>`
}

/** Lines that stand alone, in columns. */
function table(lines: readonly string[], find: FindName): string {
  const cells = lines.map((line) => line.trim().split(/\s{2,}/))
  const columns = Math.max(...cells.map(({ length }) => length))
  const rows = cells.map((row) => {
    const set = row.map((cell, i) => {
      const span = i === row.length - 1 && columns > row.length ? ` colspan="${columns - i}"` : ''
      return `<td${span}>${setLine(cell, find, true)}</td>`
    })
    return `<tr>${set.join(' ')}</tr>`
  })
  return `<table class="lines"><tbody>${rows.join('\n')}</tbody></table>`
}

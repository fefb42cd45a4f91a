/**
 * The table of the law book (`spec/README.md`) in which paper, released code and this project differ, as HTML: each row leads to the
 * definition that decides it here.
 */
import { markup, trusted, type Markup } from '../../src/experiments/report/markup.ts'
import { setLine } from './prose.ts'

/** The definition behind each question of the table; a question that is decided elsewhere has none. */
const definitions: ReadonlyMap<string, string> = new Map([
  ['do masks of neurons reach the output', 'opt.layer'],
  ['plainact of a neuron', 'plainact'],
  ['token that the predictor reads', 'predictor.features'],
  ['layer 0', 'select.selectMask'],
  ['units skipped of N', 'select.keepBest'],
  ['ties', 'select.keepBest'],
  ['a layer that kept too few units', 'select.keepAsReleased'],
  ['scaling of targets', 'predictor.targets'],
  ['input of a DejaVu network', 'dejavu.dejavu'],
  ['how often the predictor runs', 'shadowllm.plan'],
  ["the prompt's own pass", 'shadowllm.generate'],
  ['random numbers', 'training.trainNetwork'],
])

/** The table. @param book the text of the law book @throws Error if it has no such table */
export function setCompared(book: string): string {
  const [, body] = /^\| question [^\n]*\n\|[- |]+\n((?:\|[^\n]*\n)+)/m.exec(book) ?? []
  if (body === undefined) throw new Error('spec/README.md: expected a table of questions')
  const rows = body
    .trim()
    .split('\n')
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    )
  const cells = rows.map(([question, paper, released, here, option]): Markup => {
    const address = definitions.get(question)
    const name = address === undefined ? question : markup`<a href="#${address}">${question}</a>`
    const own = Object.entries({
      here,
      paper,
      'released code': released,
      'to get theirs': option === '-' ? 'none' : option,
    }).map(
      ([column, cell]) =>
        markup`<td data-column="${column}">${trusted(setLine(cell === '-' ? 'not said' : cell, () => null))}</td>`,
    )
    return markup`<tr><th scope="row">${name}</th>${own}</tr>`
  })
  return markup`<div class="scrolls"><table class="values compared"><thead><tr><th scope="col">question</th><th scope="col">here</th><th scope="col">paper</th><th scope="col">released code</th><th scope="col">option of the commands (<code>shadowllm --help</code>) that gives theirs</th></tr></thead><tbody>${cells}</tbody></table></div>`
    .html
}

/**
 * The idea of the method before its chapters, as HTML: the steps that the head of `src/spec/shadowllm.ts` lists, and the symbols of
 * the formulas, with the sizes of the model that the page computes with.
 */
import type { ModelConfig } from '../../src/engine/config.ts'
import { markup, trusted, type Markup } from '../../src/experiments/report/markup.ts'
import { setLine } from './prose.ts'

/** The steps of the method, each with a link to its definition. @param head of its file @throws Error if it lists none */
export function setMethod(head: string): string {
  const steps = Array.from(
    head.matchAll(/^ {2}(\w+) {2,}(.*)$/gm),
    ([, name, words]) =>
      markup`<dt><a href="#shadowllm.${name}">${name}</a></dt><dd>${trusted(setLine(words, () => null))}</dd>`,
  )
  if (steps.length === 0) throw new Error('shadowllm.ts: expected the steps of the method, got none')
  return markup`<dl class="steps">${steps}</dl>`.html
}

/** A size in the configuration of OPT, its letter in a comment: `readonly headSize: number // K; H K = D`. */
const SIZE = /^ {2}readonly (\w+): number \/\/ ([A-Z])\b(?:[;,] (.*))?$/gm

/** Values of the formulas: symbol, shape, meaning, and the definition that has them. */
const values: readonly (readonly [symbol: string, shape: string, meaning: string, address: string])[] = [
  ['x', '[T, D]', 'the stream that every layer reads and adds to', 'opt'],
  [
    'a, g',
    '[T, H K] and [T, F]',
    'what the heads and the neurons of a layer give out, and the derivative of the loss there',
    'plainact',
  ],
  [
    'c, f',
    '[H K]',
    'a of the heads of layer 0 at the last token of the prompt, and the same scaled: the features',
    'predictor.features',
  ],
  ['score, s', '[L, H] and [L, F]', 'plainact of every unit, or what the predictor says of it', 'predictor'],
  [
    'm',
    '[L, H] and [L, F]',
    'the mask: 1 for a unit that is computed, 0 for one that is skipped',
    'select.selectMask',
  ],
  ['s of a budget', 'from 0 to 1', 'the sparsity: the share of units to skip', 'select'],
]

/**
 * The symbols.
 * @param opt the text of `src/spec/opt.ts`, whose configuration names the sizes
 * @param config of the model that the page computes with
 * @param prompt how many tokens its prompt has
 * @throws Error for a size that the configuration does not have
 */
export function setSymbols(opt: string, config: ModelConfig, prompt: number): string {
  const sizes = Array.from(opt.matchAll(SIZE), ([, name, letter, note]): readonly string[] => {
    const size = (config as unknown as Readonly<Record<string, unknown>>)[name]
    if (typeof size !== 'number') throw new Error(`opt.ts: expected a size of the model, got ${name}`)
    const words = name.replaceAll(/[A-Z]/g, (capital) => ` ${capital.toLowerCase()}`)
    return [letter, size.toLocaleString('en'), note === undefined ? words : `${words}, ${note}`]
  })
  const row = ([symbol, size, meaning, address]: readonly string[]): Markup => {
    const name = address === undefined ? symbol : markup`<a href="#${address}">${symbol}</a>`
    return markup`<tr><th scope="row">${name}</th><td>${size}</td><td>${meaning}</td></tr>`
  }
  const table = (size: string, rows: readonly (readonly string[])[]): Markup =>
    markup`<table class="values"><thead><tr><th scope="col">symbol</th><th scope="col">${size}</th><th scope="col">meaning</th></tr></thead><tbody>${rows.map(row)}</tbody></table>`
  const tokens = ['T', String(prompt), 'tokens of a text; the number is that of the prompt, P']
  return markup`<div class="symbols">${table('here', [tokens, ...sizes])}${table('shape', values)}</div>`.html
}

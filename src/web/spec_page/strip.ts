/**
 * The method as a strip of small figures at the top of the page, from the prompt to the two texts; each leads to its definition.
 */
import { markup, type Markup } from '../../experiments/report/markup.ts'
import { percent, visible } from '../view/dom.ts'
import { contextMap, curve, featureBars, ranked, shareBar, unitMap, type Figure } from './figures.ts'
import type { SomeSteps } from './method.ts'

/** A small figure, its address `strip.` and that of its definition, and its title. */
export interface Station extends Figure {
  readonly title: string
}

/** How many next tokens are shown. */
const SHOWN = 3

/** The figures, in the order of the method. */
export const stations: readonly Station[] = [
  {
    address: 'strip.opt.opt',
    title: '1 The prompt',
    draw: ({ tokens }) =>
      tokens &&
      markup`<p class="quoted">${tokens.pieces.slice(1).map(visible).join('')}</p><p>${tokens.ids.length} tokens</p>`,
  },
  {
    address: 'strip.opt.layer',
    title: '2 Layer 0, computed whole',
    draw: ({ context, tokens }) =>
      context && tokens
        ? markup`${contextMap(context, tokens)}<p>${context.heads} heads, each token</p>`
        : null,
  },
  {
    address: 'strip.predictor.features',
    title: '3 ◆ reads its last column',
    draw: ({ features }) => features && markup`${featureBars(features)}<p>${features.length} features</p>`,
  },
  {
    address: 'strip.predictor.predict',
    title: '4 and scores every unit',
    draw: ({ predicted }) =>
      predicted &&
      markup`${unitMap('Predicted scores', predicted, 'predicted')}<p>${unitCount(predicted)} scores</p>`,
  },
  {
    address: 'strip.select.selectMask',
    title: '5 The budget cuts',
    draw: ({ scores, mask }, { sparsity }) => {
      if (!scores || !mask) return null
      const kept = mask.neurons.slice(1).reduce((sum, row) => sum + row.reduce((a, b) => a + b, 0), 0)
      return markup`${curve('neurons', ranked(scores, 'neurons'), kept)}<p>${percent(sparsity)} are skipped</p>`
    },
  },
  {
    address: 'strip.shadowllm.generate',
    title: '6 The next word',
    draw: ({ next }) => next && drawNext(next),
  },
]

function unitCount({ heads, neurons }: NonNullable<SomeSteps['predicted']>): string {
  const count = [heads, neurons].reduce((sum, rows) => sum + (rows.length - 1) * rows[0].length, 0)
  return count.toLocaleString('en')
}

function drawNext(next: NonNullable<SomeSteps['next']>): Markup {
  const rows = next
    .slice(0, SHOWN)
    .map(
      ({ text, dense, masked }) =>
        markup`<tr><th scope="row">${visible(text)}</th><td>${shareBar(dense, 'dense')}<br>${shareBar(masked, 'masked')}</td></tr>`,
    )
  return markup`<table class="values">${rows}</table><p>above with all units, below under the mask</p>`
}

/**
 * The method as a strip of small figures at the top of the page, from the prompt to the two texts; each leads to its definition.
 */
import { logitsDivergence } from '../../engine/divergence.ts'
import { markup, type Markup } from '../../experiments/report/markup.ts'
import { brief, counted, visible } from '../view/dom.ts'
import { emptyPrompt } from '../view/glossary.ts'
import {
  contextMap,
  curve,
  featureBars,
  meanDivergence,
  ranked,
  shareBar,
  sources,
  unitMap,
  type Figure,
} from './figures.ts'
import type { SomeSteps, Steps } from './method.ts'
import type { ScoreSource } from './settings.ts'

/** A small figure, its address `strip.` and that of its definition, and its title, which depends on what scores are chosen. */
export interface Station extends Figure {
  readonly title: (source: ScoreSource) => string
}

/** The third and the fourth step: what is read, and what gives the scores. */
const titles: Readonly<Record<ScoreSource, { readonly reads: string; readonly scores: string }>> = {
  predicted: { reads: '3 The predictor reads the last column', scores: '4 and scores every unit' },
  oracle: { reads: '3 The oracle reads the text', scores: '4 and scores every unit' },
  static: { reads: '3 Other texts are read', scores: '4 Their mean scores' },
  random: { reads: '3 Nothing is read', scores: '4 Each unit draws a number' },
}

const withoutPrompt: Readonly<Record<'static' | 'random', string>> = {
  static: 'Eight texts, the same for every prompt. The prompt does not matter.',
  random: 'The numbers are the same for every prompt. The prompt does not matter.',
}

/** How many next tokens are shown. */
const SHOWN = 3

/** The figures, in the order of the method. */
export const stations: readonly Station[] = [
  {
    address: 'strip.opt.opt',
    isOfPrompt: true,
    title: () => '1 The prompt',
    draw: ({ tokens }) =>
      tokens &&
      markup`<p class="quoted">${tokens.pieces.slice(1).map(visible).join('') || emptyPrompt}</p><p>${counted(tokens.ids.length, 'token')}, its start token included</p>`,
  },
  {
    address: 'strip.opt.layer',
    isOfPrompt: true,
    title: () => '2 Layer 0, computed whole',
    draw: ({ context, tokens }) =>
      context && tokens
        ? markup`${contextMap(context, tokens)}<p>${context.heads} heads (down), each token (across)</p>`
        : null,
  },
  {
    address: 'strip.predictor.features',
    title: (source) => titles[source].reads,
    draw: ({ features, context, dense, tokens }, { source }) => {
      if (source === 'predicted')
        return (
          features &&
          context &&
          markup`${featureBars(features)}<p>${features.length} features: ${context.heads} heads of ${features.length / context.heads}</p>`
        )
      if (source === 'oracle')
        return (
          dense &&
          markup`<p class="quoted">${dense.pieces.map(visible).join('')}</p><p>by the dense model</p>`
        )
      return tokens && markup`<p>${withoutPrompt[source]}</p>`
    },
  },
  {
    address: 'strip.predictor.predict',
    title: (source) => titles[source].scores,
    draw: ({ predicted, scores }, { source }) => {
      const shown = source === 'predicted' ? predicted : scores
      return shown && markup`${unitMap('Scores', shown, source)}<p>${unitCount(shown)} ${sources[source]}</p>`
    },
  },
  {
    address: 'strip.select.selectMask',
    title: () => '5 The budget cuts',
    draw: ({ scores, mask }, { sparsity }) => {
      if (!scores || !mask) return null
      const least = sparsity === 1 ? '; each layer keeps its best head' : ''
      const ranking = ranked(scores, mask, 'neurons')
      const skipped = [ranked(scores, mask, 'heads'), ranking].map(({ kept, count }) =>
        [kept.length - count, kept.length].map((units) => units.toLocaleString('en')).join(' of '),
      )
      return markup`${curve('neurons', ranking)}<p>${skipped[0]} heads and ${skipped[1]} neurons are skipped${least}</p>`
    },
  },
  {
    address: 'strip.shadowllm.generate',
    title: () => '6 The next word',
    draw: ({ next, dense, masked }) => (next && dense && masked ? drawNext(next, dense, masked) : null),
  },
]

function unitCount({ heads, neurons }: NonNullable<SomeSteps['predicted']>): string {
  const count = [heads, neurons].reduce((sum, rows) => sum + (rows.length - 1) * rows[0].length, 0)
  return count.toLocaleString('en')
}

function drawNext(next: Steps['next'], dense: Steps['dense'], masked: Steps['masked']): Markup {
  const rows = next
    .slice(0, SHOWN)
    .map(
      ({ text, dense, masked }) =>
        markup`<tr><th scope="row">${visible(text)}</th><td>${shareBar(dense, 'dense')}<br>${shareBar(masked, 'masked')}</td></tr>`,
    )
  const [one, mean] = [logitsDivergence(dense.logits, masked.logits), meanDivergence(dense, masked)]
  return markup`<table class="values">${rows}</table><p>above with all units, below under the mask</p><p><b>KL ${brief(mean)} nats</b> along the ${counted(dense.ids.length, 'token')} that the dense model writes. The first alone, ${brief(one)}, does not tell which choice is better</p>`
}

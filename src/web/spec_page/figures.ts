/**
 * The values of each step as HTML: a picture, its table, and one line that says what the pointer or the keyboard is at.
 *
 * Functions of the steps alone: the build writes them for the default prompt, and the page for the reader's.
 */
import { markup, trusted, type Content, type Markup } from '../../experiments/report/markup.ts'
import { logitsDivergence, divergence, sumRow } from '../../engine/divergence.ts'
import { unitKinds } from '../../masks/mask.ts'
import type { Units } from '../../spec/plain.ts'
import type { UnitKind } from '../../spec/program.ts'
import { dot64 } from '../../verify/float64.ts'
import { keptWords, rankUnits, type Ranking } from '../trace/ranking.ts'
import { brief, counted, percent, visible } from '../view/dom.ts'
import type { SomeSteps, Steps } from './method.ts'
import type { ScoreSource, Settings } from './settings.ts'

/** What is shown beside a definition. */
export interface Figure {
  /** The address of the definition. */
  readonly address: string
  /** Whether its values depend on the prompt alone. */
  readonly isOfPrompt?: true
  /** Nothing while its values are not there. */
  readonly draw: (steps: SomeSteps, settings: Settings) => Markup | null | undefined
}

/** What scores are, in words. */
export const sources: Readonly<Record<ScoreSource, string>> = {
  predicted: 'predicted scores',
  oracle: 'scores of the oracle',
  static: 'static scores',
  random: 'random numbers',
}

/** The figures, in the order of the page. */
export const figures: readonly Figure[] = [
  { address: 'opt.opt', isOfPrompt: true, draw: ({ tokens }) => tokens && drawTokens(tokens) },
  {
    address: 'opt.layer',
    isOfPrompt: true,
    draw: ({ context, tokens }) => (context && tokens ? drawContext(context, tokens) : null),
  },
  {
    address: 'plainact.plainact',
    isOfPrompt: true,
    draw: ({ plainact, dense }) => (plainact && dense ? drawPlainact(plainact, dense) : null),
  },
  {
    address: 'predictor.features',
    isOfPrompt: true,
    draw: ({ features }) => features && drawFeatures(features),
  },
  {
    address: 'predictor.predict',
    draw: ({ predicted }, { source }) => predicted && drawPredicted(predicted, source),
  },
  {
    address: 'select.selectMask',
    draw: ({ scores, mask, plainact }, settings) =>
      scores && mask ? drawSelection(scores, mask, plainact, settings) : null,
  },
  {
    address: 'shadowllm.generate',
    draw: ({ next, dense, masked }) => (next && dense && masked ? drawTexts(next, dense, masked) : null),
  },
]

// ---- Parts ------------------------------------------------------------------------------------------------------

/** A figure: its caption, pictures, and a table behind them. */
function figure(caption: Content, picture: Content, table: Content): Markup {
  return markup`<figure><figcaption>${caption}</figcaption>${picture}<details><summary>As a table</summary>${table}</details></figure>`
}

/** A table with one heading row; the first cell of every row is its heading. */
function table(headings: readonly string[], rows: readonly (readonly Content[])[]): Markup {
  const head = headings.map((heading) => markup`<th scope="col">${heading}</th>`)
  const body = rows.map(
    ([first, ...cells]) =>
      markup`<tr><th scope="row">${first}</th>${cells.map((cell) => markup`<td>${cell}</td>`)}</tr>`,
  )
  return markup`<div class="scrolls"><table class="values"><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`
}

/** Shades of a heat map, from nothing to full. */
const SHADES = 8

/** The shade of each value: its rank among all of them. Equal values have one shade. */
function shadesOf(rows: readonly Float32Array[]): number[][] {
  const sorted = rows.flatMap((row) => [...row]).toSorted((a, b) => a - b)
  const below = (value: number): number => {
    let [low, high] = [0, sorted.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (sorted[middle] < value) low = middle + 1
      else high = middle
    }
    return low
  }
  return rows.map((row) => Array.from(row, (value) => Math.floor((below(value) / sorted.length) * SHADES)))
}

/** Rows of shades as one path a shade; neighbours of one shade are one stroke. */
function paths(shades: readonly (readonly number[])[]): Markup[] {
  const strokes = Array.from({ length: SHADES }, () => '')
  shades.forEach((row, y) => {
    for (let x = 0; x < row.length;) {
      let end = x + 1
      while (end < row.length && row[end] === row[x]) end++
      strokes[row[x]] += `M${x} ${y + 0.5}h${end - x}`
      x = end
    }
  })
  return strokes.flatMap((d, shade) =>
    shade === 0 || d === ''
      ? []
      : [markup`<path d="${d}" stroke-opacity="${(shade / (SHADES - 1)).toFixed(2)}"/>`],
  )
}

/**
 * A picture of numbers [rows, columns]: the stronger its colour, the higher among all of them.
 * @param isRead whether a line says what the pointer or the keyboard is at
 */
function heatMap(label: string, rows: readonly Float32Array[], key: string, isRead = true): Markup {
  const [height, width] = [rows.length, rows[0].length]
  const reads = isRead ? markup` data-map="${key}" tabindex="0"` : null
  return markup`<svg class="map"${reads} role="img" aria-label="${label}" viewBox="0 0 ${width} ${height}" preserveAspectRatio="none">${paths(shadesOf(rows))}</svg>`
}

/** The units of a layer by score, best first. */
export function bestFirst(row: Float32Array): Uint32Array {
  return Uint32Array.from(row.keys()).sort((a, b) => row[b] - row[a] || a - b)
}

/** A picture with units in their places, and one with the best first: the reader chooses. */
function inBothOrders(place: Markup, order: Markup): Markup {
  return markup`<div class="in-place">${place}</div><div class="in-order">${order}</div>`
}

/** The scale of a heat map: its lowest and its highest number around the shades, and among what a number's rank is its colour. */
function scale(rows: readonly Float32Array[], among: string): Markup {
  const [least, most] = [Math.min, Math.max].map((end) =>
    end(...rows.map((row) => row.reduce((a, b) => end(a, b)))),
  )
  const steps = paths([Array.from({ length: SHADES }, (_, shade) => shade)])
  return markup`<p class="scale">${brief(least)} <svg aria-hidden="true" viewBox="0 0 ${SHADES} 1" preserveAspectRatio="none">${steps}</svg> ${brief(most)}: colour by rank among ${among}</p>`
}

/** Scores of both kinds over [layer, unit], in place and sorted, with the line under the pointer. */
function unitMaps(name: string, units: Units, key: string): Markup {
  // Layer 0 is dense and has no score.
  const maps = unitKinds.map((kind) => {
    const rows = units[kind].slice(1)
    const place = heatMap(`${name} of ${kind}, layer by layer`, rows, `${key}.${kind}`)
    const ordered = `${name} of ${kind}, best first in each layer`
    const best = rows.map((row) => row.toSorted((a, b) => b - a))
    const order = heatMap(ordered, best, `${key}.${kind}.sorted`)
    return markup`<div class="kind"><p class="label">${kind}</p>${inBothOrders(place, order)}${scale(rows, `the ${kind} of all layers`)}</div>`
  })
  return markup`<div class="maps">${maps}</div><p class="readout" role="status" data-readout="${key}">Layers 1 to ${units.heads.length - 1} from top to bottom. Point at a unit or tap it, or focus a map and use the arrow keys.</p>`
}

/** Scores of neurons as a picture with its scale alone. */
export function unitMap(name: string, { neurons }: Units, key: string): Markup {
  const rows = neurons.slice(1)
  const map = heatMap(`${name} of neurons, layer by layer`, rows, `${key}.neurons`, false)
  return markup`${map}${scale(rows, 'the neurons of all layers')}`
}

/** The units of the ranked layers, best first. */
export function ranked(scores: Units, mask: Units, kind: UnitKind): Ranking {
  const flat = (units: Units): Float32Array =>
    Float32Array.from(units[kind].slice(1).flatMap((row) => [...row]))
  return rankUnits(flat(scores), flat(mask))
}

const mean = (row: Float32Array): number => row.reduce((sum, value) => sum + value, 0) / row.length

/** The scores of each layer in short. */
function unitTable(units: Units): Markup {
  const ofHeads = units.heads.map((row) => [...row].map(brief).join(' '))
  const rows = units.neurons.map((row, l) => {
    const [least, most] = [row.reduce((a, b) => Math.min(a, b)), row.reduce((a, b) => Math.max(a, b))]
    return [String(l), ofHeads[l], ...[mean(row), least, most].map(brief)]
  })
  return table(['layer', 'heads', 'neurons: mean', 'least', 'most'], rows)
}

// ---- Figures ----------------------------------------------------------------------------------------------------

function drawTokens({ ids, pieces }: Steps['tokens']): Markup {
  const chips = pieces.map(
    (piece, t) =>
      markup`<li><span class="piece">${visible(piece)}</span><span class="id">${ids[t]}</span></li>`,
  )
  return markup`<figure><figcaption>The prompt is ${counted(ids.length, 'token')}, its start token included.</figcaption><ol class="tokens" start="0">${chips}</ol></figure>`
}

/** The length of each head's context at each token: [heads] of [tokens]. */
function contextLengths({ values, heads }: Steps['context'], { pieces }: Steps['tokens']): Float32Array[] {
  const K = values.length / pieces.length / heads
  return Array.from({ length: heads }, (_, h) =>
    Float32Array.from(pieces, (_, t) => {
      const own = values.subarray((t * heads + h) * K, (t * heads + h + 1) * K)
      return Math.hypot(...own)
    }),
  )
}

/** The context of layer 0 as a picture with its scale. @param isRead as for `heatMap` */
export function contextMap(context: Steps['context'], tokens: Steps['tokens'], isRead = false): Markup {
  const label = 'The length of what each head of layer 0 gives out, by head and token'
  const lengths = contextLengths(context, tokens)
  return markup`${heatMap(label, lengths, 'context', isRead)}${scale(lengths, 'all heads and tokens')}`
}

function drawContext(context: Steps['context'], tokens: Steps['tokens']): Markup {
  const { values, heads } = context
  const { pieces } = tokens
  const K = values.length / pieces.length / heads
  const lengths = contextLengths(context, tokens)
  const rows = lengths.map((row, h) => [String(h), ...Array.from(row, brief)])
  return figure(
    `What the ${heads} heads of layer 0 give out: the length of each head's ${K} numbers (down), at each token (across). The predictor reads the last column.`,
    markup`<div class="context">${contextMap(context, tokens, true)}</div>`,
    table(['head', ...pieces.map(visible)], rows),
  )
}

/** The features as a picture alone. */
export function featureBars(features: Float32Array): Markup {
  const most = features.reduce((a, b) => Math.max(a, Math.abs(b)), 0)
  const bars = Array.from(features, (value, i) => `M${i + 0.5} 0V${(-value / most).toFixed(3)}`).join('')
  return markup`<svg class="bars" role="img" aria-label="The features of the prompt" viewBox="0 -1 ${features.length} 2" preserveAspectRatio="none"><path d="${bars}"/></svg>`
}

function drawFeatures(features: Float32Array): Markup {
  const most = features.reduce((a, b) => Math.max(a, Math.abs(b)), 0)
  return figure(
    markup`The ${features.length} features: what the <a href="#opt.layer">heads of layer 0</a> give out at the last token of the prompt, scaled. The longest bar is ${brief(most)}.`,
    featureBars(features),
    markup`<p class="numbers">${Array.from(features, brief).join(' ')}</p>`,
  )
}

function drawPredicted(predicted: Units, source: ScoreSource): Markup {
  const use =
    source === 'predicted'
      ? 'The mask will keep the strongest.'
      : `The predictor's mask would keep the strongest; now ${sources[source]} decide.`
  return figure(
    `Predicted scores: the stronger the colour, the higher the rank; equal steps of colour are equal numbers of units. ${use}`,
    unitMaps('Predicted scores', predicted, 'predicted'),
    unitTable(predicted),
  )
}

function drawPlainact(plainact: Units, { pieces }: Steps['dense']): Markup {
  return figure(
    markup`True plainact of every unit, for the text that the dense model writes after the prompt: <q>${pieces.map(visible).join('')}</q>`,
    unitMaps('plainact', plainact, 'plainact'),
    unitTable(plainact),
  )
}

const count = (mask: Float32Array): number => mask.reduce((sum, kept) => sum + kept, 0)

function drawSelection(
  scores: Units,
  mask: Units,
  plainact: Steps['plainact'] | undefined,
  settings: Settings,
): Markup {
  const panels = unitKinds.map((kind) => {
    const ranking = ranked(scores, mask, kind)
    const rows = mask[kind].slice(1)
    const ordered = rows.map((row, l) =>
      Float32Array.from(bestFirst(scores[kind][l + 1]), (unit) => row[unit]),
    )
    const maps = inBothOrders(maskMap(kind, rows), maskMap(`${kind}.sorted`, ordered))
    return markup`<div class="kind"><p class="label">${kind}: ${keptWords(ranking)}</p>${curve(kind, ranking)}${maps}</div>`
  })
  const rows = mask.heads.map((row, l) => [l, count(row), count(mask.neurons[l])].map(String))
  const found = plainact === undefined || settings.source === 'oracle' ? '' : ` ${recallLine(mask, plainact)}`
  return figure(
    `The scores sorted (${sources[settings.source]}), with the kept units shaded, at sparsity ${percent(settings.sparsity)}, ${settings.scope} scope. The line stands before the first skipped unit; the highest fiftieth leaves the picture. Below, the mask of layers 1 to ${mask.heads.length - 1}.${found}`,
    markup`<div class="maps">${panels}</div>`,
    table(['layer', 'heads kept', 'neurons kept'], rows),
  )
}

/** How much of the plainact of all units the mask keeps. */
function recallLine(mask: Units, plainact: Units): string {
  const shares = unitKinds.map((kind) => {
    let [kept, all] = [0, 0]
    for (const [l, row] of plainact[kind].entries()) {
      if (l === 0) continue
      kept += dot64(mask[kind][l], row)
      all += row.reduce((sum, score) => sum + score, 0)
    }
    return `${percent(kept / all)} of the plainact of ${kind}`
  })
  return `It keeps ${shares.join(' and ')}. Recall on the live page counts units, by a longer text.`
}

/**
 * Scores sorted, with the names of both axes and the ends of the scores' axis, the kept units shaded, and the cut after those that come
 * before every skipped one. Few scores are far above the others: the highest fiftieth ends at the top.
 */
export function curve(kind: UnitKind, ranking: Ranking): Markup {
  const { scores, kept, leading } = ranking
  const N = scores.length
  const [most, least] = [scores[Math.floor(N / 50)], Math.min(0, scores[N - 1])]
  const point = (i: number): string => {
    const height = Math.max(0, 1 - (scores[Math.min(i, N - 1)] - least) / (most - least || 1))
    return `${((100 * i) / N).toFixed(2)} ${(40 * height).toFixed(2)}`
  }
  const step = Math.max(1, Math.floor(N / 256))
  const points = (from: number, to: number): string[] => {
    const found: string[] = []
    for (let i = from; i < to; i += step) found.push(point(i))
    return found
  }
  let shaded = ''
  for (let from = kept.indexOf(1); from >= 0;) {
    const end = kept.indexOf(0, from)
    const to = end < 0 ? N : end
    shaded += `M${((100 * from) / N).toFixed(2)} 40L${points(from, to).join('L')}L${point(to)}V40Z`
    from = kept.indexOf(1, to)
  }
  const label = `Scores of ${kind}, sorted: ${keptWords(ranking)}`
  const cut = ((100 * leading) / N).toFixed(2)
  const plot = markup`<svg class="curve" role="img" aria-label="${label}" viewBox="0 0 100 40" preserveAspectRatio="none"><path class="kept" d="${shaded}"/><path d="M${points(0, N).join('L')}"/><path class="cut" d="M${cut} 0V40"/></svg>`
  const isCut = scores[0] > most
  const top = isCut
    ? `↑ score, cut at ${brief(most)} (highest ${brief(scores[0])})`
    : `${brief(most)} ↑ score`
  return markup`<div class="plot"><p>${top}</p>${plot}<p><span>${brief(least)}</span> <span>${kind}, highest first →</span></p></div>`
}

/** Which units are kept. */
function maskMap(key: string, rows: readonly Float32Array[]): Markup {
  const shades = rows.map((row) => Array.from(row, (kept) => (kept === 0 ? 0 : SHADES - 1)))
  const label = `The mask of ${key.split('.')[0]}: which are kept, layer by layer`
  return markup`<svg class="map" data-map="mask.${key}" role="img" aria-label="${label}" viewBox="0 0 ${rows[0].length} ${rows.length}" preserveAspectRatio="none">${paths(shades)}</svg>`
}

function drawTexts(next: Steps['next'], dense: Steps['dense'], masked: Steps['masked']): Markup {
  const rows = next.map(({ text, dense: whole, masked: sparse }) => [
    visible(text),
    shareBar(whole, 'dense'),
    shareBar(sparse, 'masked'),
  ])
  const furthest = dense.logits.reduce(
    (far, logit, v) => Math.max(far, Math.abs(logit - masked.logits[v])),
    0,
  )
  const written = (name: string, { pieces }: Steps['dense']): Markup =>
    markup`<p class="text"><span class="label">${name}</span> … ${pieces.map(visible).join('')}</p>`
  return markup`<figure><figcaption>The next token, dense and under the mask. The two distributions differ by ${brief(logitsDivergence(dense.logits, masked.logits))} nats (Kullback-Leibler); the logits by at most ${brief(furthest)}. One token does not tell which choice of units is better: along the ${counted(dense.ids.length, 'token')} that the dense model writes, the mean is ${brief(meanDivergence(dense, masked))} nats.</figcaption>${table(['next token', 'dense', 'masked'], rows)}${written('dense', dense)}${written('masked', masked)}</figure>`
}

/** The mean KL from the dense model along the text that it writes, in nats per token. */
export function meanDivergence(dense: Steps['dense'], masked: Steps['masked']): number {
  const V = dense.logits.length
  const places = Array.from(dense.ids.keys(), (t) => t * V)
  const sum = places.reduce((total, at) => {
    const [p, q] = [dense, masked].map(({ along }) => sumRow(along, at, V).logSum)
    return total + divergence(dense.along, at, p, masked.along, at, q, V)
  }, 0)
  return sum / places.length
}

/** A share as a bar and a number. */
export function shareBar(share: number, kind: string): Markup {
  const width = (100 * share).toFixed(1)
  return trusted(
    `<svg class="bar ${kind}" aria-hidden="true" viewBox="0 0 100 1" preserveAspectRatio="none"><path d="M0 .5h${width}"/></svg> ${percent(share, 1)}`,
  )
}

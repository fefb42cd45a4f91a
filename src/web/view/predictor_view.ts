/**
 * The predictor, opened: the features of the prompt, the two matrices of each network, and the scores sorted, with the cut that the
 * slider moves. Where no predictor decides, the sorted scores alone.
 */
import { unitKinds, type UnitKind, type UnitMask } from '../../masks/mask.ts'
import type { UnitScores } from '../../masks/selection.ts'
import type { PredictorParts } from '../engine/predictor_parts.ts'
import { binsOf } from '../trace/bins.ts'
import { cutWords, keptWords, rankUnits, type Ranking } from '../trace/ranking.ts'
import { brief, byId } from './dom.ts'
import { recordOf } from '../../tensor/records.ts'
import { Stage, type Drawing } from './stage.ts'

/** What is shown. */
export interface PredictorState {
  /** Null without a predictor, or before it is read. */
  readonly parts: PredictorParts | null
  /** The scores behind the mask that is shown; null for a dense text. */
  readonly scores: UnitScores | null
  readonly mask: UnitMask | null
  readonly denseLayers: number
  /** Whether a predictor decides; otherwise there is nothing of it to show, now or later. */
  readonly isPredicted: boolean
}

/** The most cells of a matrix that are drawn side by side. */
const MAX_CELLS = 96
/** Of the scores the highest fiftieth leaves the picture. */
const HIGHEST = 1 / 50

/** The view. */
export class PredictorView {
  readonly #stages: readonly Stage[]
  #rankings: Readonly<Record<UnitKind, Ranking | null>> = { heads: null, neurons: null }
  #state: PredictorState = { parts: null, scores: null, mask: null, denseLayers: 0, isPredicted: true }

  constructor() {
    const canvas = (id: string): HTMLCanvasElement => byId(id)
    this.#stages = [
      new Stage(canvas('features'), (drawing) => this.#ifParts(drawing, drawFeatures)),
      ...unitKinds.flatMap((kind) => [
        new Stage(canvas(`first-${kind}`), (drawing) =>
          this.#ifParts(drawing, (it, parts) =>
            drawMatrix(it, parts[kind].first, parts[kind].firstBias.length, parts.features.length),
          ),
        ),
        new Stage(canvas(`second-${kind}`), (drawing) =>
          this.#ifParts(drawing, (it, parts) => {
            const { firstBias, second, secondBias } = parts[kind]
            drawMatrix(it, turned(second, firstBias.length), firstBias.length, secondBias.length)
          }),
        ),
        new Stage(canvas(`sorted-${kind}`), (drawing) => this.#drawSorted(drawing, kind)),
      ]),
    ]
  }

  /** Shows a state. */
  show(state: PredictorState): void {
    this.#state = state
    const { parts, isPredicted } = state
    byId('predictor').classList.toggle('closed', parts === null)
    byId('predictor').classList.toggle('without', !isPredicted)
    byId('predictor-title').textContent = isPredicted
      ? 'From the prompt to the cut'
      : 'From the scores to the cut'
    if (parts) {
      const O = (kind: UnitKind): number => parts[kind].secondBias.length
      const sizes = unitKinds.map((kind) => `${parts[kind].firstBias.length} for ${kind}`).join(', ')
      byId('features-words').textContent = `${parts.features.length} features of the prompt`
      byId('first-words').textContent = `times W1: hidden numbers, ${sizes}`
      byId('second-words').textContent =
        `times W2: ${unitKinds.map((kind) => `${O(kind).toLocaleString('en')} scores of ${kind}`).join(', ')}`
    }
    this.#rankings = recordOf(unitKinds, (kind) => this.#ranked(kind))
    for (const kind of unitKinds) {
      const ranking = this.#rankings[kind]
      const words = ranking ? [keptWords(ranking), cutWords(ranking, brief)] : ['none is ranked']
      byId(`sorted-${kind}-words`).textContent = `${kind}: ${words.filter((part) => part !== '').join('; ')}`
    }
    for (const stage of this.#stages) stage.refresh()
  }

  #ifParts(drawing: Drawing, draw: (drawing: Drawing, parts: PredictorParts) => void): void {
    drawing.context.clearRect(0, 0, drawing.width, drawing.height)
    if (this.#state.parts) draw(drawing, this.#state.parts)
  }

  /** The ranked units of a kind, best first; null where nothing is ranked. */
  #ranked(kind: UnitKind): Ranking | null {
    const { scores, mask, denseLayers } = this.#state
    if (!scores || !mask) return null
    const first = denseLayers * scores.shape[kind]
    const ranking = rankUnits(scores[kind].subarray(first), mask[kind].subarray(first))
    return ranking.kept.length === 0 ? null : ranking
  }

  #drawSorted({ context, width, height, colours }: Drawing, kind: UnitKind): void {
    context.clearRect(0, 0, width, height)
    const ranking = this.#rankings[kind]
    if (!ranking) return
    const { scores: sorted, kept, leading } = ranking
    const [most, least] = [sorted[Math.floor(sorted.length * HIGHEST)], Math.min(0, sorted.at(-1) ?? 0)]
    const bars = binsOf(sorted.length, Math.floor(width))
    const step = width / bars.length
    for (const [i, { start, end }] of bars.entries()) {
      const share = Math.min(1, Math.max(0.01, (sorted[start] - least) / (most - least || 1)))
      const bar = [
        i * step,
        height * (1 - share),
        Math.max(1, step - (step > 3 ? 1 : 0)),
        height * share,
      ] as const
      context.fillStyle = colours.dense
      context.fillRect(...bar)
      // Of a bar of several units, as much is blue as is kept.
      context.fillStyle = colours.both
      context.globalAlpha = kept.subarray(start, end).reduce((sum, one) => sum + one, 0) / (end - start)
      context.fillRect(...bar)
      context.globalAlpha = 1
    }
    context.fillStyle = colours.ink
    context.fillRect(Math.min(width - 2, (width * leading) / sorted.length - 1), 0, 2, height)
    // Where the scores are low there is space for the end of their axis.
    context.fillStyle = colours.soft
    context.font = '11px system-ui, sans-serif'
    context.textAlign = 'right'
    context.textBaseline = 'top'
    context.fillText(`top: score ${brief(most)}`, width, 0)
  }
}

/** [O, R] as [R, O]. */
function turned(matrix: Float32Array, columns: number): Float32Array {
  const rows = matrix.length / columns
  return matrix.map((_, i) => matrix[(i % rows) * columns + Math.floor(i / rows)])
}

/** Bars up and down from the middle. */
function drawFeatures({ context, width, height, colours }: Drawing, { features }: PredictorParts): void {
  const most = features.reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1
  const step = width / features.length
  context.fillStyle = colours.both
  features.forEach((value, i) => {
    const size = (value / most) * (height / 2)
    context.fillRect(i * step, height / 2 - Math.max(0, size), Math.max(1, step * 0.8), Math.abs(size))
  })
}

/** A matrix [rows, columns] as cells: blue above zero, orange below, stronger for larger numbers. Where there are many, the largest. */
function drawMatrix(
  { context, width, height, colours }: Drawing,
  values: Float32Array,
  rows: number,
  columns: number,
): void {
  const [across, down] = [binsOf(columns, MAX_CELLS), binsOf(rows, MAX_CELLS / 2)]
  const cells = down.map((own) =>
    across.map(({ start, end }) => {
      let far = 0
      for (let row = own.start; row < own.end; row++)
        for (let column = start; column < end; column++) {
          const value = values[row * columns + column]
          if (Math.abs(value) > Math.abs(far)) far = value
        }
      return far
    }),
  )
  const most = cells.flat().reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1
  const [w, h] = [width / across.length, height / down.length]
  for (const [y, row] of cells.entries())
    for (const [x, value] of row.entries()) {
      context.globalAlpha = Math.sqrt(Math.abs(value) / most)
      context.fillStyle = value < 0 ? colours.extra : colours.both
      context.fillRect(x * w, y * h, w, h)
    }
  context.globalAlpha = 1
}

/**
 * The texts around the map: achieved sparsity, divergence and the current token; and the table.
 */
import { achievedSparsity } from '../../masks/achieved.ts'
import { unitKinds, type UnitMask } from '../../masks/mask.ts'
import { maskOverlap } from '../../masks/overlap.ts'
import { tallySpan, type Tally } from '../trace/bins.ts'
import { neuronStudyPlanners } from '../engine/study_types.ts'
import { switchUnits, type UnitSwitch } from '../engine/unit_switches.ts'
import { Masks, meanDivergence, type changedUnits, type Trace } from '../trace/trace.ts'
import type { CellMasks } from './cells.ts'
import { byId, counted, make, percent, visible } from './dom.ts'

/** The mask of the shown token under the switches of a text, and those switches. */
export interface SwitchedMask {
  readonly mask: UnitMask
  readonly byHand: readonly UnitSwitch[]
}

/** Shows all of them. @param isWriting whether the texts may still be compared */
export function showOverview(
  trace: Trace | null,
  masks: Masks | null,
  switched: SwitchedMask | null,
  column: number,
  isWriting: boolean,
): void {
  if (!trace || !masks || !switched) return
  byId('share').textContent = shareWords(trace, switched.mask)
  byId('achieved').textContent = recallWords(trace, masks, switched)
  // Beside the texts, and in the settings, which can cover them.
  for (const id of ['distance', 'outcome']) byId(id).textContent = distanceWords(trace, isWriting)
  showColumn(trace, column, switched.byHand)
  if (trace.columns.length === 0) return
  const { mask, byHand } = switched
  const oracle = masks.nearest(trace, mask)
  byId('layer-table').replaceChildren(layerTable({ mask, oracle, denseLayers: trace.denseLayers }, byHand))
}

/** How many kept units the prompt has changed. @param counts null where no text before can be compared @param decisions of the text: one where it has one mask */
export function showChanged(counts: ReturnType<typeof changedUnits>, decisions: number = 0): void {
  const [changed, kept] = [counts?.changed, counts?.kept].map((count) => count?.toLocaleString('en'))
  byId('changed').textContent = counts
    ? `${changed} of ${kept} kept units differ from the prompt before.`
    : decisions === 1
      ? 'Generate for another prompt to see how many kept units differ.'
      : '\u00a0'
}

/** How many units are switched by hand, with the signs that mark them, and a button that ends it. */
export function showSwitched(count: number): void {
  byId('switched').textContent =
    count === 0 ? 'No unit is switched by hand.' : `${counted(count, 'unit')} switched by hand: × off, + on.`
  const undo = byId('unswitch')
  undo.hidden = count === 0
  undo.textContent = undoWords(count)
}

/** The button that ends some switches. */
export function undoWords(count: number): string {
  return count > 1 ? `Undo all ${count}` : 'Undo'
}

/** What the share on the slider is of all units. */
function shareWords(trace: Trace, mask: UnitMask): string {
  const { heads, neurons } = achievedSparsity(mask, trace.model)
  const first =
    trace.denseLayers === 1 ? 'layer 0 is dense' : `layers 0 to ${trace.denseLayers - 1} are dense`
  if (trace.denseLayers >= trace.model.shape.layers) return 'nothing is skipped'
  const [ofHeads, ofNeurons] = [heads, neurons].map((share) => percent(share))
  const skipped =
    ofHeads === ofNeurons ? `${ofHeads} of all` : `${ofHeads} of all heads, ${ofNeurons} of all neurons`
  return neuronStudyPlanners.includes(trace.settings.planner)
    ? `of ranked neurons; ${skipped}: heads are not ranked, ${first}`
    : `of ranked units; ${skipped}: ${first}`
}

function recallWords(trace: Trace, masks: Masks, { mask, byHand }: SwitchedMask): string {
  const hand = byHand.length > 0 ? `${counted(byHand.length, 'unit')} switched by hand in the text. ` : ''
  const oracle = masks.needed(trace)
  if (!oracle || trace.denseLayers >= trace.model.shape.layers) return hand || '\u00a0'
  const overlap = maskOverlap(mask, oracle, trace.denseLayers)
  // Who keeps all heads finds those of the oracle too.
  const kinds = neuronStudyPlanners.includes(trace.settings.planner) ? (['neurons'] as const) : unitKinds
  const shares = kinds.map((kind) => `${percent(overlap[kind].recall)} of ${kind}`)
  return `${hand}Recall against the oracle: ${shares.join(', ')}.`
}

/** How the words of both texts are chosen, beside their headings: one reason why they differ. */
export function showDrawn(temperature: number): void {
  const words = temperature === 0 ? 'likeliest words' : `drawn, temperature ${temperature}`
  for (const id of ['sparse-drawn', 'dense-drawn']) byId(id).textContent = words
}

/** The share of the weights that is skipped in the text as it was generated. */
function skippedShare(trace: Trace): number {
  const decided = new Masks(trace, trace.settings).ofColumn(trace, 0)
  return achievedSparsity(switchUnits(decided, trace.switches), trace.model).weights
}

function distanceWords(trace: Trace, isWriting: boolean): string {
  const mean = meanDivergence(trace)
  if (mean === null)
    return isWriting || trace.columns.length === 0 ? '\u00a0' : 'Stopped before the comparison.'
  const parts =
    trace.divergence === null
      ? `The texts agree in all ${trace.columns.length} tokens.`
      : `They differ from token ${trace.divergence + 1} on.`
  return `${parts} KL from dense: ${mean.toFixed(3)} nats per token, mean of ${trace.columns.length}, with ${percent(skippedShare(trace))} of the weights skipped.`
}

function showColumn({ columns }: Trace, column: number, byHand: readonly UnitSwitch[]): void {
  const shown = columns[column]
  if (!shown) return
  const { text, dense, kl } = shown
  const line = byId('column-line')
  line.replaceChildren(`Token ${column + 1} of ${columns.length}: `, make('q', { text: visible(text) }))
  if (dense && dense.text !== text) line.append(', dense ', make('q', { text: visible(dense.text) }))
  if (kl !== null) line.append(`, KL ${kl.toFixed(3)} nats`)
  if (byHand.length > 0) line.append(`; ${counted(byHand.length, 'unit')} switched by hand`)
}

const heading = ['Layer', 'heads kept', 'as the oracle', 'neurons kept', 'as the oracle']

/** One token as a table, for screen readers and for exact numbers. */
function layerTable(
  { mask, oracle, denseLayers }: CellMasks,
  byHand: readonly UnitSwitch[],
): HTMLTableElement {
  const { shape } = mask
  const row = (layer: number): HTMLElement => {
    const cells = unitKinds.flatMap((kind) => {
      const units = shape[kind]
      const [kept, as] = tallyWords(
        tallySpan(mask, oracle, { kind, layer }, { start: 0, end: units }),
        units,
        oracle !== null,
      )
      const own = byHand.filter(({ unit }) => unit.kind === kind && unit.layer === layer).length
      return [own > 0 ? `${kept}, ${own} by hand` : kept, as]
    })
    const name = layer < denseLayers ? `${layer}, dense` : String(layer)
    return make(
      'tr',
      {},
      make('th', { scope: 'row', text: name }),
      ...cells.map((text) => make('td', { text })),
    )
  }
  return make(
    'table',
    {},
    make('thead', {}, make('tr', {}, ...heading.map((text) => make('th', { scope: 'col', text })))),
    make('tbody', {}, ...Array.from({ length: shape.layers }, (_, layer) => row(layer))),
  )
}

function tallyWords({ both, extra }: Tally, units: number, isCompared: boolean): string[] {
  const kept = both + extra
  return [`${kept} of ${units}`, isCompared ? `${both} of ${kept}` : '–']
}

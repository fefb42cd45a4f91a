/**
 * The result in three numbers: what was skipped, how much faster that was, and how far it is from the dense model.
 */
import { achievedSparsity } from '../../masks/achieved.ts'
import type { UnitMask } from '../../masks/mask.ts'
import { judgeRatio, ratioInterval } from '../../results/interleaved_rounds.ts'
import { neuronStudyPlanners } from '../engine/study_types.ts'
import { divergenceError, meanDivergence, type Trace } from '../trace/trace.ts'
import { byId, counted, make, percent } from './dom.ts'

/** A number, what it counts, and where it comes from. */
export interface Fact {
  readonly value: string
  readonly name: string
  readonly words: string
}

/**
 * The facts of a trace under a mask. Where a number is not known yet, it is an ellipsis; where it will not be known, a dash.
 * @param isWriting whether the text is being generated, compared or timed
 */
export function factsOf(trace: Trace | null, mask: UnitMask | null, isWriting: boolean): Fact[] {
  return [skipped(trace, mask), speed(trace, mask, isWriting), distance(trace, isWriting)]
}

const UNKNOWN = '…'

/** A number that is not there. */
function unknown(name: string, trace: Trace | null, isWriting: boolean): Fact {
  const count = trace?.columns.length ?? 0
  if (isWriting || count === 0) return { value: UNKNOWN, name, words: '' }
  const wasStopped = trace !== null && meanDivergence(trace) === null
  const why = wasStopped
    ? `stopped after ${counted(count, 'token')}, before the comparison`
    : 'stopped before it, the model’s context has no space for enough rounds, or the trace is from a file without them'
  return { value: '–', name, words: `Not measured: ${why}.` }
}

function skipped(trace: Trace | null, mask: UnitMask | null): Fact {
  const name = 'of the layers’ weights skipped'
  if (!trace || !mask) return { value: UNKNOWN, name, words: '' }
  const { heads, neurons, weights } = achievedSparsity(mask, trace.model)
  if (heads === 0 && neurons === 0) return { value: percent(0), name, words: 'Every unit is computed.' }
  return {
    value: percent(weights),
    name,
    words:
      percent(heads) === percent(neurons)
        ? 'The same share of the heads as of the neurons is never read.'
        : `${percent(heads)} of the heads and ${percent(neurons)} of the neurons are never read.${whyNoHeads(trace)}`,
  }
}

/** Why no head is skipped, where that is the planner's way. */
function whyNoHeads({ settings: { planner } }: Trace): string {
  return neuronStudyPlanners.includes(planner)
    ? ' What decides here ranks neurons only and keeps all heads, so at the same sparsity it skips fewer weights.'
    : ''
}

/** Of an interval of a ratio that is wider, only the end nearer to 1 is told; one around 1 that is no wider says that there is no difference. */
const [MAX_SPREAD, ALIKE_SPREAD] = [2, 1.1]

/** A speed-up is stated only where the rounds exclude that there is none. */
function speed(trace: Trace | null, mask: UnitMask | null, isWriting: boolean): Fact {
  const name = 'the speed of the dense model'
  const rounds = trace?.rounds ?? null
  const interval = rounds && ratioInterval(rounds.dense, rounds.sparse)
  if (!trace || !rounds || !interval) return unknown(name, trace, isWriting)
  const { low, median, high } = interval
  const range = `Both models read this text in turns, ${rounds.sparse.length} times: ${low.toFixed(2)} to ${high.toFixed(2)}`
  const verdict = judgeRatio(interval)
  if (high > MAX_SPREAD * low) {
    const why = `${range} times as fast as the dense model, which is too wide a range`
    if (verdict !== 'alike')
      return {
        value: verdict === 'faster' ? `at least ${low.toFixed(2)} ×` : `at most ${high.toFixed(2)} ×`,
        name,
        words: `${why} for one number: this machine is busy.`,
      }
    return { value: 'Unknown', name: 'speed: this machine is too busy to tell', words: `${why}.` }
  }
  if (verdict === 'alike') {
    const isNear = high <= ALIKE_SPREAD * low
    const [value, name] = isNear
      ? ['No difference', 'in speed from the dense model']
      : ['Unclear', 'whether it is faster']
    return { value, name, words: `${range} times as fast as the dense model.` }
  }
  const skips = mask ? achievedSparsity(mask, trace.model).weights : 0
  const bound = `If only reading weights took time, it would be ${(1 / (1 - skips)).toFixed(2)}.`
  return {
    value: `${median.toFixed(2)} ×`,
    name,
    words: `${range}.${verdict === 'faster' && skips < 1 ? ` ${bound}` : ''}`,
  }
}

/**
 * Words for a KL: e^-KL is the geometric mean of the factors by which the words of the dense model become less likely, so it says
 * what is typical.
 */
function distance(trace: Trace | null, isWriting: boolean): Fact {
  const mean = trace && meanDivergence(trace)
  const name = 'KL from the dense model'
  if (mean === null) return unknown(name, trace, isWriting)
  const kept = Math.exp(-Math.max(0, mean))
  const words =
    mean < 0.0005
      ? 'Its words have the probabilities that the dense model gives them.'
      : `${nearness(kept)}: a word of the dense model typically keeps ${percent(kept)} of its probability.`
  const error = trace && divergenceError(trace)
  const scatter =
    error === null ? '' : ` ± ${error.toFixed(2)} over the tokens of this text; another differs.`
  return { value: `${Math.max(0, mean).toFixed(2)} nats`, name, words: `${words}${scatter}` }
}

function nearness(kept: number): string {
  if (kept >= 0.9) return 'Almost the same'
  if (kept >= 0.75) return 'Close'
  if (kept >= 0.5) return 'Related'
  return 'Far away'
}

/** Shows them. */
export function showHeadline(facts: readonly Fact[]): void {
  const list = byId('headline')
  const shown = facts.map(({ value, name, words }) =>
    make(
      'div',
      {},
      make('dt', { text: name }),
      make('dd', { class: 'value', text: value }),
      make('dd', { class: 'words', text: words }),
    ),
  )
  list.replaceChildren(...shown)
}

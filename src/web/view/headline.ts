/**
 * The result in three numbers: what was skipped, how much faster that was, and how far it is from the dense model.
 */
import { achievedSparsity } from '../../masks/achieved.ts'
import type { UnitMask } from '../../masks/mask.ts'
import { meanDivergence, type Trace } from '../trace/trace.ts'
import { byId, make, percent } from './dom.ts'

/** A number, what it counts, and where it comes from. */
export interface Fact {
  readonly value: string
  readonly name: string
  readonly words: string
}

/** The facts of a trace under a mask. Where a number is not known yet, it is an ellipsis. */
export function factsOf(trace: Trace | null, mask: UnitMask | null): Fact[] {
  return [skipped(trace, mask), speed(trace), distance(trace)]
}

const UNKNOWN = '…'

function skipped(trace: Trace | null, mask: UnitMask | null): Fact {
  const name = 'of the layers’ weights skipped'
  if (!trace || !mask) return { value: UNKNOWN, name, words: '' }
  const { heads, neurons, weights } = achievedSparsity(mask, trace.model)
  return {
    value: percent(weights),
    name,
    words: `${percent(heads)} of the heads and ${percent(neurons)} of the neurons are never read.`,
  }
}

function speed(trace: Trace | null): Fact {
  const { sparse = null, dense = null } = trace?.tokensPerSecond ?? {}
  const name = 'the speed of the dense model'
  if (sparse === null || dense === null) return { value: UNKNOWN, name, words: '' }
  const rate = (value: number): string => Math.round(value).toLocaleString('en')
  return {
    value: `${(sparse / dense).toFixed(2)} ×`,
    name,
    words: `${rate(sparse)} against ${rate(dense)} tokens/s on this machine, each text alone.`,
  }
}

/** Words for a KL: e^-KL is the geometric mean of the factors by which the words of the dense model become less likely. */
function distance(trace: Trace | null): Fact {
  const mean = trace && meanDivergence(trace)
  const name = 'KL from the dense model'
  if (mean === null) return { value: UNKNOWN, name, words: '' }
  const kept = Math.exp(-Math.max(0, mean))
  const words =
    mean < 0.0005
      ? 'Its words have the probabilities that the dense model gives them.'
      : `${nearness(kept)}: on average, a word of the dense model keeps ${percent(kept)} of its probability.`
  return { value: `${Math.max(0, mean).toFixed(2)} nats`, name, words }
}

function nearness(kept: number): string {
  if (kept >= 0.9) return 'Almost the same'
  if (kept >= 0.75) return 'Close'
  if (kept >= 0.5) return 'Related'
  return 'Far away'
}

/**
 * Shows them.
 * @param isStale whether the text was generated under another selection than the one that is shown
 */
export function showHeadline(facts: readonly Fact[], isStale: boolean): void {
  const list = byId('headline')
  const shown = facts.map(({ value, name, words }, i) =>
    make(
      'div',
      { class: isStale && i > 0 ? 'stale' : '' },
      make('dt', { text: name }),
      make('dd', { class: 'value', text: value }),
      make('dd', { class: 'words', text: words }),
    ),
  )
  list.replaceChildren(...shown)
}

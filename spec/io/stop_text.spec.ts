/**
 * Stop texts end a text at the same character, however it is cut into pieces.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { StopText } from '../../src/io/stop_text.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

/** What is shown of a text in pieces: each piece, and whether it was stopped. */
type Show = (stops: readonly string[], pieces: readonly string[]) => { shown: string[]; stopped: boolean }

const show: Show = (stops, pieces) => {
  const text = new StopText(stops)
  const shown: string[] = []
  for (const piece of pieces) {
    const { text: more, stopped } = text.push(piece)
    shown.push(more)
    if (stopped) return { shown, stopped }
  }
  return { shown: [...shown, text.end()], stopped: false }
}

const letters = { unit: fc.constantFrom('a', 'b', 'é', '😀') }
const someStops = fc.array(fc.string({ ...letters, minLength: 1, maxLength: 4 }), { maxLength: 3 })
const somePieces = fc.array(fc.string({ ...letters, maxLength: 4 }), { maxLength: 8 })

/** The definition: the first character at whose end a stop text is complete. */
function cutText(stops: readonly string[], text: string): { text: string; stopped: boolean } {
  for (let end = 0; end <= text.length; end++) {
    const found = stops.filter((stop) => text.slice(0, end).endsWith(stop))
    const longest = Math.max(...found.map(({ length }) => length))
    if (found.length > 0) return { text: text.slice(0, end - longest), stopped: true }
  }
  return { text, stopped: false }
}

const endsByDefinition = lawForAll(
  'a text ends before the stop text that is complete first, whatever its pieces',
  { stops: someStops, pieces: somePieces },
  (shows: Show, { stops, pieces }) => {
    const { shown, stopped } = shows(stops, pieces)
    expect({ text: shown.join(''), stopped }).toEqual(cutText(stops, pieces.join('')))
  },
  { runs: 400 },
)
const isShownSoon = lawForAll(
  'no more is held back than may begin a stop text',
  { stops: someStops, pieces: somePieces },
  (shows: Show, { stops, pieces }) => {
    const { shown } = shows(stops, pieces)
    pieces.forEach((_, i) => {
      const [sent, seen] = [pieces.slice(0, i + 1).join(''), shown.slice(0, i + 1).join('')]
      if (shown.length <= i || !sent.startsWith(seen) || cutText(stops, sent).stopped) return
      const held = sent.slice(seen.length)
      if (held !== '') expect(stops.some((stop) => stop.startsWith(held) && stop !== held)).toBe(true)
    })
  },
  { runs: 400 },
)
stateLaw(endsByDefinition, show)
stateLaw(isShownSoon, show)

describe('a bug planted in stop texts is found', () => {
  /** Looks in each piece alone. */
  const alone: Show = (stops, pieces) => {
    const shown: string[] = []
    for (const piece of pieces) {
      const { text, stopped } = cutText(stops, piece)
      shown.push(text)
      if (stopped) return { shown, stopped }
    }
    return { shown, stopped: false }
  }
  /** The stop text that begins first wins. */
  const earliest: Show = (stops, pieces) => {
    const text = pieces.join('')
    const starts = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0)
    const at = Math.min(...starts)
    return starts.length > 0
      ? { shown: [text.slice(0, at)], stopped: true }
      : { shown: [text], stopped: false }
  }
  const forgets: Show = (stops, pieces) => {
    const { shown, stopped } = show(stops, pieces)
    return { shown: stopped ? shown : shown.slice(0, -1), stopped }
  }
  test.each<[string, Show]>([
    ['no stop text across two pieces', alone],
    ['the first to begin wins', earliest],
    ['what is held back at the end is lost', forgets],
  ])('%s', (_, mutant) => kills(endsByDefinition, mutant))

  test('everything is held back until the end', () =>
    kills(isShownSoon, (stops, pieces) => {
      const { shown, stopped } = show(stops, pieces)
      return { shown: [...pieces.map(() => ''), shown.join('')], stopped }
    }))
})

/**
 * Windows of long texts: every token is scored once, in order, after as much as the window holds.
 *
 * Tests src/data/windows.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { pageWindows, streamWindows, type TextWindow } from '../../src/data/windows.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

const prefix = -7

const someIds = fc.nat(90).map((length) => Int32Array.from({ length }, (_, i) => i))
const someRoom = fc.integer({ min: 2, max: 24 })

/** The tokens that windows score, in order. */
const scored = (windows: readonly TextWindow[]): number[] =>
  windows.flatMap(({ tokens, from }) => [...tokens.subarray(from)])

/** What stands before a token in its window are the tokens before it, and then perhaps the prefix. */
function expectOrder({ tokens }: TextWindow): void {
  for (let t = 1; t < tokens.length; t++)
    if (tokens[t - 1] !== prefix) expect(tokens[t]).toBe(tokens[t - 1] + 1)
}

const pagesAreRead = lawForAll(
  'are scored once, token by token, the last window full',
  { ids: someIds, positions: someRoom },
  (cut: typeof pageWindows, { ids, positions }) => {
    const windows = cut(ids, positions, prefix)
    expect(scored(windows)).toEqual([...ids])
    windows.forEach((window, i) => {
      expectOrder(window)
      expect(window.from).toBeGreaterThanOrEqual(1)
      expect(window.tokens[0] === prefix).toBe(i === 0 || ids.length + 1 <= positions)
      // Only what is fed must fit: the last token is not.
      expect(window.tokens.length - 1).toBeLessThanOrEqual(positions)
      // Every window starts at the end of the one before, except the last, which reaches back until it is full.
      if (i < windows.length - 1) expect(window.from).toBe(1)
      else expect(window.tokens.length - 1).toBe(Math.min(positions, ids.length))
    })
  },
)

const streamIsRead = lawForAll(
  'is scored once, except tokens without context',
  {
    ids: someIds,
    positions: fc.integer({ min: 3, max: 24 }),
    share: fc.nat(),
    before: fc.constantFrom([], [prefix], [prefix, prefix]),
  },
  (cut: typeof streamWindows, { ids, positions, share, before }) => {
    const perWindow = before.length > 0
    const room = positions - before.length
    const stride = 1 + (share % room)
    const windows = cut(ids, positions, stride, before)
    for (const window of windows) {
      expectOrder(window)
      expect(window.tokens.length).toBeLessThanOrEqual(positions)
      expect([...window.tokens.subarray(0, before.length)]).toEqual(before)
    }
    // The first token of a window has nothing before it: with windows that do not overlap, one in `positions` is lost.
    const lost = (id: number): boolean =>
      !perWindow && (stride === positions ? id % positions === 0 : id === 0)
    expect(scored(windows)).toEqual([...ids].filter((id) => !lost(id)))
    // Every scored token but those of the first window has at least positions - stride tokens before it.
    for (const { from } of windows.slice(1)) expect(from).toBeGreaterThanOrEqual(positions - stride)
  },
)

describe('pages', () => {
  stateLaw(pagesAreRead, pageWindows)
})

describe('a stream', () => {
  stateLaw(streamIsRead, streamWindows)

  test('has a stride of at least one token and at most a window', () => {
    const ids = Int32Array.of(1, 2, 3)
    for (const stride of [0, 5, 1.5])
      expect(() => streamWindows(ids, 4, stride)).toThrow(`stride: expected 1 to 4 tokens, got ${stride}`)
    expect(() => streamWindows(ids, 4, 4, [prefix])).toThrow('stride: expected 1 to 3 tokens, got 4')
  })
})

const change =
  (edit: (window: TextWindow) => TextWindow) =>
  (windows: TextWindow[]): TextWindow[] =>
    windows.map(edit)
const mutants: Readonly<Record<string, (windows: TextWindow[]) => TextWindow[]>> = {
  'a token is scored twice': change((window) => ({ ...window, from: Math.max(1, window.from - 1) })),
  'the last window is forgotten': (windows) => windows.slice(0, -1),
  'the window begins one token late': change((w) => ({
    tokens: w.tokens.slice(1),
    from: Math.max(1, w.from - 1),
  })),
}

describe('mutants', () => {
  test.each(Object.entries(mutants))('%s: killed', async (_, mutant) => {
    const page: typeof pageWindows = (...args) => mutant(pageWindows(...args))
    const stream: typeof streamWindows = (...args) => mutant(streamWindows(...args))
    await kills(pagesAreRead, page)
    await kills(streamIsRead, stream)
  })
})

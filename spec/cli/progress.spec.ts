/**
 * The progress line: says the stage, the share and the time left; draws nothing where nobody watches.
 */
import { describe, expect, test, vi } from 'vitest'
import {
  formatProgress,
  formatSeconds,
  makeProgressLine,
  showWaiting,
  type ProgressUpdate,
} from '../../src/cli/progress.ts'
import { plainScreen, render } from '../../src/cli/screen.ts'
import { formatShare } from '../../src/cli/words.ts'

describe('the line', () => {
  test('shows the stage, the share done and the remaining time', () => {
    expect(formatProgress({ stage: 'calibrating', done: 25, total: 100 }, 30_000)).toBe(
      'calibrating  [######------------------]  25 %  1:30 left',
    )
  })

  test('states no remaining time before the first step and after the last', () => {
    expect(formatProgress({ stage: 'loading', done: 0, total: 4 }, 900)).toMatch(/ 0 %$/)
    expect(formatProgress({ stage: 'loading', done: 4, total: 4 }, 900)).toMatch(/#] 100 %$/)
    expect(formatProgress({ stage: 'loading', done: 0, total: 0 }, 900)).toMatch(/ 0 %$/)
  })

  test('uses the remaining time that the work reports', () => {
    const update = { stage: 'training', done: 1, total: 4, secondsLeft: 200 }
    expect(formatProgress(update, 1000)).toMatch(/ 25 %  3:20 left in all$/)
  })

  test('ends with the further facts of the work', () => {
    const update = { stage: 'training', done: 1, total: 4, secondsLeft: 200, note: 'loss 4.321' }
    expect(formatProgress(update, 1000)).toMatch(/ 25 %  3:20 left in all  loss 4\.321$/)
  })

  test.each([
    [0, 4e5, '0 of 0 MiB'],
    [1.5 * 2 ** 20, 3000 * 2 ** 20, '2 of 3,000 MiB'],
    [5_263_000_000, 5_263_000_000, '5,019 of 5,019 MiB'],
  ])('%d of %d bytes are %s', (bytes, ofBytes, text) => expect(formatShare(bytes, ofBytes)).toBe(text))

  test.each([
    [0, '0:00'],
    [59.6, '1:00'],
    [75, '1:15'],
    [3700, '1:01:40'],
  ])('%d seconds are %s', (seconds, text) => expect(formatSeconds(seconds)).toBe(text))
})

test('work without a known end shows how long it has taken, not before a third of a second, until it ends', () => {
  vi.useFakeTimers()
  try {
    const seen: (ProgressUpdate | null)[] = []
    const line = {
      update: (update: ProgressUpdate) => void seen.push(update),
      clear: () => void seen.push(null),
    }
    showWaiting(line, 'reading')()
    expect(seen).toEqual([null])
    const end = showWaiting(line, 'reading')
    vi.advanceTimersByTime(600)
    end()
    vi.advanceTimersByTime(600)
    expect(seen).toHaveLength(4)
    expect(seen.at(-1)).toBeNull()
    expect(formatProgress(seen[2] as ProgressUpdate, 0)).toMatch(/^reading {2}0\.\d s$/)
  } finally {
    vi.useRealTimers()
  }
})

describe('the screen', () => {
  function watch(watched: boolean) {
    let clock = 0
    const written: string[] = []
    const line = makeProgressLine({
      watched,
      columns: () => 40,
      write: (text) => written.push(render(text, plainScreen)),
      now: () => clock,
    })
    return { line, written, wait: (ms: number) => (clock += ms) }
  }

  test('is a line for each half minute if stderr is no terminal, whatever the stage, and is never removed', () => {
    const { line, written, wait } = watch(false)
    for (let done = 0; done < 100; done++) {
      line.update({ stage: done < 50 ? 'reading' : 'writing', done, total: 100 })
      line.clear()
      wait(1000)
    }
    expect(written).toEqual([
      'reading    [#######-----------------]  30 %  1:10 left\n',
      'writing    [##############----------]  60 %  0:07 left\n',
      'writing    [######################--]  90 %  0:04 left\n',
    ])
  })

  test('is redrawn at most ten times a second, at once for a new stage, and never wraps', () => {
    const { line, written, wait } = watch(true)
    for (let done = 0; done < 100; done++) {
      line.update({ stage: 'a', done, total: 100 })
      wait(10)
    }
    expect(written).toHaveLength(10)
    line.update({ stage: 'b'.repeat(100), done: 0, total: 100 })
    expect(written).toHaveLength(11)
    for (const text of written) expect(text.replace('\r\x1b[K', '').length).toBeLessThan(40)
  })

  test('is cleared once, and only if something was drawn', () => {
    const { line, written } = watch(true)
    line.clear()
    line.update({ stage: 'a', done: 1, total: 2 })
    line.clear()
    line.clear()
    expect(written.at(-1)).toBe('\r\x1b[K')
    expect(written).toHaveLength(2)
  })
})

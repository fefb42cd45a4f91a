/**
 * How a run that was sent a signal has to end: 130 and one line if its work was interrupted, as if there had been no signal
 * if the work was complete, and never by the signal itself.
 */
import { expect } from 'vitest'
import type { CliResult } from './run_cli.ts'
import type { Stoppable } from './signal_cases.ts'

/** What a run that nobody stopped is like. */
export interface Whole {
  readonly result: unknown
  readonly stdout: string
}

/** How a run ended, and what it left. */
export interface Ended {
  readonly result: CliResult
  readonly left: unknown
  /** Temporary files. */
  readonly files: readonly string[]
}

/**
 * Judges the end of a run.
 * @returns whether its work was interrupted
 */
export function judgeEnd(
  { result: { code, stdout, stderr }, left, files }: Ended,
  whole: Whole,
  prints: Stoppable['prints'],
): boolean {
  expect(files, 'temporary files').toEqual([])
  if (code === 0) {
    expect([stderr, left]).toEqual(['', whole.result])
    return false
  }
  expect([code, stderr]).toEqual([130, 'shadowllm: interrupted [INTERRUPTED]\n'])
  expect(stdout).not.toMatch(/^ {4}at /m)
  expect(left, 'the result of work that was interrupted').not.toEqual(whole.result)
  if (prints === 'beginning') expect(whole.stdout.startsWith(stdout.trimEnd())).toBe(true)
  return true
}

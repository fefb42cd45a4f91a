/**
 * How a run that got a signal has to end: with 130 and one line if its work was interrupted, like a run without a signal if
 * the work was complete, and never by the signal itself.
 */
import { expect } from 'vitest'
import type { CliResult } from './run_cli.ts'
import type { Stoppable } from './signal_cases.ts'

/** The output and the result of an uninterrupted run. */
export interface Whole {
  readonly result: unknown
  readonly stdout: string
}

/** The end of a run, and what it left. */
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

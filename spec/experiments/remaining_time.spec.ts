/**
 * The remaining time of a run is the elapsed time, times the work left over the work done, in any order of stages.
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { WorkMeter } from '../../src/experiments/remaining_time.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
  // The clock does not begin with the run.
  vi.advanceTimersByTime(500)
})
afterEach(() => void vi.useRealTimers())

test('the remaining work takes as long per unit as the work done', () => {
  const meter = new WorkMeter({ first: 1, second: 3, never: 0 })
  expect(meter.update('first', 0)).toBeNull()
  vi.advanceTimersByTime(2000)
  // A half of 1 in two seconds: 3.5 are left.
  expect(meter.update('first', 0.5)).toBeCloseTo(14, 9)
  vi.advanceTimersByTime(4000)
  // 1 and a third of 3 in six seconds, and two are left.
  meter.update('first', 1)
  expect(meter.update('second', 1 / 3)).toBeCloseTo(6, 9)
  expect(meter.update('never', 1)).toBeCloseTo(6, 9)
  // A stage may report less than before.
  expect(meter.update('second', 0)).toBeCloseTo(18, 9)
  expect(meter.update('second', 1)).toBe(0)
})

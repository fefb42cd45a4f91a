/**
 * A number that is written in another way from a limit on is written so at the limit, and one step below it in the old way.
 */
import { describe, expect, test } from 'vitest'
import {
  countOf,
  formatBytes,
  formatCount,
  formatDuration,
  formatError,
  formatMeasured,
  formatMilliseconds,
  formatNats,
  formatPercent,
  formatRate,
  formatShare,
} from '../../src/cli/words.ts'

type Case = readonly [text: string, expected: string]

const cases: Readonly<Record<string, readonly Case[]>> = {
  'a measured value': [
    [formatMeasured(null), '-'],
    [formatMeasured(1), '1.000'],
    [formatMeasured(9.9994), '9.999'],
    [formatMeasured(10), '10.00'],
    [formatMeasured(99.994, 1.5), '99.99 ± 1.50'],
    [formatMeasured(100), '100.0'],
    [formatMeasured(999.94), '999.9'],
    [formatMeasured(1000, 12.25), '1000 ± 12'],
    [formatMeasured(123_456.7), '123457'],
    [formatMeasured(0.5), '0.5000'],
  ],
  'a distance in nats': [
    [formatNats(0, 0), '0.0000 ± 0.0000'],
    [formatNats(0.001, null), '0.0010'],
    [formatNats(0.00099, 0.001), '9.9e-4 ± 0.0010'],
    [formatNats(-0.001, 0.0001), '-0.0010 ± 1.0e-4'],
    [formatNats(-0.00012, null), '-1.2e-4'],
    [formatNats(1.25, null), '1.2500'],
  ],
  'a difference': [
    [formatError(0), '0'],
    [formatError(1.26e-7), '1.3e-7'],
  ],
  'a rate': [
    [formatRate(9.9), '9.9 tokens/s'],
    [formatRate(10), '10 tokens/s'],
    [formatRate(12.6), '13 tokens/s'],
  ],
  'a time in milliseconds': [
    [formatMilliseconds(0.0123), '0.012 ms'],
    [formatMilliseconds(99.4), '99 ms'],
    [formatMilliseconds(99.5), '100 ms'],
    [formatMilliseconds(123.6), '124 ms'],
    [formatMilliseconds(999.4), '999 ms'],
    [formatMilliseconds(1000), '1.0 s'],
    [formatMilliseconds(1234), '1.2 s'],
  ],
  'how long work still takes': [
    [formatDuration(0), '0 s'],
    [formatDuration(1.1), '2 s'],
    [formatDuration(89.5), '90 s'],
    [formatDuration(90), '2 min'],
    [formatDuration(149), '2 min'],
    [formatDuration(5369), '89 min'],
    [formatDuration(5370), '1.5 h'],
    [formatDuration(360_000), '100.0 h'],
  ],
  'a number of bytes': [
    [formatBytes(1023), '1023 B'],
    [formatBytes(1024), '1.0 KiB'],
    [formatBytes(9.5 * 1024), '9.5 KiB'],
    [formatBytes(10 * 1024), '10 KiB'],
    [formatBytes(2 ** 20), '1.0 MiB'],
    [formatBytes(2 ** 60), '1024 PiB'],
    [formatShare(2 ** 19, 2 ** 31), '1 of 2,048 MiB'],
    [formatShare(2 ** 19 - 1, 2 ** 20), '0 of 1 MiB'],
  ],
  'a count': [
    [formatCount(999), '999'],
    [formatCount(1000), '1,000'],
    [formatCount(1_234_567), '1,234,567'],
    [countOf(0, 'page'), '0 pages'],
    [countOf(1, 'page'), '1 page'],
    [countOf(2000, 'page'), '2,000 pages'],
    [formatPercent(0.1254), '12.5 %'],
  ],
}

describe.each(Object.keys(cases))('%s', (name) => {
  test.each(cases[name])('is %s', (text, expected) => expect(text).toBe(expected))
})

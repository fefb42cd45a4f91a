/**
 * The tables of the bench of peers: rates in tokens per second, and ratios taken within rounds.
 */
import { expect, test } from 'vitest'
import { smallerTable } from '../../bench/pages/smaller_table.ts'
import { weightsTable } from '../../bench/pages/weights_table.ts'
import {
  ratiosOf,
  rowsOf,
  skippingOf,
  tablesOf,
  type Group,
  type TimedArm,
} from '../../bench/peers/report.ts'

const loaded = (name: string, threads: number, error: number | null): TimedArm => ({
  name,
  engine: name,
  weights: 'f32',
  format: 'F32',
  sparsity: 0,
  threads,
  error,
  weightsRead: null,
})
const rates = (name: string, ...samples: number[]) => ({ name, samples })

/** The machine was slow in the second round: medians of each method would hide that ours was always twice as fast. */
const group: Group = {
  model: 'm',
  ours: [
    { ...loaded('dense', 1, 0), weightsRead: 300 },
    { ...loaded('packed', 1, null), sparsity: 0.5, weightsRead: 200 },
  ],
  peers: [loaded('peer', 2, 1e-6)],
  timed: [
    {
      test: 'pp128',
      rates: [rates('dense', 4, 0.4, 6), rates('packed', 8, 0.8, 3), rates('peer', 2, 0.2, 3)],
    },
    {
      test: 'tg32',
      rates: [
        rates('dense', 1, 2, 3),
        rates('packed', 2, 2, 2),
        { ...rates('peer', 2, 2, 2), outside: [0.5, 9, 0.75] },
      ],
    },
  ],
}

test('every method has a row for each test, in tokens per second', () => {
  expect(rowsOf(group)).toHaveLength(6)
  expect(rowsOf(group)[0]).toEqual({
    model: 'm',
    arm: 'dense',
    engine: 'dense',
    weights: 'f32',
    sparsity: 0,
    threads: 1,
    test: 'pp128',
    tokensPerSecond: 4000,
    lower: 400,
    upper: 6000,
    samples: [4000, 400, 6000],
    outside: null,
    error: 0,
  })
  expect(rowsOf(group)[5]).toMatchObject({
    arm: 'peer',
    threads: 2,
    test: 'tg32',
    outside: 0.75,
    error: 1e-6,
  })
})

test('each of our methods is compared with every peer, round by round', () => {
  const pair = { model: 'm', peer: 'peer', threads: 2 }
  expect(ratiosOf(group)).toEqual([
    { ...pair, ours: 'dense', test: 'pp128', median: 2, lower: 2, upper: 2 },
    { ...pair, ours: 'dense', test: 'tg32', median: 1, lower: 0.5, upper: 1.5 },
    { ...pair, ours: 'packed', test: 'pp128', median: 4, lower: 1, upper: 4 },
    { ...pair, ours: 'packed', test: 'tg32', median: 1, lower: 1, upper: 1 },
  ])
})

test('the tables have the same numbers', () => {
  const text = tablesOf(group)
  expect(text).toMatch(/dense +1 +4000\.0 \(6000\.0\) +2000\.0 \(3000\.0\) +0\.0e\+0/)
  expect(text).toMatch(/packed +1 .*not compared/)
  expect(text).toMatch(/peer +2 .* 0\.75 +1\.0e-6/)
  const [, prompts, steps] = text.split('\n\n')
  expect(prompts).toMatch(/^pp128.* peer\ndense +2\.00 \(2\.00 to 2\.00\)\npacked +4\.00 \(1\.00 to 4\.00\)$/)
  expect(steps).toMatch(/^tg32.* peer\ndense +1\.00 \(0\.50 to 1\.50\)\npacked +1\.00 /)
})

test('decoding with units left out is told beside the weights that it reads, round by round', () => {
  const about = { model: 'm', arm: 'packed', threads: 1, test: 'tg32' }
  expect(skippingOf(group)).toEqual([{ ...about, timesDense: 1, weightsRatio: 1.5, share: 1 / 1.5 }])
  expect(tablesOf(group).split('\n\n')[3]).toMatch(/\ntg32, packed +1\.00 +1\.50 +0\.67\n$/)
  const [dense, packed] = group.ours
  expect(skippingOf({ ...group, ours: [dense, { ...packed, weightsRead: null }] })).toEqual([])
  expect(skippingOf({ ...group, ours: [{ ...dense, weights: 'f16' }, packed] })).toEqual([])
})

test('by the sizes of Gemma 3 270M its head is most of the weights, which bounds what skipping gives', () => {
  const head = 262_144 * 640
  const heads = 2 * 640 * 4 * 256 + 2 * 640 * 256
  const layer = heads + 3 * 640 * 2048
  const [, , row] = weightsTable(['gemma-3-270m']).split('\n')
  const [, , share, storage, , , , most] = row.split('|').map((cell) => cell.trim())
  expect([share, storage]).toEqual([`${((100 * head) / (head + 18 * layer)).toFixed(0)} %`, 'int8'])
  // Scales and norms beside, and keys and values, which several heads share and which count as read.
  const keys = 17 * 2 * 640 * 256
  expect(Number(most)).toBeCloseTo((head + 18 * layer) / (head + layer + keys), 1)
})

test('a smaller model is told beside the dense file of its type, round by round', () => {
  const row = (model: string, bytes: number, pp128: number[], tg32: number[]) => {
    return { model, bytes, tokens: 16, equal: 15, pp128, tg32 }
  }
  const rows = [
    row('dense.F32', 4e6, [10, 30, 20], [1, 2, 3]),
    row('dense.Q8_0', 1e6, [1, 1, 1], [1, 1, 1]),
    row('half.F32', 3e6, [20, 45, 20], [3, 3, 3]),
  ]
  const cells = smallerTable({ rows })
    .trim()
    .split('\n')
    .slice(2)
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
  expect(cells).toEqual([
    ['dense.F32', '4', '15 of 16', '20.0', '-', '2.0', '-'],
    ['dense.Q8_0', '1', '15 of 16', '1.0', '-', '1.0', '-'],
    ['half.F32', '3', '15 of 16', '20.0', '1.50', '3.0', '1.50'],
  ])
  const eight = (value: number): number[] => Array.from({ length: 8 }, (_, i) => value + i)
  const long = [row('dense.F16', 1, eight(10), eight(10)), row('half.F16', 1, eight(12), eight(12))]
  expect(smallerTable({ rows: long })).toContain('| 1.15 (1.12 to 1.20) |')
  expect(() => smallerTable({ rows: rows.slice(1) })).toThrow(
    'smaller.json half.F32: expected dense.F32 beside it',
  )
})

/**
 * The figure of speed against cost: the committed figure, table and sentences are those of the committed data.
 */
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { armsOf, speedsOf, type Frontier } from '../../bench/frontier/data.ts'
import { drawFrontier, frontierTable } from '../../bench/frontier/figure.ts'
import { placeLabels, type Label } from '../../bench/frontier/labels.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { root } from '../harness/syntax.ts'

const read = (path: string): string => readFileSync(`${root}${path}`, 'utf8')
const frontier = JSON.parse(read('bench/results/frontier.json')) as Frontier

/** The same data with one speed that is another. */
const other: Frontier = {
  ...frontier,
  speeds: {
    ...frontier.speeds,
    arms: frontier.speeds.arms.map((arm, i) => (i === 5 ? { ...arm, tokensPerSecond: 1 } : arm)),
  },
}

test('the committed figure is drawn from the committed data, and another speed is another figure', async () => {
  expect(await drawFrontier(frontier)).toBe(read('docs/frontier.svg'))
  expect(await drawFrontier(other)).not.toBe(read('docs/frontier.svg'))
})

test('another speed is another table', () => expect(frontierTable(other)).not.toBe(frontierTable(frontier)))

test('speeds are those of decoding on one thread', () => {
  const row = {
    arm: 'a',
    threads: 1,
    test: 'tg32',
    tokensPerSecond: 3,
    lower: 2,
    upper: 4,
    samples: [2, 3, 4],
  }
  const rows = [row, { ...row, threads: 2 }, { ...row, test: 'pp128' }]
  const printed = { host: 'h', load: [0, 0], peers: {}, model: 'm', rounds: 3, rows }
  expect(speedsOf(printed).arms).toEqual([{ arm: 'a', tokensPerSecond: 3, lower: 2, upper: 4 }])
  expect(() => speedsOf({ arms: [] })).toThrow('--speeds: expected')
})

test('costs and speeds of other arms are refused', () => {
  const { arms } = frontier.speeds
  const withArms = (list: typeof arms): Frontier => ({
    ...frontier,
    speeds: { ...frontier.speeds, arms: list },
  })
  expect(new Set(armsOf(frontier).map(({ arm, timedAs = arm }) => timedAs)).size).toBe(arms.length)
  expect(() => armsOf(withArms(arms.slice(1)))).toThrow(`expected ${arms.length} arms`)
  expect(() => armsOf(withArms([...arms.slice(1), { ...arms[0], arm: 'another' }]))).toThrow(
    '"shadowllm f32"',
  )
})

// ---- Labels ----------------------------------------------------------------------------------------------------------

type Place = typeof placeLabels

const [WIDE, HIGH] = [400, 100]

const coverNothing = lawForAll(
  'labels of pairs of marks, far from other pairs, cover no mark and no label, and end within the paper',
  { distances: fc.array(fc.integer({ min: -30, max: 30 }), { minLength: 4, maxLength: 4 }) },
  (judged: Place, { distances }) => {
    const marks = distances.flatMap((distance, i) => {
      const [x, y] = [60 + (i % 2) * (WIDE - 120), HIGH * (1 + Math.floor(i / 2))]
      return [
        { x, y },
        { x: x + distance, y: y + 4 },
      ]
    })
    const labels = marks.map((mark): Label => ({ ...mark, text: 'label', size: 10 }))
    const boxes = judged(labels, marks, [], WIDE).map(({ x, y, align }) => {
      const left = x - { left: 0, center: 14, right: 28 }[align]
      return { left, right: left + 28, top: y - 5, bottom: y + 5 }
    })
    for (const [i, a] of boxes.entries()) {
      expect(a.left).toBeGreaterThanOrEqual(0)
      expect(a.right).toBeLessThanOrEqual(WIDE)
      const covers = (b: typeof a): boolean =>
        Math.min(a.right, b.right) > Math.max(a.left, b.left) + 1e-9 &&
        Math.min(a.bottom, b.bottom) > Math.max(a.top, b.top) + 1e-9
      expect(boxes.filter((b, j) => j !== i && covers(b))).toEqual([])
      expect(
        marks.filter(({ x, y }) => covers({ left: x - 1, right: x + 1, top: y - 1, bottom: y + 1 })),
      ).toEqual([])
    }
  },
)
stateLaw(coverNothing, placeLabels)

test('labels that all stand on the right are killed', () =>
  kills(coverNothing, (labels) => labels.map(({ x, y }) => ({ x: x + 9, y, align: 'left' }))))

test('a label avoids a line', () => {
  const label: Label = { x: 50, y: 50, text: 'label', size: 10 }
  const line = [label, { x: 200, y: 50 }]
  expect(placeLabels([label], [label], [], WIDE)[0]).toEqual({ x: 59, y: 50, align: 'left' })
  expect(placeLabels([label], [label], [line], WIDE)[0]).toEqual({ x: 41, y: 50, align: 'right' })
})

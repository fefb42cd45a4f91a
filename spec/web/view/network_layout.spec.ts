/**
 * The picture of a network has a cell for every unit, and a point on a cell finds it.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  boxOf,
  cellAt,
  layOut,
  nearestCell,
  type NetworkLayout,
} from '../../../src/web/view/network_layout.ts'
import { killsEach, lawForAll, stateLaw } from '../../harness/seed.ts'

const shapes = fc.record({
  layers: fc.integer({ min: 1, max: 48 }),
  heads: fc.integer({ min: 1, max: 64 }),
  neurons: fc.oneof(fc.integer({ min: 1, max: 200 }), fc.constantFrom(1024, 3072, 8192)),
})
const sizes = { width: fc.integer({ min: 300, max: 1400 }), height: fc.integer({ min: 400, max: 700 }) }

type LayOut = typeof layOut

const findsEveryUnit = lawForAll(
  'every unit has one cell, inside of its layer, which is found by its points',
  { shape: shapes, ...sizes },
  (lay: LayOut, { shape, width, height }): void => {
    const { grids, layers } = lay(shape, width, height)
    expect(layers).toHaveLength(shape.layers)
    for (let layer = 0; layer < shape.layers; layer++)
      for (const kind of ['heads', 'neurons'] as const) {
        const [grid, another] = grids.filter((one) => one.kind === kind && one.layer === layer)
        expect(another).toBeUndefined()
        // Cells are runs that cover all units in order.
        const isRun = grid.cells.every(
          ({ start, end }, i) => start === (i === 0 ? 0 : grid.cells[i - 1].end) && end > start,
        )
        expect([isRun, grid.cells.at(-1)?.end]).toEqual([true, shape[kind]])
        const own = layers[layer]
        for (const index of new Set([0, grid.cells.length >> 1, grid.cells.length - 1])) {
          const box = boxOf(grid, index)
          expect(box.x).toBeGreaterThanOrEqual(own.x)
          expect(box.y).toBeGreaterThanOrEqual(own.y)
          expect(box.x + box.width).toBeLessThanOrEqual(Math.max(own.x + own.width, own.x + grid.pitch))
          expect(box.y + box.height).toBeLessThanOrEqual(own.y + own.height + grid.pitch)
          const point = { x: box.x + box.width / 2, y: box.y + box.height / 2 }
          expect(grids.flatMap((one) => (cellAt(one, point) === null ? [] : [one]))).toEqual([grid])
          expect(cellAt(grid, point)).toBe(index)
        }
      }
  },
  { runs: 60 },
)
stateLaw(findsEveryUnit, layOut)

/** A layout with changed grids. */
const changing =
  (change: (layout: NetworkLayout) => NetworkLayout['grids']): LayOut =>
  (...args) => {
    const layout = layOut(...args)
    return { ...layout, grids: change(layout) }
  }

killsEach('a mutant that %s: killed', findsEveryUnit, {
  'loses the last unit of a layer': changing(({ grids }) =>
    grids.map((grid) => (grid.kind === 'neurons' ? { ...grid, cells: grid.cells.slice(0, -1) } : grid)),
  ),
  'puts the neurons over the heads': changing(({ grids }) =>
    grids.map((grid, i) => ({ ...grid, x: grids[i - (i % 2)].x, y: grids[i - (i % 2)].y })),
  ),
  'has one column more': changing(({ grids }) =>
    grids.map((grid) => ({ ...grid, columns: grid.columns + 9 })),
  ),
})

test('the embedded model has a square for every neuron, on a desk and on a phone, where rows fill the width', () => {
  const shape = { layers: 8, heads: 8, neurons: 1024 }
  for (const [width, height] of [
    [870, 432],
    [358, 640],
    [328, 640],
  ]) {
    const { grids, isTowers } = layOut(shape, width, height)
    for (const { kind, cells } of grids) expect(cells).toHaveLength(shape[kind])
    if (isTowers) continue
    const [, { x, columns, pitch }] = grids
    expect(pitch).toBe(4)
    expect(x + columns * pitch).toBe(width)
  }
})

type NearestCell = typeof nearestCell

const findsTheNearest = lawForAll(
  'a finger means the unit whose cell is nearest, and none that is out of reach',
  {
    shape: shapes,
    ...sizes,
    at: fc.record({
      x: fc.double({ min: 0, max: 1, noNaN: true }),
      y: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
    reach: fc.integer({ min: 1, max: 30 }),
  },
  (nearest: NearestCell, { shape, width, height, at, reach }): void => {
    const layout = layOut(shape, width, height)
    const point = { x: at.x * width, y: at.y * height }
    const distances = layout.grids.flatMap((grid) =>
      grid.cells.map((_, cell) => {
        const box = boxOf(grid, cell)
        const x = Math.max(box.x, Math.min(box.x + grid.pitch, point.x))
        const y = Math.max(box.y, Math.min(box.y + grid.pitch, point.y))
        return Math.hypot(x - point.x, y - point.y)
      }),
    )
    const least = Math.min(...distances)
    const found = nearest(layout, point, reach)
    expect(found !== null).toBe(least < reach)
    if (found === null) return
    const { grid, cell } = found
    const before = layout.grids.slice(0, layout.grids.indexOf(grid))
    expect(distances[before.reduce((sum, { cells }) => sum + cells.length, cell)]).toBeCloseTo(least, 9)
  },
  { runs: 40 },
)
stateLaw(findsTheNearest, nearestCell)

killsEach('a mutant that %s: killed', findsTheNearest, {
  'reaches further': (layout, point, reach) => nearestCell(layout, point, 2 * reach),
  'takes the last cell of the grid': (layout, point, reach) => {
    const found = nearestCell(layout, point, reach)
    return found && { ...found, cell: found.grid.cells.length - 1 }
  },
})

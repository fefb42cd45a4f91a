/**
 * A long run is called flat if its floor is: not for a moment's garbage, and not in spite of a leak.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { faultsOf, floorsOf, type Held, type Sample } from '../../bench/soak_verdict.ts'
import { law } from '../harness/seed.ts'

const MIB = 2 ** 20
const base = { resident: 300 * MIB, heap: 12 * MIB, buffers: 149, pages: 547, threads: 11 }

/** Fifty samples, each with something added. */
const run = (add: (cycle: number) => Partial<Record<Held, number>>): Sample[] =>
  Array.from({ length: 50 }, (_, i) => {
    const cycle = 200 * (i + 1)
    const more = add(cycle)
    const held = Object.entries(base).map(([name, value]) => [name, value + (more[name as Held] ?? 0)])
    return { cycle, ...Object.fromEntries(held) } as Sample
  })

const someNoise = fc.array(fc.nat({ max: 4 }), { minLength: 50, maxLength: 50 })

law('temporary memory is no leak', { noise: someNoise }, ({ noise }) => {
  const samples = run((cycle) => {
    const more = cycle % 600 === 0 ? 0 : noise[cycle / 200 - 1]
    return { resident: 40 * MIB * more, heap: MIB * more, pages: 528 * more, threads: more, buffers: more }
  })
  expect(faultsOf(samples)).toEqual([])
})

test.each<[Held, number]>([
  ['resident', 14 * 1024], // a page or so with each text
  ['heap', 120],
  ['buffers', 0.01],
  ['pages', 0.01],
  ['threads', 0.001],
])('a leak of %s is found', (held, each) => {
  const samples = run((cycle) => ({ [held]: Math.floor(each * cycle) }))
  expect(faultsOf(samples)).toEqual([held])
  expect(floorsOf(samples, held)[3]).toBeGreaterThan(base[held])
})

test('growth that ends in the first half is no leak', () => {
  expect(faultsOf(run((cycle) => ({ resident: 80 * MIB * Math.min(1, cycle / 5000) })))).toEqual([])
})

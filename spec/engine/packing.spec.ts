/**
 * Packed neurons have room for an eighth more, rounded up: a mask that grows by no more is followed by copying the rows that are
 * new. A mask that grows by more has all of its rows copied. Rows of int4 bring the scales of their blocks alone.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Buffer } from '../../src/backends/backend.ts'
import { BufferScope } from '../../src/backends/buffer_scope.ts'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { watchBackend } from '../../src/backends/watched.ts'
import { makeMask } from '../../src/masks/mask.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { int4 } from '../../src/engine/storages/int4.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { overBackends } from '../harness/backends.ts'
import { anyData, killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { smallCase, withModel } from './cases.ts'

const model = { ...smallCase, neurons: 20 }

/** The most rows that one call copies when the last layer keeps `after` neurons in place of `before`. */
async function rowsCopied(before: number, after: number): Promise<number> {
  const { layers, heads, neurons } = model
  const masks = [before, after].map((kept) => {
    const table = new Float32Array(layers * neurons).fill(1)
    return makeMask(model, new Float32Array(layers * heads).fill(1), table.fill(0, neurons + kept))
  })
  const planner = {
    name: 'growing',
    every: 1,
    by: 'attention' as const,
    choose: () => masks.shift() ?? masks[0],
  }
  const copied: number[] = []
  const backend = watchBackend(new ReferenceBackend(), (name, args) => {
    if (name === 'copy_rows') copied.push(args.at(-1) as number)
  })
  await withModel({ backend, load: LanguageModel.load.bind(LanguageModel) }, model, (loaded) => {
    const sequence = loaded.begin({ planner, mode: 'pack' })
    sequence.feed(Int32Array.of(1, 2))
    copied.length = 0
    sequence.feed(Int32Array.of(3))
    sequence.dispose()
  })
  return Math.max(0, ...copied)
}

test.each([
  [9, 10, 1],
  [9, 11, 2],
  [9, 12, 12],
  [8, 9, 1],
  [8, 10, 10],
  [12, 5, 0],
])('%d neurons, then %d: at most %d rows are copied', async (before, after, rows) => {
  expect(await rowsCopied(before, after)).toBe(rows)
})

type FirstRows = typeof int4.firstRows

overBackends((backend) => {
  const isPacked = lawForAll(
    'packed rows of int4 multiply as the chosen rows of the whole, with the scales of their blocks and of no other, mask after mask',
    {
      O: fc.integer({ min: 1, max: 140 }),
      B: fc.integer({ min: 1, max: 4 }),
      masks: fc.integer({ min: 1, max: 3 }),
      data: anyData,
    },
    (firstRows: FirstRows, { O, B, masks, data }) => {
      const I = 32 * B
      const scope = new BufferScope(backend)
      const before = backend.liveBuffers
      try {
        const builder = int4.builder(scope, [O, I], true)
        builder.add({ start: 0, values: data.floats('weight', [O, I]) })
        const whole = builder.build()
        const room = int4.room(scope, whole, I)
        const x = data.floats('x', I)
        const [y, z] = [scope.allocate('f32', [1, O]), scope.allocate('f32', [1, O])]
        const all = scope.upload(x, [1, I])
        let held: ReturnType<FirstRows> | undefined
        for (let mask = 0; mask < masks; mask++) {
          const blocks = data.someOf(`blocks ${mask}`, B)
          const rows = data.someOf(`rows ${mask}`, I).filter((row) => blocks.includes(Math.floor(row / 32)))
          const list = scope.upload(rows)
          held = firstRows(scope, room, rows.length, () => rows, held)
          int4.copyRows(backend, held, whole, null, list)
          const chosen = scope.upload(
            Float32Array.from(rows, (row) => x[row]),
            [1, rows.length],
          )
          backend.ops.linear_input_major(y, all, whole, null, list)
          backend.ops.linear_input_major(z, chosen, held, null, null)
          sameBits('y', backend.readF32(z), backend.readF32(y))
          const { scales } = held as { readonly scales: Buffer }
          expect(scales.shape[1]).toBe(new Set(rows.map((row) => Math.floor(row / 32))).size)
        }
      } finally {
        scope.dispose()
      }
      expect(backend.liveBuffers).toBe(before)
    },
  )
  stateLaw(isPacked, int4.firstRows)

  killsEach('%s are found', isPacked, {
    'the blocks of the whole beside scales of some': (scope, room, count, held, before) => ({
      ...int4.firstRows(scope, room, count, held, before),
      blocks: scope.upload(held().map((row) => Math.floor(row / 32))),
    }),
    'scales of the blocks in the order of the last mask': (scope, room, count, held, before) => ({
      ...int4.firstRows(scope, room, count, held, before),
      ...(before && 'scales' in before ? { scales: before.scales } : {}),
    }),
  })
})

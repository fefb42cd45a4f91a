/**
 * Packed neurons have room for an eighth more, rounded up: a mask that grows by no more is followed by copying the rows that are
 * new. A mask that grows by more has all of its rows copied.
 */
import { expect, test } from 'vitest'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { watchBackend } from '../../src/backends/watched.ts'
import { makeMask } from '../../src/masks/mask.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
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

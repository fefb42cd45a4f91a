/**
 * The speed at lengths of texts: every length that fits the context is measured, unless its prompt would take longer than the time
 * that is left; then it and all that are longer are named as left out.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { depths, measureDepths, type DepthOptions, type Measurement } from '../../src/bench/depths.ts'
import { formatDepths } from '../../src/bench/table.ts'
import { makeConfig } from '../../src/engine/config.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

let backend: Backend
const models = new Map<number, LanguageModel>()

/** A tiny model with so many positions. */
const modelOf = (positions: number): LanguageModel => models.get(positions) as LanguageModel
const contexts = [8, 9, 136, 200, 600] as const

beforeAll(async () => {
  backend = await createBackend('wasm')
  for (const positions of contexts) {
    const config = makeConfig({ layers: 1, width: 4, heads: 1, neurons: 4, vocabulary: 11, positions })
    models.set(
      positions,
      await LanguageModel.load(config, memorySource(initialWeights(config, { seed: 3 })), backend),
    )
  }
})
afterAll(() => {
  vi.restoreAllMocks()
  for (const model of models.values()) model.dispose()
  expect(backend.liveBuffers).toBe(0)
  backend.dispose()
})

type Measure = typeof measureDepths
const all: DepthOptions = { seed: 3, milliseconds: 3_600_000, onLength: () => {} }

async function collect(
  measure: Measure,
  positions: number,
  options: Partial<DepthOptions> = {},
): Promise<{ readonly rows: Measurement[]; readonly leftOut: number[] }> {
  const rows: Measurement[] = []
  const found = measure(modelOf(positions), { ...all, ...options })
  let next = await found.next()
  for (; !next.done; next = await found.next()) rows.push(next.value)
  return { rows, leftOut: next.value }
}

const measuresWhatFits = lawForAll(
  'each length that fits the context with eight tokens after it is measured or left out, the shortest measured first',
  { positions: fc.constantFrom(...contexts), milliseconds: fc.constantFrom(0, 3_600_000) },
  async (measure: Measure, { positions, milliseconds }) => {
    const { rows, leftOut } = await collect(measure, positions, { milliseconds })
    const lengths = rows.map(({ length }) => length)
    expect([...lengths, ...leftOut]).toEqual(depths.filter((length) => Math.max(1, length) + 8 <= positions))
    if (milliseconds > 0) expect(leftOut).toEqual([])
    else expect(lengths.length).toBeLessThanOrEqual(1)
    for (const { length, prompt, decode } of rows) {
      expect(prompt === null).toBe(length === 0)
      expect(Math.min(prompt ?? 1, decode)).toBeGreaterThan(0)
    }
  },
  { runs: 12 },
)
stateLaw(measuresWhatFits, measureDepths)

describe('a measurement is found that', () => {
  test('goes past the context', () =>
    kills(measuresWhatFits, async function* (model, options) {
      const rest = yield* measureDepths(model, options)
      return [...rest, 128]
    }))
  test('takes more time than it has', () =>
    kills(measuresWhatFits, (model, options) =>
      measureDepths(model, { ...options, milliseconds: 3_600_000 }),
    ))
})

test('reads a prompt of each length at once, and then one token after the other', async () => {
  const fed: number[] = []
  const model = modelOf(200)
  const { begin } = model
  const spy = vi.spyOn(model, 'begin').mockImplementation((options) => {
    const sequence = begin.call(model, options)
    const { feed } = sequence
    sequence.feed = (tokens, logits) => (fed.push(tokens.length), feed.call(sequence, tokens, logits))
    return sequence
  })
  await collect(measureDepths, 200)
  spy.mockRestore()
  const ones = Array.from({ length: 8 }, () => 1)
  expect(fed).toEqual([1, ...ones, 128, ...ones])
})

test('is ended by its signal', async () => {
  const interrupt = new AbortController()
  const onLength = (length: number): void => void (length === 128 && interrupt.abort())
  await expect(collect(measureDepths, 200, { onLength, signal: interrupt.signal })).rejects.toThrow(/abort/i)
})

test('the table has a line for each length, and names what was left out', () => {
  const row = { model: 'tiny', storage: 'int8', threadsAsked: 1 } as const
  const rows = [
    { ...row, length: 0, prompt: null, decode: 40 },
    { ...row, length: 128, prompt: 321.25, decode: 39.5 },
  ]
  const text = formatDepths({ rows, leftOut: [4096, 8000] })
  expect(text).toMatch(/^128 +321\.\d +39\.5$/m)
  expect(text).toContain('Left out, as time was up: 4096, 8000 tokens (--depths gives more seconds).')
  expect(formatDepths({ rows, leftOut: [] })).not.toContain('Left out')
})

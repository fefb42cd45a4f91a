/**
 * Which key heads a mask of heads needs, and that a packed layer holds these and no others.
 *
 * Tests src/engine/active_layer.ts, src/engine/needs.ts and src/engine/unit_lists.ts.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { activateLayer } from '../../src/engine/active_layer.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { makeConfig } from '../../src/engine/config.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { neededParts } from '../../src/engine/needs.ts'
import { siteIn, type HeadSite } from '../../src/engine/plan.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

const groups = fc.record({ G: fc.integer({ min: 1, max: 5 }), size: fc.integer({ min: 1, max: 5 }) })
const kept = fc.array(fc.boolean(), { minLength: 25, maxLength: 25 })

/** Heads of a mask, ascending. */
function headsOf(H: number, mask: readonly boolean[]): Int32Array {
  return Int32Array.from(Array.from({ length: H }, (_, h) => h).filter((h) => mask[h]))
}

const neededAreKept = lawForAll(
  'a key head is kept while any head of its group is, and no longer',
  { groups, mask: kept },
  (find: typeof neededParts, { groups: { G, size }, mask }) => {
    const H = G * size
    const heads = headsOf(H, mask)
    const { needed: keyHeads, places } = find(heads, H, G)
    const groupOf = (h: number): number => Math.floor(h / size)
    const needed = Array.from({ length: G }, (_, g) => g).filter((g) => heads.some((h) => groupOf(h) === g))
    expect([...keyHeads]).toEqual(needed)
    expect(Array.from(places, (place) => keyHeads[place])).toEqual(Array.from(heads, groupOf))
  },
)
stateLaw(neededAreKept, neededParts)

test('a mutant that keeps the key head of an empty group, and one that drops a needed one: killed', async () => {
  const keepsAll: typeof neededParts = (heads, H, G) => {
    const { needed, places } = neededParts(heads, H, G)
    return {
      needed: Int32Array.from({ length: G }, (_, g) => g),
      places: places.map((place) => needed[place]),
    }
  }
  const byFirstHead: typeof neededParts = (heads, H, G) => {
    const { needed } = neededParts(
      heads.filter((h) => h % (H / G) === 0),
      H,
      G,
    )
    return { needed, places: neededParts(heads, H, G).places }
  }
  for (const mutant of [keepsAll, byFirstHead]) await kills(neededAreKept, mutant)
})

test('a packed layer holds the key heads of its groups alone, and its cache as many', async () => {
  const backend = new ReferenceBackend()
  const config = makeConfig({
    family: 'llama',
    layers: 1,
    width: 12,
    heads: 6,
    keyHeads: 3,
    neurons: 5,
    vocabulary: 7,
    positions: 8,
  })
  const model = await LanguageModel.load(config, memorySource(initialWeights(config)), backend)
  const hints = { mode: 'pack', T: 1, steps: 100, changes: false, packsHeads: true } as const
  const mask = { heads: Float32Array.of(0, 0, 0, 1, 1, 1), neurons: new Float32Array(5).fill(1) }
  const section = model.plan.sections[1]
  const layer = activateLayer(section, { backend, matrices: model.weights.matrices }, mask, hints)
  const { step } = siteIn(section, 'heads').attention as HeadSite
  const [q, k] = step.of.map((place) => layer.instructions[place - 1])
  expect([q.width, k.width]).toEqual([3 * config.headSize, 2 * config.headSize])
  const { keyHeadOf } = layer.instructions[step.place - 1]
  expect(backend.readI32(keyHeadOf as never)).toEqual(Int32Array.of(0, 1, 1))
  layer.dispose()
  model.dispose()
  expect(backend.liveBuffers).toBe(0)
})

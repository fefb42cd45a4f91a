/**
 * Slots of packed rows: whatever masks follow each other, each unit wanted has one slot, what stays is not written again,
 * and the order of the slots is that of their units.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PackedSlots } from '../../src/engine/packed_slots.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

const units = fc
  .uniqueArray(fc.nat({ max: 30 }), { maxLength: 20 })
  .map((list) => Int32Array.from(list).sort())
const masks = fc.array(units, { minLength: 1, maxLength: 8 })

type Slots = Pick<PackedSlots, 'count' | 'change' | 'order' | 'countFresh'>

/** Keeps rows as packed weights do: each holds the unit that was last written there. */
const followsMasks = lawForAll(
  'slots follow masks: every unit in one slot, only what changed is written, the order ascends',
  { lists: masks },
  (make: (units: Int32Array) => Slots, { lists }) => {
    const slots = make(lists[0])
    let rows = [...lists[0]]
    for (const wanted of lists.slice(1)) {
      const before = rows.slice()
      const fresh = slots.countFresh(wanted)
      const change = slots.change(wanted)
      change.slots.forEach((slot, i) => (rows[slot] = change.units[i]))
      rows = rows.slice(0, wanted.length)
      expect(slots.count).toBe(wanted.length)
      expect(
        rows.toSorted((a, b) => a - b),
        'one slot for each',
      ).toEqual([...wanted])
      const order = slots.order() ?? Int32Array.from(wanted.keys())
      expect(
        [...order].map((slot) => rows[slot]),
        'in order',
      ).toEqual([...wanted])
      // New units, and those whose slots are no longer in use.
      const cut = before.slice(wanted.length).filter((unit) => wanted.includes(unit))
      expect(change.slots.length, 'rows written').toBe(fresh + cut.length)
    }
  },
)
stateLaw(followsMasks, (list) => new PackedSlots(list))

test('a mutant that writes every slot, and one that forgets the order: killed', async () => {
  class WritesAll extends PackedSlots {
    override change(wanted: Int32Array) {
      super.change(wanted)
      return new PackedSlots(new Int32Array(0)).change(wanted)
    }
  }
  class Unordered extends PackedSlots {
    override order() {
      return null
    }
  }
  for (const Mutant of [WritesAll, Unordered]) await kills(followsMasks, (list) => new Mutant(list))
})

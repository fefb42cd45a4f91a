/**
 * What a mask makes superfluous, as dead code is found: the units that a mask skips are not needed, and what only they need is not
 * computed. One rule for each operation says which units of what it reads some units of its result need; nothing here knows
 * of layers.
 */
import { stepsOf, type Value } from '../spec/program.ts'

/** A step at which a mask applies. */
export type UnitsStep = Value & { readonly op: 'units' }

/** The units of a value that are needed: those that a mask keeps at a step, or the key heads that they read. */
export interface Need {
  readonly at: UnitsStep
  /** How many equal parts a value has: the units of that step, or groups of them. */
  readonly parts: number
}

/** The values of which only some parts are needed, and which. Of all others every number is. */
export function needsOf(program: Value): Map<Value, Need> {
  const found = new Map<Value, Need | null>([[program, null]])
  const want = (value: Value, need: Need | null): void => {
    const other = found.get(value)
    const isSame = other === undefined || (other?.at === need?.at && other?.parts === need?.parts)
    found.set(value, isSame ? need : null)
  }
  for (const step of stepsOf(program).toReversed()) {
    const need = found.get(step) ?? null
    switch (step.op) {
      case 'units':
        want(step.of[0], { at: step, parts: step.count })
        break
      case 'relu':
      case 'scale':
      case 'cap':
      case 'gate':
        for (const value of step.of) want(value, need)
        break
      case 'rotate':
        want(step.of[0], need)
        break
      case 'rmsNorm': {
        // A norm of parts of units reads no other unit.
        const isByUnit = need !== null && (step.width / need.parts) % step.weight.shape[0] === 0
        want(step.of[0], isByUnit ? need : null)
        break
      }
      case 'attention': {
        const [q, k, v] = step.of
        const isByHead = need !== null && need.parts === step.width / step.headSize
        want(q, isByHead ? need : null)
        for (const value of [k, v])
          want(value, isByHead ? { ...need, parts: value.width / step.headSize } : null)
        break
      }
      default:
        // A layer norm, a product or a sum reads every number.
        for (const value of step.of) want(value, null)
    }
  }
  return new Map([...found].filter((entry): entry is [Value, Need] => entry[1] !== null))
}

/**
 * The parts of a value that are needed for some units.
 * @param units ascending, of `count`
 * @returns the parts, ascending, and for each unit the place of its part among them
 */
export function neededParts(
  units: Int32Array,
  count: number,
  parts: number,
): { readonly needed: Int32Array; readonly places: Int32Array } {
  const each = units.map((unit) => Math.floor((unit * parts) / count))
  const needed = Int32Array.from(new Set(each))
  return { needed, places: each.map((part) => needed.indexOf(part)) }
}

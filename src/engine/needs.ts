/**
 * What a mask makes superfluous, as dead code is found: the units that a mask skips are not needed, and what only they need is not
 * computed. One rule for each operation says which units of what it reads some units of its result need; nothing here knows
 * of layers.
 */
import { stepsOf, type Value } from '../spec/program.ts'

/** The units of a value that are needed: those that a mask keeps at a step, or the key heads that they read. */
export interface Need {
  /** The step at which a mask applies. */
  readonly at: Value & { readonly op: 'units' }
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
      case 'siluGate':
      case 'reluGate':
        for (const value of step.of) want(value, need)
        break
      case 'rotate':
        want(step.of[0], need)
        break
      case 'attention': {
        const [q, k, v] = step.of
        const isByHead = need !== null && need.parts === step.width / step.headSize
        want(q, isByHead ? need : null)
        for (const value of [k, v])
          want(value, isByHead ? { ...need, parts: value.width / step.headSize } : null)
        break
      }
      default:
        // A norm, a product or a sum reads every number.
        for (const value of step.of) want(value, null)
    }
  }
  return new Map([...found].filter((entry): entry is [Value, Need] => entry[1] !== null))
}

/** Which parts of a value are needed: ones and zeros [parts]. @param factors of the units of the step, 0 for a skipped one */
export function neededParts({ at, parts }: Need, factors: Float32Array): Float32Array {
  const needed = new Float32Array(parts)
  factors.forEach((factor, unit) => {
    if (factor !== 0) needed[Math.floor((unit * parts) / at.count)] = 1
  })
  return needed
}

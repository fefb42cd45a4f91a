/**
 * Records what is called: the questions to a planner with copies of their arguments, and the calls of any object.
 */
import { isDeepStrictEqual } from 'node:util'
import type { MaskPlanner } from '../../src/masks/planner.ts'

/** A call: its name and its arguments as they were then. */
export interface Call {
  readonly name: string
  readonly args: readonly unknown[]
}

/** A deep copy of plain data; views of arrays are copied without what is beside them. */
export function copyOf(value: unknown): unknown {
  if (ArrayBuffer.isView(value)) return (value as Float32Array).slice()
  if (Array.isArray(value)) return value.map(copyOf)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, copyOf(member)]))
}

/** The planner, with every question reported before it is asked: `choose by gate` and the like. */
export function recordPlanner(planner: MaskPlanner, onCall: (call: Call) => void): MaskPlanner {
  const recorded = Object.entries(planner).map(([name, member]: [string, unknown]) => {
    if (typeof member !== 'function') return [name, member] as const
    const ask = (...args: unknown[]): unknown => {
      onCall({ name: `${name} by ${planner.by}`, args: args.map(copyOf) })
      return Reflect.apply(member, planner, args)
    }
    return [name, ask] as const
  })
  return Object.fromEntries(recorded) as unknown as MaskPlanner
}

/**
 * An object that passes every call on to another.
 * @param around called in place of each method, with what calls it
 */
export function interposed<Target extends object>(
  target: Target,
  around: (name: string, args: readonly unknown[], call: (...args: unknown[]) => unknown) => unknown,
): Target {
  return new Proxy(target, {
    get(_target, key) {
      const member: unknown = Reflect.get(target, key, target)
      if (typeof member !== 'function' || typeof key === 'symbol') return member
      return (...args: unknown[]) => around(key, args, (...passed) => Reflect.apply(member, target, passed))
    },
  })
}

/** Equal data: equal bits of numbers, equal members. @throws Error naming the first that differs */
export function sameData(what: string, actual: unknown, expected: unknown): void {
  if (isDeepStrictEqual(actual, expected)) return
  if (typeof actual === 'object' && typeof expected === 'object' && actual && expected)
    for (const key of new Set([...Object.keys(expected), ...Object.keys(actual)]))
      sameData(
        `${what}.${key}`,
        (actual as Record<string, unknown>)[key],
        (expected as Record<string, unknown>)[key],
      )
  throw new Error(`${what}: expected ${textOf(expected)}, got ${textOf(actual)}`)
}

function textOf(value: unknown): string {
  return typeof value === 'function' ? 'a function' : (JSON.stringify(value) ?? String(value))
}

/**
 * Which memory a launch reads and writes, and so which launches must stay in order: those of which one writes where the
 * other reads or writes. All others may run at once, such as the three products for queries, keys and values.
 *
 * It follows from the parameters of a kernel: arrays, their roles and their shapes. A kernel touches nothing else.
 */
import { arrayTypes, isConstant, type Kernel } from '../../ops/op.ts'
import type { Task } from './launch_memory.ts'

/** An array of an op, its letters replaced by their places among the arguments. */
interface ArrayPlan {
  readonly at: number
  readonly isWritten: boolean
  /** Bytes of one number, times the constants of the shape. */
  readonly bytes: number
  readonly shapeAt: readonly number[]
}

/** A range of device memory, its end not in it. */
interface Range {
  readonly start: number
  readonly end: number
  readonly isWritten: boolean
}

/** The ranges that a launch touches. */
export type Footprint = readonly Range[]

const plans = new Map<Kernel, readonly ArrayPlan[]>()

function planOf(kernel: Kernel): readonly ArrayPlan[] {
  let plan = plans.get(kernel)
  if (plan === undefined) {
    const placeOf = (letter: string): number => kernel.params.findIndex(({ name }) => name === letter)
    plan = kernel.params.flatMap((param, at) => {
      if (param.kind !== 'array') return []
      const shapeAt = param.shape.filter((letter) => !isConstant(letter)).map(placeOf)
      const constants = param.shape.filter(isConstant).reduce((product, one) => product * Number(one), 1)
      const bytes = constants * arrayTypes[param.dtype].BYTES_PER_ELEMENT
      return [{ at, isWritten: param.role !== 'in', bytes, shapeAt }]
    })
    plans.set(kernel, plan)
  }
  return plan
}

/** The memory that a launch reads and writes. */
export function footprintOf({ kernel, args }: Pick<Task, 'kernel' | 'args'>): Footprint {
  const ranges: Range[] = []
  for (const { at, isWritten, bytes, shapeAt } of planOf(kernel.definition)) {
    const start = args[at]
    if (start === null) continue
    let length = bytes
    for (const place of shapeAt) length *= args[place] as number
    ranges.push({ start, end: start + length, isWritten })
  }
  return ranges
}

/** Whether two launches touch the same, one of them to write it. */
function mustKeepOrder(a: Footprint, b: Footprint): boolean {
  for (const one of a)
    for (const other of b)
      if ((one.isWritten || other.isWritten) && one.start < other.end && other.start < one.end) return true
  return false
}

/** The order that some launches must keep among themselves. */
export class Order {
  readonly #footprints: Footprint[]
  /** Whether i and j must keep their order, at i * count + j; the same for j and i. */
  readonly #keeps: Uint8Array // [N, N]

  constructor(footprints: readonly Footprint[]) {
    this.#footprints = [...footprints]
    const count = footprints.length
    this.#keeps = new Uint8Array(count * count)
    for (let i = 0; i < count; i++)
      for (let j = 0; j < count; j++)
        if (i !== j && mustKeepOrder(footprints[i], footprints[j])) this.#keeps[i * count + j] = 1
  }

  /**
   * For each launch the earlier ones that it must wait for by name: the others that it must wait for come before those.
   */
  waits(): number[][] {
    const count = this.#footprints.length
    const before: bigint[] = []
    return this.#footprints.map((_, i) => {
      const direct: number[] = []
      let known = 0n
      for (let j = i - 1; j >= 0; j--) {
        if (this.#keeps[i * count + j] === 0 || ((known >> BigInt(j)) & 1n) === 1n) continue
        direct.push(j)
        known |= before[j] | (1n << BigInt(j))
      }
      before.push(known)
      return direct
    })
  }

  /**
   * Takes other footprints for some of the launches, if the order stays the same.
   * @param changed by the places of the launches
   * @returns whether it does; if not, nothing was taken
   */
  adopt(changed: ReadonlyMap<number, Footprint>): boolean {
    const count = this.#footprints.length
    const now = (i: number): Footprint => changed.get(i) ?? this.#footprints[i]
    for (const [i, footprint] of changed)
      for (let j = 0; j < count; j++)
        if (i !== j && mustKeepOrder(footprint, now(j)) !== (this.#keeps[i * count + j] === 1)) return false
    for (const [i, footprint] of changed) this.#footprints[i] = footprint
    return true
  }
}

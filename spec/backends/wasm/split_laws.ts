/**
 * What src/backends/wasm/split.ts promises of every op it can cut, as functions of the way it cuts and of the kernels:
 * the parts together are the call, and they write apart from each other.
 */
import { startAlone, type Engine } from '../../../src/backends/wasm/engine.ts'
import { instantiate } from '../../../src/backends/wasm/instance.ts'
import { partStart, splitOf, splitOps, type Call, type Split } from '../../../src/backends/wasm/split.ts'
import type { WasmName } from '../../../src/backends/kernel_files.ts'
import { WasmBackend } from '../../../src/backends/wasm/wasm_backend.ts'
import { kernels, type KernelName } from '../../../src/ops/catalog.ts'
import type { Sizes } from '../../../src/ops/op.ts'
import { call, callRaw } from '../../../src/testing/op_call.ts'
import { sameBits } from '../../../src/verify/compare.ts'
import { Data } from '../../../src/testing/seeded_data.ts'
import { checkAgreement } from '../../../src/verify/ops/agreement.ts'
import { arraysOf, fitSizes, lettersOf, makeValues, variantsOf } from '../../../src/testing/op_case.ts'

/** Which units a part computes, from and to. */
export type Cut = (...part: Parameters<typeof partStart>) => readonly [number, number]

/** Each part ends where the next begins. */
export const usualCut: Cut = (part, ...rest) => [partStart(part, ...rest), partStart(part + 1, ...rest)]

/** Which parts of a call are computed, in this order, out of how many. */
interface Plan {
  parts: number
  /** Given the number of parts. */
  chosen: (parts: number) => readonly number[]
}

/** A backend that computes ops part by part, on two instances over one memory in turns, as a plan says. */
export class PartByPart extends WasmBackend {
  readonly plan: Plan

  constructor(module: WebAssembly.Module, cut: Cut, name?: WasmName) {
    const plan: Plan = { parts: 1, chosen: () => [0] }
    super(module, () => enginePartByPart(module, plan, cut), name)
    this.plan = plan
  }
}

function enginePartByPart(module: WebAssembly.Module, plan: Plan, cut: Cut): Engine {
  const alone = startAlone(module)
  const { memory, kernels, heapBase } = alone
  const instances = [kernels, instantiate(module, memory, heapBase).kernels]
  const cutOps = splitOps.map((name) => {
    const split = splitOf(name) as Split
    const run = (...args: Call): void => {
      const units = split.units(args)
      const parts = Math.max(1, Math.min(plan.parts, Math.ceil(units / split.grain)))
      for (const part of plan.chosen(parts))
        instances[part % 2][split.kernel](...args, ...cut(part, parts, units, split.grain))
    }
    return [name, run] as const
  })
  return { ...alone, kernels: { ...kernels, ...Object.fromEntries(cutOps) }, heapBase: 2 * heapBase }
}

/** Sizes of a call: from one unit to many grains of them. */
function sizesOf(name: KernelName, data: Data): Sizes {
  const row = kernels[name]
  const sizes: Record<string, number> = {}
  const { grain } = splitOf(name) as Split
  for (const letter of lettersOf(row))
    sizes[letter] = grain === 1 ? data.integer(1, 12) : data.pick([1, 2, 5, 17, 33, 64, 100, 150])
  // Heads of so many numbers are attended in tiles.
  if (grain === 1) sizes.K = data.pick([1, 5, 12, 16, 32])
  if ('T' in sizes) sizes.T = data.pick([1, 1, 2, 3, 5, 8, 9])
  for (const { holds, shape, below } of arraysOf(row))
    if (holds === 'ascending') sizes[shape[0]] = data.integer(0, sizes[below as string])
  return fitSizes(row, sizes)
}

/** The parts, in a random order, give what the definition does and write nothing else; and the bits of one call. */
export function partsAreTheWhole(backend: PartByPart, name: KernelName, seed: number, parts: number): void {
  const data = new Data(seed)
  const { absent } = data.pick(variantsOf(kernels[name]))
  const values = makeValues(name, sizesOf(name, data), data, data.pick(['plain', 'wild', 'broken']), absent)
  const placing = { offset: data.pick([0, 1, 3]), aliased: false }
  backend.plan.parts = 1
  backend.plan.chosen = () => [0]
  const whole = callRaw(backend, name, values, placing)
  backend.plan.parts = parts
  backend.plan.chosen = (count) => [...data.permutation(count)]
  checkAgreement(backend, name, values, placing)
  const together = callRaw(backend, name, values, placing)
  for (const [output, numbers] of Object.entries(whole)) sameBits(output, together[output], numbers)
}

/** No number is written by two parts: each alone leaves what belongs to the others as it was. */
export function partsWriteApart(backend: PartByPart, name: KernelName, seed: number, parts: number): void {
  const data = new Data(seed)
  const row = kernels[name]
  const [written] = arraysOf(row)
  backend.plan.parts = parts
  const { absent } = data.pick(variantsOf(row))
  const values = makeValues(name, sizesOf(name, data), data, 'smooth', absent)
  // Without a value an output starts as NaN, and what is added to as 0.
  const given = { ...values }
  delete given[written.name]
  const writers = new Map<number, number>()
  for (let part = 0; part < parts; part++) {
    backend.plan.chosen = (count) => (part < count ? [part] : [])
    call(backend, name, given)[written.name].forEach((value, i) => {
      if (written.role === 'out' ? Number.isNaN(value) : value === 0) return
      const other = writers.get(i)
      if (other !== undefined)
        throw new Error(`${name}[${i}]: expected one part to write it, got parts ${other} and ${part}`)
      writers.set(i, part)
    })
  }
}

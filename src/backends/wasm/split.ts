/**
 * How one call of an op is cut into parts that threads can share.
 *
 * A call is cut along one of its dimensions: the rows, columns or heads it gives out. A part computes units from..to of
 * it by the kernel `<op>_part`, which takes the arguments of the op and then `from` and `to` (assembly/index.ts). Parts
 * write to separate places and keep the order of every addition, so the bits are those of the whole call, on any
 * thread and in any order.
 */
import { kernelNames, kernels, type KernelName, type OpName } from '../../ops/catalog.ts'
import type { Kernel } from '../../ops/op.ts'
import type { KernelArgument } from '../calls.ts'

/** The arguments of a call, as kernels take them. */
export type Call = readonly KernelArgument<number>[]

/** How a kernel is cut: dimensions by the names of its parameters, a letter or an optional list of chosen units. */
interface Cut {
  /** What the parts are cut of. */
  readonly along: string
  /** The other dimensions of the work; with `along` their product is the number of multiply-adds, or near it. */
  readonly times: readonly string[]
  /** Parts begin at multiples of this, so that a kernel's tiles stay whole. */
  readonly grain: number
  /** Units of a part that is worth while, for one token and for several. */
  readonly least: readonly [one: number, several: number]
}

/** A matrix stored a row per output: parts of its rows. */
const byRows: Cut = { along: 'rows', times: ['T', 'I'], grain: 16, least: [16, 16] }
/**
 * A matrix stored a row per input: parts of its columns. Each reads a piece of every row, and the shorter the pieces, the
 * more of what the processor reads ahead belongs to another part (bench/README.md).
 */
const byColumns: Cut = { along: 'O', times: ['T', 'inputs'], grain: 16, least: [1024, 384] }
/** Heads. */
const byHeads: Cut = { along: 'heads', times: ['T', 'S', 'K'], grain: 1, least: [1, 1] }

/** Columns that are solved for. */
const bySolution: Cut = { along: 'D', times: ['U', 'U'], grain: 16, least: [16, 16] }

/** How the kernels of an op are cut. All ops that are not named here are computed whole. */
const cuts: Partial<Record<OpName, Cut>> = {
  linear: byRows,
  linear_input_major: byColumns,
  linear_backward_weight: byRows,
  attention: byHeads,
  solve_cholesky: bySolution,
}

/** Multiply-adds of a part that is worth while: about twenty microseconds, or less of int8. */
const LEAST_WORK = 2 ** 17

/** Where a dimension stands in a call: a letter, or a list's count if there is a list. */
interface Dimension {
  readonly letter: number
  readonly list: number | null
  readonly count: number
}

/** How calls of one op are cut. */
export class Split {
  /** The export that computes a part. */
  readonly kernel: string
  readonly grain: number
  readonly #least: Cut['least']
  readonly #tokens: number
  readonly #units: Dimension
  /** All dimensions of the work. */
  readonly #factors: readonly Dimension[]

  constructor(name: KernelName, { along, times, grain, least }: Cut) {
    const kernel = kernels[name]
    this.kernel = `${name}_part`
    this.grain = grain
    this.#least = least
    this.#tokens = placeOf(kernel, 'T')
    this.#units = dimensionOf(kernel, along)
    this.#factors = [this.#units, ...times.map((one) => dimensionOf(kernel, one))]
  }

  /** How many units there are to be cut. */
  units(call: Call): number {
    return sizeOf(this.#units, call)
  }

  /** About how many multiply-adds a call takes. */
  work(call: Call): number {
    let product = 1
    for (const factor of this.#factors) product *= sizeOf(factor, call)
    return product
  }

  /** A number that calls of about the same size have in common, within a factor of two in each dimension. */
  sizeClass(call: Call): number {
    let all = 0
    for (const factor of this.#factors) all = (all << 5) | (31 - Math.clz32(sizeOf(factor, call)))
    return all
  }

  /** Into how many parts a call can be cut that are all worth while; 0 or 1 for one that stays whole. */
  worthwhileParts(call: Call): number {
    // Most calls of a small model end here: none of them is large even if all its units are chosen.
    let most = 1
    for (const { letter } of this.#factors) most *= call[letter] as number
    if (most < 2 * LEAST_WORK) return 0
    const least = this.#least[call[this.#tokens] === 1 ? 0 : 1]
    return Math.floor(Math.min(this.units(call) / least, this.work(call) / LEAST_WORK))
  }

  /** Into how many parts a call can be cut, worth while or not. */
  allParts(call: Call): number {
    return this.work(call) === 0 ? 0 : Math.ceil(this.units(call) / this.grain)
  }
}

function sizeOf({ letter, list, count }: Dimension, call: Call): number {
  return call[list === null || call[list] === null ? letter : count] as number
}

function dimensionOf(kernel: Kernel, name: string): Dimension {
  const at = placeOf(kernel, name)
  const param = kernel.params[at]
  if (param.kind !== 'array') return { letter: at, list: null, count: at }
  return { letter: placeOf(kernel, param.below as string), list: at, count: placeOf(kernel, param.shape[0]) }
}

function placeOf({ params }: Kernel, name: string): number {
  return params.findIndex((param) => param.name === name)
}

const splits = new Map(
  kernelNames.flatMap((name) => {
    const cut = cuts[kernels[name].op as OpName]
    return cut ? [[name, new Split(name, withTiles(kernels[name], cut))] as const] : []
  }),
)

/** Where outputs stand in tiles apart, a part reads whole ones. */
function withTiles({ params }: Kernel, cut: Cut): Cut {
  const tiles = params.find((param) => param.kind === 'size' && param.quotient?.of === cut.along)
  if (tiles?.kind !== 'size' || !tiles.quotient) return cut
  const { by } = tiles.quotient
  return { ...cut, grain: by, least: [by, by] }
}

/** The kernels whose calls can be shared. */
export const splitOps: readonly KernelName[] = [...splits.keys()]

/** How calls of an op are cut; null for one that is computed whole. */
export function splitOf(name: KernelName): Split | null {
  return splits.get(name) ?? null
}

/** Where part `index` of `parts` begins, and the one before ends; parts differ by one grain at most. */
export function partStart(index: number, parts: number, units: number, grain: number): number {
  const grains = Math.ceil(units / grain)
  return Math.min(units, grain * Math.floor((index * grains) / parts))
}

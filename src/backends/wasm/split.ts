/**
 * How one call of an op is cut into parts that threads can share.
 *
 * A call is cut along one of its dimensions: the rows, columns or heads it gives out. A part computes units from..to of
 * it by the kernel `<op>_part`, which takes the arguments of the op and then `from` and `to` (assembly/index.ts). Parts
 * write apart from each other and keep the order of every addition, so that whoever computes them, in whatever order,
 * the bits are those of the whole call.
 */
import { opRow, type OpName } from '../../ops/catalog.ts'
import type { Op } from '../../ops/op.ts'
import type { Launched } from '../door.ts'

/** The arguments of a call, as kernels take them. */
export type Call = readonly Launched<number>[]

/** What is said of an op: dimensions by the names of the catalogue row, a letter or an optional list of chosen units. */
interface Row {
  /** What the parts are cut of. */
  readonly along: string
  /** The other dimensions of the work; with `along` their product is the number of multiply-adds, or near it. */
  readonly times: readonly string[]
  /** Parts begin at multiples of this, so that a kernel's tiles stay whole. */
  readonly grain: number
}

/** A matrix stored a row per output: parts of its rows. */
const byRows: Row = { along: 'rows', times: ['T', 'I'], grain: 16 }
/** A matrix stored a row per input: parts of its columns. */
const byColumns: Row = { along: 'O', times: ['T', 'inputs'], grain: 16 }

/** All ops that are not named here are computed whole. */
const rows: Partial<Record<OpName, Row>> = {
  linear: byRows,
  linear_input_major: byColumns,
  linear_backward_weight: byRows,
  attention: { along: 'heads', times: ['T', 'S', 'K'], grain: 1 },
}

/** How calls of one op are cut. */
export interface Split {
  /** The export that computes a part. */
  readonly kernel: string
  readonly grain: number
  /** How many units there are to be cut. */
  units(call: Call): number
  /** About how many multiply-adds a call takes. */
  work(call: Call): number
  /** A number that calls of about the same size have in common, within a factor of two in each dimension. */
  sizeClass(call: Call): number
}

/** The ops that can be shared. */
export const splitOps: readonly OpName[] = Object.keys(rows) as OpName[]

const splits = new Map(
  (Object.entries(rows) as [OpName, Row][]).map(([name, row]) => [name, makeSplit(name, row)]),
)

/** How calls of an op are cut; null for one that is computed whole. */
export function splitOf(name: OpName): Split | null {
  return splits.get(name) ?? null
}

function makeSplit(name: OpName, { along, times, grain }: Row): Split {
  const units = dimension(opRow(name), along)
  const factors = [units, ...times.map((one) => dimension(opRow(name), one))]
  return {
    kernel: `${name}_part`,
    grain,
    units,
    work: (call) => factors.reduce((product, factor) => product * factor(call), 1),
    sizeClass: (call) => factors.reduce((all, factor) => (all << 5) | (31 - Math.clz32(factor(call))), 0),
  }
}

/** Reads a dimension off a call: a letter, or how many units of a list are chosen, which are all where there is none. */
function dimension(row: Op, name: string): (call: Call) => number {
  const at = placeOf(row, name)
  const param = row.params[at]
  if (param.kind !== 'array') return (call) => call[at] as number
  const counted = placeOf(row, param.shape[0])
  const all = placeOf(row, param.below as string)
  return (call) => call[call[at] === null ? all : counted] as number
}

function placeOf(row: Op, name: string): number {
  return row.params.findIndex((param) => param.name === name)
}

/** Where part `index` of `parts` begins, and the one before ends; parts differ by one grain at most. */
export function partStart(index: number, parts: number, units: number, grain: number): number {
  const grains = Math.ceil(units / grain)
  return Math.min(units, grain * Math.floor((index * grains) / parts))
}

/** The most parts that are worth a look: none is empty, and none smaller than `leastWork`. */
export function mostParts(split: Split, call: Call, leastWork: number): number {
  return Math.min(Math.ceil(split.units(call) / split.grain), Math.floor(split.work(call) / leastWork))
}

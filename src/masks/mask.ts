/**
 * A mask over the units of a whole model: which heads and which FFN neurons are computed, one decision per sequence.
 *
 * Values are 1 (computed) and 0 (skipped). `simulate` mode, which multiplies activations by the mask, takes any number;
 * derivatives with respect to a mask are measured this way.
 */
import { describeValue, isObject } from '../tensor/arguments.ts'
import { UsageError } from '../tensor/errors.ts'
import type { ChannelMask } from './channels.ts'

/** The two kinds of unit. */
export const unitKinds = [
  /** Attention heads: H in each layer. */
  'heads',
  /** Neurons of the MLP: F in each layer. */
  'neurons',
] as const
/** A kind of unit. */
export type UnitKind = (typeof unitKinds)[number]

/** How many units a model has: L layers of H heads and F neurons. */
export interface UnitShape {
  readonly layers: number // L
  readonly heads: number // H, per layer
  readonly neurons: number // F, per layer
}

/**
 * A number for every unit of a model, in flat arrays, row by row: head h of layer l is `heads[l * H + h]`.
 * @specified `Mask`
 */
export interface UnitMask {
  readonly shape: UnitShape
  readonly heads: Float32Array // [L, H]
  readonly neurons: Float32Array // [L, F]
  /** What a planner of input channels left out of the last token, besides; absent under all others. */
  readonly channels?: ChannelMask
}

/** The mask that keeps all units. @throws UsageError MASK_SHAPE for invalid sizes */
export function denseMask(shape: UnitShape): UnitMask {
  checkUnitShape(shape)
  return makeMask(
    shape,
    new Float32Array(shape.layers * shape.heads).fill(1),
    new Float32Array(shape.layers * shape.neurons).fill(1),
  )
}

/**
 * Makes a mask from a table of heads and a table of neurons. It keeps the tables, and no copies of them. Their sizes are checked here, and
 * their numbers where the mask is used: units are skipped by ones and zeros only, and `mode: 'simulate'` multiplies by any number.
 * `denseMask` gives tables to begin from, and `givenMask` makes a planner of the mask.
 * @param shape how many layers, heads and neurons the model has: `model.model.shape` of a `ShadowModel`
 * @param heads 1 (computed) or 0 (skipped) for each head, or another factor: [L, H], head h of layer l at l * H + h
 * @param neurons the same for each neuron: [L, F]
 * @returns the mask of these tables
 * @throws UsageError MASK_SHAPE for invalid sizes, or a table that does not have layers x units numbers
 * @specified `Mask`
 * @example
 * ```ts
 * import { denseMask, givenMask, makeMask, ShadowModel } from 'shadowllm'
 *
 * // All units but head 3 of layer 4.
 * const opt = await ShadowModel.fromPretrained()
 * const { shape, heads, neurons } = denseMask(opt.model.shape)
 * heads[4 * shape.heads + 3] = 0
 * const mask = makeMask(shape, heads, neurons)
 * const planner = givenMask(mask, null)
 * for await (const { text } of opt.generate('Once upon a time', { planner, maxTokens: 12 })) console.log(text)
 * await opt.dispose()
 * ```
 */
export function makeMask(shape: UnitShape, heads: Float32Array, neurons: Float32Array): UnitMask {
  checkUnitShape(shape)
  checkTable(heads, 'head mask', shape.layers, shape.heads)
  checkTable(neurons, 'neuron mask', shape.layers, shape.neurons)
  return { shape, heads, neurons }
}

/** Refuses sizes that are not whole numbers. @throws UsageError MASK_SHAPE */
export function checkUnitShape(shape: UnitShape): void {
  if (!isObject(shape))
    throw new UsageError(
      'MASK_SHAPE',
      `shape: expected layers, heads and neurons, got ${describeValue(shape)}`,
    )
  for (const name of ['layers', 'heads', 'neurons'] as const)
    if (!Number.isInteger(shape[name]) || shape[name] < 0)
      throw new UsageError(
        'MASK_SHAPE',
        `shape ${name}: expected a whole number from 0, got ${describeValue(shape[name])}`,
      )
}

/**
 * Checks a mask, which callers may have built themselves.
 * @throws UsageError MASK_SHAPE
 */
export function expectMask(mask: UnitMask): void {
  if (!isObject(mask) || !isObject(mask.shape))
    throw new UsageError(
      'MASK_SHAPE',
      `mask: expected a shape and two tables, got ${isObject(mask) ? 'an object without a shape' : describeValue(mask)}`,
    )
  makeMask(mask.shape, mask.heads, mask.neurons)
}

/** Whether two masks compute the same units; null is dense. */
export function sameMask(a: UnitMask | null, b: UnitMask | null): boolean {
  if (a === b) return true
  if (a === null || b === null) {
    const one = (a ?? b) as UnitMask
    return unitKinds.every((kind) => one[kind].every((value) => value === 1))
  }
  return unitKinds.every(
    (kind) => a[kind].length === b[kind].length && a[kind].every((value, i) => value === b[kind][i]),
  )
}

/** Checks a table [rows, units]. @throws UsageError with this code */
export function checkTable(
  table: Float32Array,
  name: string,
  rows: number,
  units: number,
  code = 'MASK_SHAPE',
): void {
  const size = rows === 1 ? `[${units}]` : `[${rows}, ${units}]`
  if (!(table instanceof Float32Array))
    throw new UsageError(code, `${name}: expected ${size} in a Float32Array, got ${describeValue(table)}`)
  if (table.length !== rows * units)
    throw new UsageError(code, `${name}: expected ${size}, got ${table.length} numbers`)
}

/**
 * A mask as kernels take it: compiled once per sequence, read at every token.
 *
 * `skip` turns a layer's zeros into lists of the units that remain: heads for the attention and the cache, their
 * channels for the rows of q, k, v and the inputs of out_proj, neurons for the rows of fc1 and the inputs of fc2. A
 * layer that keeps everything has no lists, which is the dense path itself. `simulate` keeps every unit and multiplies
 * its output by the mask.
 */
import type { Backend, Buffer } from '../../backends/backend.ts'
import type { UnitMask, UnitShape } from '../../masks/mask.ts'
import type { LayerMask } from '../../masks/planner.ts'
import { UsageError } from '../../tensor/errors.ts'

/** How a mask is carried out. */
export type MaskMode = 'skip' | 'simulate'

/** Chosen units in ascending order; no list means all of them. */
export interface UnitList {
  readonly list: Buffer | null // [R]
  readonly count: number // R
}

/** One layer's mask as its kernels take it. */
export interface LayerUnits {
  readonly heads: UnitList // below H
  /** The channels of the chosen heads, K each. */
  readonly channels: UnitList // below D
  readonly neurons: UnitList // below F
  /** What head outputs are multiplied by in `simulate` mode. */
  readonly headFactors: Buffer | null // [H]
  /** What activations are multiplied by in `simulate` mode. */
  readonly neuronFactors: Buffer | null // [F]
}

/** Every unit of a layer. */
export function allUnits(heads: number, headSize: number, neurons: number): LayerUnits {
  return {
    heads: { list: null, count: heads },
    channels: { list: null, count: heads * headSize },
    neurons: { list: null, count: neurons },
    headFactors: null,
    neuronFactors: null,
  }
}

/** @throws UsageError MASK_SHAPE if a mask was made for a model of another shape */
export function checkMask(mask: UnitMask, shape: UnitShape): void {
  const words = ({ layers, heads, neurons }: UnitShape): string =>
    `${layers} layers of ${heads} heads and ${neurons} neurons`
  if (words(mask.shape) !== words(shape))
    throw new UsageError('MASK_SHAPE', `mask: expected ${words(shape)}, got ${words(mask.shape)}`)
}

/** One row of a mask. */
export function layerMask(mask: UnitMask, layer: number): LayerMask {
  const { heads, neurons } = mask.shape
  return {
    heads: mask.heads.subarray(layer * heads, (layer + 1) * heads),
    neurons: mask.neurons.subarray(layer * neurons, (layer + 1) * neurons),
  }
}

/**
 * Uploads what one layer's mask means to the kernels. Release it with `freeUnits`.
 * @throws UsageError MASK_VALUE if `skip` meets a number other than 0 and 1
 */
export function compileUnits(
  backend: Backend,
  mask: LayerMask,
  headSize: number,
  mode: MaskMode,
): LayerUnits {
  const { heads, neurons } = mask
  const every = allUnits(heads.length, headSize, neurons.length)
  if (mode === 'simulate')
    return {
      ...every,
      headFactors: backend.upload(heads.slice()),
      neuronFactors: backend.upload(neurons.slice()),
    }
  const chosenHeads = chosenUnits('head', heads)
  const chosenNeurons = chosenUnits('neuron', neurons)
  const channels = chosenHeads.flatMap((head) =>
    Array.from({ length: headSize }, (_, k) => head * headSize + k),
  )
  return {
    ...every,
    heads: uploadList(backend, chosenHeads, heads.length),
    channels: uploadList(backend, channels, heads.length * headSize),
    neurons: uploadList(backend, chosenNeurons, neurons.length),
  }
}

/** Gives the buffers of one layer's units back. */
export function freeUnits(backend: Backend, units: LayerUnits): void {
  for (const buffer of [
    units.heads.list,
    units.channels.list,
    units.neurons.list,
    units.headFactors,
    units.neuronFactors,
  ])
    if (buffer) backend.free(buffer)
}

function chosenUnits(kind: string, mask: Float32Array): number[] {
  const chosen: number[] = []
  for (let unit = 0; unit < mask.length; unit++) {
    if (mask[unit] === 1) chosen.push(unit)
    else if (mask[unit] !== 0)
      throw new UsageError(
        'MASK_VALUE',
        `${kind} mask[${unit}]: expected 0 or 1 to skip by, got ${mask[unit]}`,
      )
  }
  return chosen
}

function uploadList(backend: Backend, chosen: readonly number[], all: number): UnitList {
  if (chosen.length === all) return { list: null, count: all }
  return { list: backend.upload(Int32Array.from(chosen)), count: chosen.length }
}

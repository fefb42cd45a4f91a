/**
 * The norms of the columns that input channels meet: how much a channel may weigh.
 *
 *   norm[i] = sqrt(sum over outputs o of W[o, i]^2)      W: the matrices of a site (masks/channels.ts), one under the other
 *
 * Weights are read as they are stored, widened to float32. Squares are added in float64, matrix by matrix and output by
 * output, so norms are the same on every backend.
 */
import type { Backend } from '../backends/backend.ts'
import { scalesOf, valuesOf } from '../backends/calls.ts'
import { channelSites, type ChannelSite } from '../masks/channels.ts'
import { storedRows, type FloatStorage } from '../tensor/halves.ts'
import { BLOCK, openRow, scaleAt, TILE, unitNumber } from '../tensor/int4.ts'
import type { LoadedModel } from './loaded_model.ts'
import { hasBlocks, storageIn, type Matrix } from './matrix.ts'
import { layerOf, parametersOf } from './plan.ts'
import type { ModelWeights } from './weights.ts'

const { fround, sqrt } = Math

/** Those of models so far; a model's weights do not change while it generates. By layer and site. */
const known = new WeakMap<ModelWeights, Map<number, Float32Array>>()

/** The norms of the columns that the channels of a site of a layer meet: [C]. The first call for a site reads its weights. */
export function columnNorms(model: LoadedModel, layer: number, site: ChannelSite): Float32Array {
  const { weights } = model
  const ofModel = known.get(weights) ?? new Map<number, Float32Array>()
  known.set(weights, ofModel)
  const place = channelSites.length * layer + channelSites.indexOf(site)
  const norms = ofModel.get(place) ?? computeNorms(model, layer, site)
  ofModel.set(place, norms)
  return norms
}

function computeNorms({ plan, weights }: LoadedModel, layer: number, site: ChannelSite): Float32Array {
  const reading = layerOf(plan, layer).steps.filter(({ reads }) => reads?.site === site)
  const squares = new Float64Array(reading[0].value.of[0].width)
  for (const { value } of reading) {
    const isTurned = value.op === 'combine'
    const [{ name }] = parametersOf(value)
    const columns = isTurned ? value.width : squares.length
    const open = rowsIn(weights.layers[layer], weights.matrices.get(name) as Matrix, columns)
    const rows = isTurned ? squares.length : value.width
    for (let row = 0; row < rows; row++) {
      const values = open(row)
      for (let i = 0; i < columns; i++) squares[isTurned ? row : i] += values[i] * values[i]
    }
  }
  return Float32Array.from(squares, sqrt)
}

/** A copy of a matrix on the host, whose rows are widened one at a time: the next one overwrites the last. */
function rowsIn(backend: Backend, matrix: Matrix, columns: number): (row: number) => Float32Array {
  const stored = backend.read(valuesOf(matrix))
  const scales = scalesOf(matrix)
  const values = new Float32Array(columns)
  if (hasBlocks(matrix)) {
    const [, S] = matrix.values.shape
    const [, B] = matrix.scales.shape
    const [factors, blocks] = [backend.readF32(matrix.scales), backend.readI32(matrix.blocks)]
    return (row) => {
      for (let o = 0; o < columns; o++) {
        const at = scaleAt(o, blocks[row], B)
        values[o] = fround(factors[at] * unitNumber(stored as Uint8Array, o, row, S)) + factors[at + TILE]
      }
      return values
    }
  }
  if (scales) {
    const factors = backend.readF32(scales)
    return (row) => {
      for (let i = 0; i < columns; i++) values[i] = factors[row] * (stored as Int8Array)[row * columns + i]
      return values
    }
  }
  const storage = storageIn(matrix)
  if (storage === 'int4') {
    const [, B] = valuesOf(matrix).shape
    return (row) => {
      const { numbers, scales: factors, minima } = openRow(stored as Uint8Array, row, B)
      for (let i = 0; i < columns; i++) {
        const block = Math.floor(i / BLOCK)
        values[i] = fround(factors[block] * numbers[i]) + minima[block]
      }
      return values
    }
  }
  const rows = storedRows(stored as Float32Array | Uint16Array, columns, storage as FloatStorage)
  return (row) => {
    const at = rows.open(row)
    return rows.values.subarray(at, at + columns)
  }
}

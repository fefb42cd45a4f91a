/**
 * The norms of the columns that input channels meet: how much a channel may weigh.
 *
 *   norm[i] = sqrt(sum over outputs o of W[o, i]^2)      W: the matrices of a site (masks/channels.ts), one under the other
 *
 * Weights are read as they are stored, widened to float32. Squares are added in float64, matrix by matrix and output by
 * output, so norms are the same on every backend.
 */
import { channelSites, type ChannelSite } from '../masks/channels.ts'
import type { LoadedModel } from './loaded_model.ts'
import { layerOf, parametersOf } from './plan.ts'
import { storageIn, type Matrix } from './storages/index.ts'
import type { ModelWeights } from './weights.ts'
import { remembered } from '../tensor/records.ts'

const { sqrt } = Math

/** Those of models so far; a model's weights do not change while it generates. By layer and site. */
const known = new WeakMap<ModelWeights, Map<number, Float32Array>>()

/** The norms of the columns that the channels of a site of a layer meet: [C]. The first call for a site reads its weights. */
export function columnNorms(model: LoadedModel, layer: number, site: ChannelSite): Float32Array {
  const ofModel = remembered(known, model.weights, () => new Map())
  const place = channelSites.length * layer + channelSites.indexOf(site)
  return remembered(ofModel, place, () => computeNorms(model, layer, site))
}

function computeNorms({ plan, weights }: LoadedModel, layer: number, site: ChannelSite): Float32Array {
  const reading = layerOf(plan, layer).steps.filter(({ reads }) => reads?.site === site)
  const squares = new Float64Array(reading[0].value.of[0].width)
  for (const { value } of reading) {
    const isTurned = value.op === 'combine'
    const [{ name }] = parametersOf(value)
    const columns = isTurned ? value.width : squares.length
    const matrix = weights.matrices.get(name) as Matrix
    const open = storageIn(matrix).open(weights.layers[layer], matrix, columns)
    const rows = isTurned ? squares.length : value.width
    for (let row = 0; row < rows; row++) {
      const values = open(row)
      for (let i = 0; i < columns; i++) squares[isTurned ? row : i] += values[i] * values[i]
    }
  }
  return Float32Array.from(squares, sqrt)
}

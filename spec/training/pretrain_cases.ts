/**
 * What the tests of training a language model share.
 */
import type { HostTensor } from '../../src/tensor/memory_source.ts'
import { smallCase, type ModelCase } from '../engine/cases.ts'

/** A small model. */
export const someModel: ModelCase = { ...smallCase, layers: 1, headSize: 4, neurons: 9, positions: 6 }

/** The values of a matrix with rows and columns exchanged, under the old shape. */
export function turned({ shape: [rows, columns], values }: HostTensor): Float32Array {
  return values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)])
}

/**
 * What leaving units out can give at most where decoding waits for weights alone, from sizes (src/cost): no measurement.
 */
import { architectureByName } from '../../src/cost/architectures.ts'
import { keptUnits, weightBytes, weightsRead } from '../../src/cost/token_cost.ts'
import { markdownTable } from './table.ts'

const storages = ['int8', 'int4'] as const
/** The last one is every unit but those of layer 0, which is never skipped. */
const shares = [0.5, 0.75, 1] as const

/** A row for each shape and storage: the bytes that a token reads of the weights, and dense bytes over those at each share. */
export function weightsTable(shapes: readonly string[]): string {
  const rows = shapes.flatMap((name) => {
    const model = architectureByName(name)
    return storages.map((storage) => {
      const bytesAt = (share: number): number => weightBytes(model, keptUnits(model, share), storage)
      const { matrix, table } = weightsRead(model, keptUnits(model, 0))
      const head = `${((100 * table) / (matrix + table)).toFixed(0)} %`
      const ratios = shares.map((share) => (bytesAt(0) / bytesAt(share)).toFixed(2))
      return [name, head, storage, `${(bytesAt(0) / 1e6).toFixed(0)} MB`, ...ratios]
    })
  })
  const at = ['half skipped: times dense at most', 'three quarters', 'all but layer 0']
  return markdownTable(['shape', 'head, of the weights', 'storage', 'read for a token', ...at], rows)
}

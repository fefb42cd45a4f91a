/**
 * Parameters of a loaded model by what they do.
 */
import type { LoadedModel } from '../../src/engine/loaded_model.ts'
import type { Matrix } from '../../src/engine/storages/index.ts'
import { moduleName, type Module } from '../../src/verify/model/modules.ts'

/** A module's matrix as a loaded model holds it. */
export function heldMatrix({ config, weights }: LoadedModel, layer: number, module: Module): Matrix {
  return weights.matrices.get(`${moduleName(config, layer, module)}.weight`) as Matrix
}

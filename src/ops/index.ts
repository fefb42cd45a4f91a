/**
 * shadowllm/ops: the catalogue and what ops are made of. A kernel has its definition as `reference`.
 *
 * @module
 */
export { catalog, kernelNames, kernels, kernelsOf, opNames, type KernelName, type OpName } from './catalog.ts'
export { NOT_SCORED } from './cross_entropy.ts'
export {
  arrayTypes,
  type Agreement,
  type ArrayParam,
  type Dtype,
  type GradientRule,
  type Kernel,
  type Numbers,
  type Op,
  type Param,
  type Relaxed,
  type ScalarParam,
  type SizeParam,
  type Sizes,
  type Stored,
} from './op.ts'
export type { MatrixDtype } from './contracts/copy_rows.ts'
export type { FloatStorage } from '../tensor/halves.ts'

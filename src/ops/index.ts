/**
 * shadowllm/ops: the catalogue and what its rows are made of. A row has the definition of its operation as `reference`.
 */
export { catalog, opNames, opRow, type OpName } from './catalog.ts'
export { NOT_SCORED } from './cross_entropy.ts'
export {
  arrayTypes,
  type Agreement,
  type ArrayParam,
  type Dtype,
  type GradientRule,
  type Numbers,
  type Op,
  type Param,
  type Relaxed,
  type ScalarParam,
  type SizeParam,
  type Sizes,
} from './op.ts'

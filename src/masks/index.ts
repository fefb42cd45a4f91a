/**
 * shadowllm/masks: masks, budgets, selection and planners.
 *
 * @module
 */
export { achievedSparsity, type AchievedSparsity, type LayerSizes, type Sparsity } from './achieved.ts'
export type { ChannelMask, ChannelSite } from './channels.ts'
export { makeBudget, scopes, unitsKept, type Budget, type Scope } from './budget.ts'
export { denseMask, makeMask, type UnitMask, type UnitShape } from './mask.ts'
export { readMask } from './mask_file.ts'
export { maskOverlap, setOverlap, type Overlap } from './overlap.ts'
export {
  givenMask,
  prefills,
  type LayerMask,
  type MaskPlanner,
  type Prefill,
  type PromptEnd,
  type PromptView,
  type PlannerSettings,
  type PlannerBy,
} from './planner.ts'
export { selectLayer, selectMask, type LayerScores, type UnitScores, type TopK } from './selection.ts'
export type { Compensation, Estimate, Folded, FoldedMatrix, SoftUnits } from './compensation.ts'

/**
 * shadowllm, the library: load a model of OPT or the Llama family, generate and score text with most of its heads and neurons skipped.
 *
 * Begin with `ShadowModel`. The other exports are for your own planners: their input, their output, and the selection of masks
 * from scores within a budget.
 *
 * @module
 */
export { collectText, type WholeText } from './collect_text.ts'
export { embeddedName } from '../io/find_model.ts'
export { ShadowModel } from './shadow_model.ts'
export type { TextSession } from './text_session.ts'
export type {
  BatchInput,
  ChatOptions,
  GenerateOptions,
  GenerateStep,
  MaskOptions,
  OpenOptions,
  OpenProgress,
  Perplexity,
} from './options.ts'
export {
  generationPlanners,
  type GenerationPlanner,
  type PlannerChoice,
  type PlanOptions,
  type UsualPlanner,
} from './planner_options.ts'
export { backendNames, type BackendName } from '../backends/backend.ts'
export { allowWide } from '../backends/select.ts'
export type { MeasuredModel, NamedModel } from '../results/provenance.ts'
export type { HubOrigin, HubOptions, DownloadProgress } from '../io/hub.ts'
export type { ChatMessage, ChatPrompt } from '../io/chat_prompt.ts'
export type { Tokenizer, TextStream, DecodeOptions, EncodeOptions } from '../io/tokenizer.ts'
export { achievedSparsity, type AchievedSparsity, type LayerSizes, type Sparsity } from '../masks/achieved.ts'
export type { ChannelMask, ChannelSite } from '../masks/channels.ts'
export { makeBudget, type Budget, type Scope } from '../masks/budget.ts'
export type { CompensationName } from '../masks/compensation.ts'
export { denseMask, makeMask, type UnitMask, type UnitShape } from '../masks/mask.ts'
export { maskOverlap, setOverlap, type Overlap } from '../masks/overlap.ts'
export {
  givenMask,
  type LayerMask,
  type MaskPlanner,
  type Prefill,
  type PromptEnd,
  type PromptView,
  type ByAttention,
  type ByPrompt,
  type ByGate,
  type ByChannels,
} from '../masks/planner.ts'
export { selectMask, type UnitScores } from '../masks/selection.ts'
export type { ModelConfig } from '../engine/config.ts'
export type { GenerateEnd, PromptRun, TextRun } from '../engine/generate.ts'
export type { CheckCounts } from '../engine/next_tokens.ts'
export type { CacheStorage } from '../engine/layer_cache.ts'
export type { MaskMode } from '../engine/active_layer.ts'
export { plannerNames, type PlannerName } from '../planners/index.ts'
export { randomPlanner } from '../planners/random.ts'
export { staticPlanner } from '../planners/static.ts'
export { rankingOf, type Ranking, type RankingPlanner } from '../planners/ranking.ts'
export {
  HubError,
  InputError,
  MissingError,
  ShadowError,
  UsageError,
  type ErrorDetails,
} from '../tensor/errors.ts'
export type { FloatArray, Ids, IdTable } from '../tensor/ndarrays.ts'
export type { ChatTemplate } from '../io/chat_template.ts'
export type { Vocabulary, Spelling, PatternName } from '../io/vocabulary.ts'
export type { ChatChoice, SessionSettings } from './session_file.ts'
export type { TemplateVariables } from '../io/template_variables.ts'
export type { ScoredPieces } from '../io/piece_merges.ts'

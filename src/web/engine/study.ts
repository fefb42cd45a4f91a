/**
 * A study: it generates a sparse and then a dense text, measures their divergence and the speed of both models, and records the
 * scores behind the masks.
 * It computes what the page shows and does not depend on the page. KL(dense || sparse) compares distributions after the same tokens,
 * so the dense model then reads the sparse text.
 */
import { logitsDivergence } from '../../engine/divergence.ts'
import { generateTokens } from '../../engine/generate.ts'
import { withSequence, type LanguageModel } from '../../engine/language_model.ts'
import { makeSampler } from '../../engine/sampling.ts'
import { storageNamed } from '../../engine/storages/index.ts'
import { criterionByName } from '../../criteria/index.ts'
import { backendTopK, selectMask, type UnitScores } from '../../masks/selection.ts'
import { denseMask, type UnitMask, type UnitShape } from '../../masks/mask.ts'
import { givenMask, type MaskPlanner, type PromptEnd, type PromptView } from '../../masks/planner.ts'
import { measureRounds } from './speed_rounds.ts'
import { budgetOf } from '../../library/planner_options.ts'
import { scoreContinuation } from '../../planners/prompt_plainact.ts'
import { oraclePlanner } from '../../planners/oracle.ts'
import { rankingOf } from '../../planners/ranking.ts'
import type { ShadowModel } from '../../library/shadow_model.ts'
import { UsageError } from '../../tensor/errors.ts'
import { pause } from '../../platform/pause.ts'
import { switchesInText, switchUnits, type UnitSwitch } from './unit_switches.ts'
import type { StudyEnd, StudyEvent, StudyOptions, StudyStep } from './study_types.ts'

/** The default number of tokens. */
const DEFAULT_TOKENS = 48

/**
 * Continues a prompt.
 * @throws UsageError CONTEXT_LENGTH, PLANNER for a planner that does not rank, TEMPERATURE, and what `ShadowModel.planner` and `encode`
 *   throw; the signal's reason
 */
export async function* study(
  opt: ShadowModel,
  prompt: string,
  options: StudyOptions = {},
): AsyncGenerator<StudyEvent, StudyEnd, void> {
  const { signal, compares = true } = options
  const { model } = opt
  const ids = Int32Array.from(opt.encode(prompt, { prefix: true }))
  const maxTokens = tokenLimit(opt, ids, options.maxTokens ?? DEFAULT_TOKENS)
  const decided: UnitScores[] = []
  const asked = await plannerOf(opt, ids, maxTokens, options)
  const ranking = rankingOf(asked)
  const { layers, heads, neurons } = model.config
  const shape = { layers, heads, neurons }
  const switches = switchesInText(options.switches ?? [], shape, ranking?.budget.denseLayers ?? null)
  const planner = asked
    ? recording(opt, asked, { ...options, switches }, (scores) => decided.push(scores))
    : switchedPlanner(shape, switches)
  yield {
    kind: 'start',
    prompt: ids,
    pieces: piecesOf(opt, ids),
    ranks: ranking?.criterion ?? null,
    denseLayers: ranking?.budget.denseLayers ?? model.config.layers,
    switches,
  }

  await pause(signal)
  const logits: Float32Array[] = []
  const tokens: number[] = []
  const sparse = textOf(opt, ids, { ...options, maxTokens, planner })
  for await (const { logits: from, index, token, text } of sparse) {
    if (compares) logits.push(from)
    tokens.push(token)
    const scores = decided.pop() ?? null
    yield { kind: 'step', index, token, text, scores }
  }

  const denseTokens: number[] = []
  let divergence: number | null = null
  const dense = textOf(opt, ids, { ...options, maxTokens: compares ? tokens.length : 0, planner: null })
  for await (const { index, token, text } of dense) {
    denseTokens.push(token)
    if (token !== tokens[index]) divergence ??= index
    yield { kind: 'dense', index, token, text, divergence }
  }
  if (compares && denseTokens.length < tokens.length) divergence ??= denseTokens.length

  await pause(signal)
  const kl = compares ? divergences(model, ids, tokens, logits) : null
  await pause(signal)
  // What activations are rounded for has no gradients.
  const isRounded = storageNamed(model.weights.storage).roundsActivations
  const oracleScores = isRounded ? null : oracleScoresOf(opt, ids, compares ? denseTokens : tokens, options)
  yield { kind: 'compared', kl, divergence, oracleScores }
  return { rounds: compares ? await measureRounds(model, ids, tokens, planner, signal) : null }
}

/** One token of a text, and the logits that it was chosen from: [V]. */
interface WrittenToken extends Pick<StudyStep, 'index' | 'token' | 'text'> {
  readonly logits: Float32Array
}

/** Generates one text to its end. */
async function* textOf(
  { model, tokenizer }: ShadowModel,
  prompt: Int32Array,
  { temperature, seed, signal, maxTokens, planner }: TextOptions,
): AsyncGenerator<WrittenToken, void, void> {
  if (maxTokens === 0) return
  const texts = tokenizer?.stream({ skipSpecial: true })
  const sampler = makeSampler({ temperature, seed })
  for await (const chosen of generateTokens(model, prompt, { maxTokens, planner, sampler, signal }))
    yield { ...chosen, text: texts?.push(chosen.token) ?? `${chosen.token} ` }
}

/** The inputs of a text. */
interface TextOptions extends Pick<StudyOptions, 'temperature' | 'seed' | 'signal'> {
  readonly maxTokens: number
  readonly planner: MaskPlanner | null
}

/** How many tokens can be generated: each needs a position. */
function tokenLimit({ config }: ShadowModel, ids: Int32Array, wanted: number): number {
  if (!Number.isInteger(wanted) || wanted < 1)
    throw new UsageError('MAX_TOKENS', `maxTokens: expected a whole number from 1, got ${wanted}`)
  if (ids.length >= config.positions)
    throw new UsageError(
      'CONTEXT_LENGTH',
      `prompt: expected at most ${config.positions - 1} tokens, got ${ids.length}`,
    )
  return Math.min(wanted, config.positions - ids.length)
}

/** The criterion's scores of the continuation of a prompt; null if it is empty. */
function oracleScoresOf(
  { model }: ShadowModel,
  prompt: Int32Array,
  continuation: readonly number[],
  { criterion = 'plainact', seed }: StudyOptions,
): UnitScores | null {
  if (continuation.length === 0) return null
  return scoreContinuation(model, prompt, continuation, criterionByName(criterion), seed)
}

/** The requested planner; null for dense. The oracle gets the text of the dense model. */
async function plannerOf(
  opt: ShadowModel,
  ids: Int32Array,
  maxTokens: number,
  options: StudyOptions,
): Promise<MaskPlanner | null> {
  const { planner = 'shadow', sparsity, scope, criterion, seed, temperature, signal } = options
  const choice = { sparsity, scope, criterion, seed }
  if (planner !== 'oracle') return opt.planner({ planner, ...choice })
  const dense: number[] = []
  const written = opt.generate(ids, { maxTokens, temperature, seed, signal })
  for await (const { token } of written) dense.push(token)
  const oracleScores = oracleScoresOf(opt, ids, dense, options)
  return oracleScores && oraclePlanner(oracleScores, budgetOf(choice), backendTopK(opt.model.backend))
}

/** What decides nothing but these switches; null for none. */
function switchedPlanner(shape: UnitShape, switches: readonly UnitSwitch[]): MaskPlanner | null {
  return switches.length === 0 ? null : givenMask(switchUnits(denseMask(shape), switches), null)
}

/** The same planner with units switched in each mask, and a callback for the scores of each decision. */
function recording(
  { model }: ShadowModel,
  planner: MaskPlanner,
  { decides = 'once', switches = [] }: StudyOptions,
  onScores: (scores: UnitScores) => void,
): MaskPlanner {
  const ranking = rankingOf(planner)
  if (!ranking)
    throw new UsageError(
      'PLANNER',
      `planner: expected one that ranks all units at once, got ${planner.name}, which decides layer by layer`,
    )
  const topK = backendTopK(model.backend)
  const decide = (view: PromptView | PromptEnd): UnitMask => {
    const scores = ranking.scores(view)
    onScores(scores)
    return switchUnits(selectMask(scores, ranking.budget, topK), switches)
  }
  return { ...planner, every: decides === 'always' ? 1 : undefined, choose: decide } as MaskPlanner
}

/** The text of each token of a prompt; that of `</s>` is empty. */
function piecesOf({ tokenizer }: ShadowModel, ids: Int32Array): string[] {
  const stream = tokenizer?.stream({ skipSpecial: true })
  return Array.from(ids, (id) => stream?.push(id) ?? `${id} `)
}

/**
 * KL(dense || sparse) of each token's distribution, in nats: [N].
 * @param tokens the sparse text [N] @param logits what each of its tokens was chosen from: N of [V]
 */
function divergences(
  model: LanguageModel,
  prompt: Int32Array,
  tokens: readonly number[],
  logits: readonly Float32Array[],
): number[] {
  if (tokens.length === 0) return []
  const { vocabulary: V } = model.config
  return withSequence(model, { capacity: prompt.length + tokens.length }, (sequence) => {
    const first = sequence.feed(prompt, 'last')
    const read = Int32Array.from(tokens.slice(0, -1))
    const rest = read.length > 0 ? sequence.feed(read, 'all') : new Float32Array(0) // [N - 1, V]
    return logits.map((sparse, i) =>
      logitsDivergence(i === 0 ? first : rest.subarray((i - 1) * V, i * V), sparse),
    )
  })
}

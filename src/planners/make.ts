/**
 * Makes the planner of a name, and refuses what it cannot do.
 */
import { expectGradients } from '../engine/backward.ts'
import { makeBudget, type Budget } from '../masks/budget.ts'
import type { Compensation } from '../masks/compensation.ts'
import { prefillOption, ways, type MaskPlanner, type Prefill } from '../masks/planner.ts'
import { referenceTopK } from '../masks/selection.ts'
import { SHIFT_DISTANCE, SHIFT_WINDOW } from '../masks/shift.ts'
import { MissingError, UsageError } from '../tensor/errors.ts'
import { expectOption } from '../tensor/option.ts'
import { defaultEvery, needs, plannerOf, type Every, type PlannerName } from './index.ts'
import type { PlannerSources } from './record.ts'

/** When and from what a planner decides. */
export interface PlannerOptions {
  /** Default: `defaultEvery`. */
  readonly every?: Every
  /** Whether the prompt runs dense, or under the mask; default `defaultPrefill`. */
  readonly prefill?: Prefill
  /**
   * Decide from the whole text that is scored, not only the prompt, as for the published numbers. `leakyMask` computes such
   * a mask before the text runs; a sequence refuses such a planner.
   */
  readonly leaky?: boolean
  /** What takes the place of what is skipped; default zeros. One that sees the prompt runs it dense where nothing else is said. */
  readonly compensation?: Compensation
  /** Select as the paper's code does: `policy: 'paper-compatible'` with its floors, which replace those of the budget. */
  readonly paperCompatible?: boolean
}

/**
 * Makes a planner by its name, for a model without a `ShadowModel` around it; with one, `ShadowModel.planner` knows the sources. What it
 * gives is the `planner` of `generate`, `generateTokens`, `forwardBatch` and `promptMask`; null for dense, which needs none.
 * @param name such as `shadow`; `shadowllm generate --help` lists them
 * @throws MissingError PLANNER_SOURCE if its input is missing; UsageError PREFILL, also for a prompt that cannot run so:
 *   masked where the planner decides when it has run or a compensation sees it, dense where it is leaky; EVERY for a planner that
 *   cannot decide again; STORAGE for one that needs gradients where the weights have none; COMPENSATE for one that decides about each token by itself
 * @example
 * ```ts
 * import { makeBudget, ShadowModel } from 'shadowllm'
 * import { makePlanner, promptMask } from 'shadowllm/predictor'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const prompt = Int32Array.from(opt.encode('Once upon a time, there was', { prefix: true }))
 * const planner = makePlanner('prompt-plainact', { model: opt.model }, makeBudget(0.5))
 * if (planner) console.log(promptMask(opt.model, planner, prompt).heads)
 * await opt.dispose()
 * ```
 */
export function makePlanner(
  name: PlannerName,
  sources: PlannerSources,
  budget: Budget,
  options: PlannerOptions = {},
): MaskPlanner | null {
  const { leaky, paperCompatible, compensation } = options
  const { every, prefill } = expectWays(name, options)
  if (needs(name, 'prompt-loss')) expectGradients(sources.model, `planner ${name}`)
  const { topK = referenceTopK } = sources
  const ranksRead = prefill === 'dense' && every === 'once'
  const planner = plannerOf(name).make(
    { ...sources, topK },
    paperCompatible ? paperCompatibleBudget(budget) : budget,
    ranksRead,
  )
  if (planner === null) return null
  if (every === 'auto' && planner.by !== 'attention')
    throw refusal(
      name,
      'EVERY',
      'once or a number of tokens, because it does not read the attention of a source layer',
      'auto',
    )
  return {
    ...planner,
    ...(every === 'auto'
      ? { every: SHIFT_WINDOW, shift: SHIFT_DISTANCE }
      : { every: every === 'once' ? undefined : every }),
    ...(prefill && { prefill }),
    ...(leaky && { leaky }),
    ...(compensation && { compensation }),
  }
}

/**
 * Refuses what the planner of a name cannot do, whatever it decides by; nothing is read or made.
 * @returns when it decides and how the prompt runs, where that is not left to the planner
 * @throws UsageError PREFILL, EVERY, COMPENSATE, as `makePlanner`
 */
export function expectWays(
  name: PlannerName,
  options: Pick<PlannerOptions, 'every' | 'prefill' | 'leaky'> & {
    readonly compensation?: Pick<Compensation, 'seesPrompt'>
  },
): { readonly every: Every; readonly prefill: Prefill | undefined } {
  const { every = defaultEvery(name), leaky, compensation } = options
  const { prefill = compensation?.seesPrompt ? 'dense' : undefined } = options
  const refuse = (code: string, expected: string, got: string): never => {
    throw refusal(name, code, expected, got)
  }
  if (prefill !== undefined) expectOption('prefill', prefill, prefillOption)
  if (leaky && prefill === 'dense')
    refuse('PREFILL', 'a masked prefill, because a leaky mask is known before the prompt runs', 'a dense one')
  const record = plannerOf(name)
  if (leaky && record.by === 'channels')
    refuse(
      'PREFILL',
      'a dense prefill, because it chooses input channels token by token',
      'a leaky mask, which is known before the prompt runs',
    )
  if (record.by !== null && ways[record.by].seesPrompt) {
    if (prefill === 'masked')
      refuse('PREFILL', 'a dense prefill, because it decides when the prompt has run', 'a masked one')
    if (every !== defaultEvery(name)) {
      const asked = every === 'auto' ? 'one wherever attention shifts' : `one every ${every} tokens`
      if (record.by === 'prompt') refuse('EVERY', 'one decision, when the prompt has run', asked)
      refuse('EVERY', 'a decision at every token', every === 'once' ? 'one' : asked)
    }
  }
  if (compensation && (record.by === 'gate' || record.by === 'channels'))
    refuse('COMPENSATE', 'no compensation, because its mask is that of one token', 'one')
  if (compensation?.seesPrompt && prefill === 'masked')
    refuse('PREFILL', 'a dense prefill, because the prompt has a share in its compensation', 'a masked one')
  return { every, prefill }
}

/** For a planner of mean scores without any. */
export function calibrationMissing(planner: string): MissingError {
  return new MissingError(
    'CALIBRATION_MISSING',
    `planner ${planner}: expected a calibration, got none; "shadowllm calibrate" makes one, --calibration or loadCalibration reads it`,
  )
}

/** For a planner without its predictor. @param place where else none was found */
export function predictorMissing(planner: string, place = ''): MissingError {
  return new MissingError(
    'PREDICTOR_MISSING',
    `planner ${planner}: expected a predictor of its kind, got none${place}; "shadowllm train" makes one, --predictor or loadPredictor reads it`,
  )
}

function refusal(planner: PlannerName, code: string, expected: string, got: string): UsageError {
  return new UsageError(code, `planner ${planner}: expected ${expected}, got ${got}`, {
    option: code.toLowerCase(),
  })
}

/** The same sparsities, scope and dense layers under the paper-compatible policy, with its floors. */
function paperCompatibleBudget({ headSparsity, neuronSparsity, scope, denseLayers }: Budget): Budget {
  return makeBudget(headSparsity, { neuronSparsity, scope, denseLayers, policy: 'paper-compatible' })
}

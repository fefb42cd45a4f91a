/**
 * Choice tasks as shards: a few questions under all configurations. The result is JSON, for each question a list of the
 * answers under every configuration.
 *
 *   settings   model, ...      what both sides agree on, see shard_model.ts
 *              configurations  planners, sparsities, and how planners choose
 *              mode            how a mask is carried out
 *              seeds           of each question's random masks
 *   files      questions       see questions.ts
 *              static          the mean scores that the static planner ranks by
 *              shadow, ...     a predictor for each planner that asks one
 */
import * as v from 'valibot'
import { criteria, criterionByName } from '../../criteria/index.ts'
import type { PlainJson } from '../../io/canonical_json.ts'
import { refusal } from '../../io/refusal.ts'
import { checkSchema, numberBetween, seedNumber, wholeNumber } from '../../io/schema.ts'
import type { Shard, ShardContext } from '../../jobs/shard.ts'
import type { ShardStore } from '../../jobs/shard_store.ts'
import { scopes, type Scope } from '../../masks/budget.ts'
import { backendTopK, type UnitScores } from '../../masks/selection.ts'
import { maskModes, type MaskMode } from '../../engine/active_block.ts'
import type { OptModel } from '../../engine/opt_model.ts'
import { plannerNames, type PlannerName, type PlannerOptions } from '../../predictor/planners.ts'
import { encodePredictor, parsePredictor, type Predictor } from '../../predictor/predictor_file.ts'
import { checkPredictor, kindsNeeded, predictorOf } from '../../predictor/suitable.ts'
import { Configurations, type ConfigurationOptions } from '../configurations.ts'
import type { AskedTokens } from '../../data/tasks/prompts.ts'
import { answerInRows, type Answer } from '../tasks/score.ts'
import { encodeUnits, parseUnits } from '../../calibration/job_inputs.ts'
import { encodeAnswers, encodeQuestions, parseQuestions } from './questions.ts'
import { agreementOf, checkAgreement, type ShardModel } from '../../jobs/shard_model.ts'

/** What a shard of this file is called. */
export const askKind = 'ask'

/** Some questions, and the seed of each one's random masks. */
export interface AskedPiece {
  readonly questions: readonly AskedTokens[]
  readonly seeds: readonly number[]
}

/** How all of them are asked. */
export interface AskSubject {
  readonly model: ShardModel
  readonly configurations: Configurations
  readonly mode?: MaskMode
}

/** The shards of these pieces, whose files are put into the store. */
export async function askShards(
  { model, configurations, mode = 'auto' }: AskSubject,
  pieces: readonly AskedPiece[],
  store: ShardStore,
): Promise<Shard[]> {
  const { options } = configurations
  const deciders: Record<string, string> = {}
  for (const [name, bytes] of decidersOf(options)) deciders[name] = await store.add(bytes)
  const settings = { ...agreementOf(model, 'all'), configurations: describe(options), mode }
  const shards: Shard[] = []
  for (const { questions, seeds } of pieces)
    shards.push({
      kind: askKind,
      settings: { ...settings, seeds },
      files: { ...deciders, questions: await store.add(encodeQuestions(questions)) },
    })
  return shards
}

/** What planners decide by, as files. What is needed is there, or there were no such configurations. */
function decidersOf({ planners, sources }: ConfigurationOptions): [name: string, bytes: Uint8Array][] {
  const { mean, shadow, dejavuStyle: style, dejavu } = sources
  const predictors = { shadow, 'dejavu-style': style, dejavu }
  const files = kindsNeeded(planners).map((kind): [string, Uint8Array] => [
    kind,
    encodePredictor(predictors[kind] as Predictor),
  ])
  return planners.includes('static') ? [...files, ['static', encodeUnits(mean as UnitScores)]] : files
}

/** Configurations as data. What predictors learnt from is a word in a table, and no answer depends on it. */
interface Description extends PlannerOptions {
  readonly planners: readonly PlannerName[]
  readonly sparsities: readonly number[]
  readonly scope: Scope
  readonly criterion: string
}

function describe(options: ConfigurationOptions): PlainJson {
  const { planners, sparsities, scope, criterion, every, leaky = false, released = false } = options
  return {
    planners: planners.filter((name) => name !== 'dense'),
    sparsities,
    scope,
    criterion: criterion.name,
    leaky,
    released,
    // None at all is the planner's own way, and not the same as null.
    ...(every !== undefined && { every }),
  }
}

/** What is read of a shard's settings. */
const settingsSchema = v.object({
  configurations: v.object({
    planners: v.array(v.picklist(plannerNames.filter((name) => name !== 'dense'))),
    sparsities: v.array(numberBetween(0, 1)),
    scope: v.picklist(scopes),
    criterion: v.picklist(criteria.map(({ name }) => name)),
    leaky: v.boolean(),
    released: v.boolean(),
    every: v.optional(v.nullable(wholeNumber(1, Number.MAX_SAFE_INTEGER))),
  }),
  mode: v.picklist(maskModes),
  seeds: v.array(seedNumber),
})

/**
 * Does such a shard.
 * @throws InputError SHARD_MODEL for one of another model, method, bits or storage; SHARD_FORMAT, PREDICTOR_MODEL and the
 *   like for settings or files that are not what they should be; LIKELIHOOD as `encodeAnswers`; the signal's reason
 */
export async function doAsk(
  shard: Shard,
  context: ShardContext,
  ours: ShardModel,
): Promise<Uint8Array<ArrayBuffer>> {
  checkAgreement(ours, 'all', shard.settings)
  const { model } = ours
  const about = { code: 'SHARD_FORMAT', subject: 'shard' }
  const { configurations: description, mode, seeds } = checkSchema(settingsSchema, shard.settings, about)
  const questions = parseQuestions(await context.read('questions'), model.config)
  if (seeds.length !== questions.length)
    throw refusal('SHARD_FORMAT', 'shard seeds', `${questions.length}`, `${seeds.length}`)
  return withSources(description, context, model, async (sources) => {
    const { signal, onProgress } = context
    const criterion = criterionByName(description.criterion)
    const configurations = new Configurations({ ...description, criterion, learnt: {}, sources })
    const answers: Answer[][] = []
    for (const [i, question] of questions.entries()) {
      const row = { configurations, maskSeed: seeds[i], mode, signal }
      answers.push(await answerInRows(model, question, row))
      onProgress?.({ done: answers.length, total: questions.length })
    }
    return encodeAnswers(answers)
  })
}

/** Reads what planners decide by, works with it and gives it back. */
async function withSources<T>(
  { planners }: Description,
  { read }: ShardContext,
  model: OptModel,
  work: (sources: ConfigurationOptions['sources']) => Promise<T>,
): Promise<T> {
  const predictors: Predictor[] = []
  try {
    for (const kind of kindsNeeded(planners)) {
      const predictor = await parsePredictor(await read(kind), model.backend)
      predictors.push(predictor)
      if (predictor.kind !== kind)
        throw refusal('SHARD_FORMAT', 'shard predictor', `one of the kind ${kind}`, predictor.kind)
      checkPredictor(predictor, model.config, `shard predictor ${kind}`)
    }
    const mean = planners.includes('static') ? await parseUnits(await read('static'), model.shape) : undefined
    return await work({
      model,
      topK: backendTopK(model.backend),
      mean,
      shadow: predictorOf('shadow', predictors),
      dejavuStyle: predictorOf('dejavu-style', predictors),
      dejavu: predictorOf('dejavu', predictors),
    })
  } finally {
    for (const predictor of predictors) predictor.dispose()
  }
}

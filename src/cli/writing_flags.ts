/**
 * The flags of commands that write text: how tokens are drawn, and how many.
 */
import type { Command } from 'commander'
import { maxTokensOption } from '../engine/generate.ts'
import { fillSampling, samplingNames, samplingOptions, type SamplerOptions } from '../engine/sampling.ts'
import { choiceOf, generationOption, type GenerationPlanner } from '../library/planner_options.ts'
import { flagName } from './flag_name.ts'
import { addFlags, groups, type ModelFlags, type SharedFlags } from './flags.ts'
import { addCompensationFlags, addPlanFlags, checkPredictors, type PlanFlags } from './planner_flags.ts'
import { isThere } from '../io/files.ts'
import { variablesOption, type TemplateVariables } from '../io/template_variables.ts'
import { expectTemplate, type ChatOptions } from '../library/options.ts'
import type { ChatChoice } from '../library/session_file.ts'
import type { ShadowModel } from '../library/shadow_model.ts'
import type { TextSession } from '../library/text_session.ts'
import { checkOutput, whileWriting } from './output.ts'
import { addOwnFlags, type FlagRow, text } from './values.ts'
import { countOf } from './words.ts'
import { UsageError } from '../tensor/errors.ts'
import { wholeOption, type OptionRecord } from '../tensor/option.ts'

/** Of a chat at a terminal: greedy answers of a small model repeat themselves. */
const TERMINAL_TEMPERATURE = 0.7

/** The options of how tokens are drawn, the seed apart. */
export type Drawing = Omit<SamplerOptions, 'seed'>

/** What a command that writes text is given; `withSampling` has the default of the temperature. */
export interface WritingFlags
  extends ModelFlags, PlanFlags, Drawing, SharedFlags<'every' | 'mode' | 'cache'> {
  readonly planner: GenerationPlanner
  readonly maxTokens?: number
  /** The system message of a chat. */
  readonly system?: string
  /** Variables of the chat template. */
  readonly chatTemplateKwargs?: TemplateVariables
  /** The file of a session. */
  readonly session?: string
  /** What flags name of what a saved chat keeps. */
  readonly named?: readonly (keyof ChatChoice)[]
}

/** What a saved chat keeps, by the names of flags. */
const shareNames: readonly (keyof ChatChoice)[] = ['sparsity', 'headSparsity', 'neuronSparsity']
const choiceNames: readonly (keyof ChatChoice)[] = ['planner', ...shareNames, 'maxTokens', ...samplingNames]

/** The flags of how tokens are drawn: the first decides whether they are. */
export const drawingRows: readonly (readonly [flag: string, words: string, option: OptionRecord])[] =
  Object.entries({
    temperature: `<number> 0 is greedy, above 0 tokens are drawn by --seed (default: 0 in generate, with --chat too; in the command chat at a terminal the model's own, or ${TERMINAL_TEMPERATURE})`,
    topK: "<count> draw among this many tokens only (default: the model's own, or all)",
    topP: "<share> draw among the likeliest tokens that hold this share together (default: the model's own, or 1)",
    minP: "<share> draw among tokens at least so many times as likely as the likeliest (default: the model's own, or 0)",
    repetitionPenalty: "<number> above 1: earlier tokens are drawn less (default: the model's own, or 1)",
    presencePenalty: '<number> above 0: tokens that were written are drawn less (default: 0)',
    frequencyPenalty: '<number> above 0: tokens are drawn less each time they were written (default: 0)',
    logitBias: '<json> what is added to the logits of tokens, by id, such as {"42":-100} (default: nothing)',
  } satisfies Record<keyof Drawing, string>).map(([name, words]) => {
    const [value] = words.split(' ', 1)
    return [
      `${flagName(name)} ${value}`,
      words.slice(value.length + 1),
      samplingOptions[name as keyof Drawing],
    ]
  })

const [temperatureRow, ...otherRows] = drawingRows

/**
 * Adds the flags.
 * @param maxTokens how the default limit is described
 * @param own flags of one command
 * @param model which model it needs
 * @param limit which limits of tokens it takes
 */
export function addWritingFlags(
  command: Command,
  maxTokens: string,
  own: readonly FlagRow[],
  model: 'model' | 'chatModel' = 'model',
  limit: OptionRecord<number> = maxTokensOption,
): Command {
  addPlanFlags(addFlags(command, model), generationOption, 'dense')
  addOwnFlags(command, [
    ['--max-tokens <count>', `how many tokens at most (default: ${maxTokens})`, limit],
    temperatureRow,
    ...own,
    [
      '--session <file>',
      'go on with the text or chat of this file, if there is one, and save it there (default: nothing is saved)',
    ],
  ])
  addFlags(addCompensationFlags(command), 'every', 'prefill', 'check')
  addOwnFlags(command, otherRows, groups.sampling)
  command.hook('preAction', (_, called) => {
    const named = choiceNames.filter((name) => called.getOptionValueSource(name) === 'cli')
    called.setOptionValue('named', named)
  })
  return addFlags(command, 'backend', 'fileStorage', 'threads', 'mode', 'cache', 'json', 'quiet')
}

/** How long an answer of a chat may be: without a token there is none. */
export const answerLimit: OptionRecord<number> = wholeOption('MAX_TOKENS', 1)

/**
 * Refuses a session that cannot be read or written, and predictors that are none, before a model is read.
 * @throws UsageError OUTPUT; InputError as `checkSessionFile` and `learntUse`
 */
export async function checkFiles({ session, predictor }: WritingFlags): Promise<void> {
  await checkPredictors(predictor)
  if (session === undefined) return
  await checkOutput(session)
  if (!(await isThere(session))) return
  const { checkSessionFile } = await import('../library/session_file.ts')
  await checkSessionFile(session)
}

/** The session of the file that is asked for. @param isChat whether it is to be a chat's @throws what `ShadowModel.openSession` throws */
export async function openSession(
  opt: ShadowModel,
  { session, cache }: WritingFlags,
  isChat: boolean,
): Promise<TextSession | undefined> {
  return session === undefined ? undefined : opt.openSession(session, isChat ? { cache } : undefined)
}

/**
 * The flags with the planner, the shares, the limit of tokens and the settings of drawing of a saved chat, where flags name no others. As in the chat itself, `--sparsity` replaces all
 * shares; after a dense answer a share alone means the usual planner.
 */
export function resumed<Flags extends WritingFlags>(flags: Flags, saved: TextSession | undefined): Flags {
  const choice = saved?.choice
  if (!choice) return flags
  const { named = [] } = flags
  const isReplaced = (name: keyof ChatChoice): boolean => {
    if (named.includes(name)) return true
    if (name === 'planner') return choice.planner === 'dense' && named.some((one) => shareNames.includes(one))
    return shareNames.includes(name) && named.includes('sparsity')
  }
  const kept = choiceNames.filter((name) => choice[name] !== undefined && !isReplaced(name))
  return {
    ...flags,
    ...Object.fromEntries(kept.map((name) => [name, choice[name]])),
    isPlannerImplied: flags.isPlannerImplied && !kept.includes('planner'),
  }
}

/** Saves a session, if there is one and something to save. @throws UsageError OUTPUT if the system refuses */
export async function saveSession(session: TextSession | undefined): Promise<void> {
  if (session) await whileWriting(session.path, () => session.save())
}

/**
 * Refuses a chat without a template.
 * @throws UsageError CHAT_TEMPLATE_MISSING where no model is named, as the embedded one has none; InputError as `expectTemplate`
 */
export function expectChat({ name, chatTemplate }: ShadowModel, { model }: WritingFlags): void {
  if (model === undefined)
    throw new UsageError(
      'CHAT_TEMPLATE_MISSING',
      '--model: expected a model with a chat template, got none; a GGUF file of one will do, or after "npm install @huggingface/hub" the name HuggingFaceTB/SmolLM2-135M-Instruct',
    )
  expectTemplate(name, chatTemplate)
}

/** Variables of a chat template, by the name that servers and llama.cpp have for them. @param when what it needs, in words */
export const variablesFlag = (when: string, unless = ''): FlagRow => [
  '--chat-template-kwargs <json>',
  `${when}variables of the chat template, such as {"enable_thinking":false}${unless} (default: none)`,
  variablesOption,
]

/** A system message. */
export const systemText: OptionRecord = text('SYSTEM')

/**
 * The flags with a temperature: the one asked for, else the model's where tokens are drawn by default and 0 elsewhere. Where
 * tokens are drawn, other options that are left open are the model's too.
 */
export function withSampling<Flags extends WritingFlags>(
  flags: Flags,
  own: SamplerOptions,
  draws: boolean,
): Flags & { readonly temperature: number } {
  const asked = draws ? flags : { ...flags, temperature: flags.temperature ?? 0 }
  return fillSampling(asked, own, TERMINAL_TEMPERATURE)
}

/** How tokens are chosen, in words. */
export function samplingWords({
  temperature = 0,
  topK,
  topP,
  minP,
  seed,
  ...changes
}: SamplerOptions): string {
  const { repetitionPenalty, presencePenalty, frequencyPenalty, logitBias = {} } = changes
  const biases = Object.keys(logitBias).length
  const words = (name: string, value: number | undefined, neutral?: number): string[] =>
    value === undefined || value === neutral ? [] : [`${name} ${value}`]
  const drawn = [
    `temperature ${temperature}`,
    ...words('top-k', topK),
    ...words('top-p', topP, 1),
    ...words('min-p', minP, 0),
    ...words('seed', seed),
  ]
  return [
    ...(temperature === 0 ? ['greedy'] : drawn),
    ...words('repetition penalty', repetitionPenalty, 1),
    ...words('presence penalty', presencePenalty, 0),
    ...words('frequency penalty', frequencyPenalty, 0),
    ...(biases === 0 ? [] : [`${countOf(biases, 'biased token')}`]),
  ].join(', ')
}

/** What weights are held as, where a file says it and no flag: the bits of texts follow from it. */
export function heldWords({ model }: Pick<ShadowModel, 'model'>, { storage }: ModelFlags): string[] {
  const { storage: held } = model.weights
  return storage === 'file' && held !== 'f32' ? [`weights ${held}, as in the file`] : []
}

/** The flags about how tokens are drawn. */
export function samplingOf(flags: WritingFlags): Drawing {
  const given = Object.entries(flags).filter(([name]) => name in samplingOptions && name !== 'seed')
  return Object.fromEntries(given)
}

/** The flags as the library takes them. */
export function writingOptions(
  flags: WritingFlags,
): ChatOptions & { planner: GenerationPlanner; sparsity: number } {
  const { planner, sparsity, check, maxTokens, mode, cache } = flags
  return { ...choiceOf(flags), planner, sparsity, check, mode, maxTokens, cache, ...samplingOf(flags) }
}

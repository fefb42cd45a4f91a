/**
 * `shadowllm generate`: text on stdout, token by token, with units really skipped.
 */
import type { Command } from 'commander'
import type { GenerateEnd, TextRun } from '../../engine/generate.ts'
import { cacheBytes } from '../../engine/kv_cache.ts'
import { defaultCache, type CacheStorage } from '../../engine/layer_cache.ts'
import type { CheckCounts } from '../../engine/next_tokens.ts'
import { expectTemperature } from '../../engine/sampling.ts'
import type { HubOrigin } from '../../io/hub.ts'
import { achievedBy } from '../../masks/achieved.ts'
import type { Scope } from '../../masks/budget.ts'
import type { UnitMask } from '../../masks/mask.ts'
import type { Prefill } from '../../masks/planner.ts'
import { now } from '../../platform/platform.ts'
import type { ChatOptions, GenerateStep } from '../../library/options.ts'
import type { GenerationPlanner } from '../../library/planner_options.ts'
import { provenRatio } from '../../results/interleaved_rounds.ts'
import type { ShadowModel } from '../../library/shadow_model.ts'
import type { TextSession } from '../../library/text_session.ts'
import { UsageError } from '../../tensor/errors.ts'
import { withModel } from '../open_model.ts'
import { refuseWithoutMask, settlePlan } from '../planner_flags.ts'
import { jsonText } from '../../results/json_text.ts'
import { dim } from '../screen.ts'
import { checkedWords, countOf, formatBytes, formatRate, skippedWords } from '../words.ts'
import { stepPrinter } from '../step_printer.ts'
import { readInput, type Session } from '../session.ts'
import {
  addWritingFlags,
  expectChat,
  checkFiles,
  heldWords,
  openSession,
  resumed,
  samplingOf,
  samplingWords,
  saveSession,
  systemText,
  variablesFlag,
  withSampling,
  writingOptions,
  type Drawing,
  type WritingFlags,
} from '../writing_flags.ts'

const help = `
A mask says which heads and neurons are computed; all others are skipped. Without a mask the model runs dense: it computes everything. The
planner decides the mask from the prompt, and the mask holds for the whole text; with --every N the planner decides again after every N
tokens. With --check N the text is exactly the dense model's: the model writes N tokens under the mask, then runs them again dense in one
pass, and replaces those that differ. The prompt then runs dense. --json reports how many masks were decided and how many tokens were replaced.

The text is greedy (the likeliest token each time) unless --temperature is above 0: then tokens are drawn by --seed, with the
settings of the flags, or else of the model's makers (generation_config.json). Ctrl-C keeps the text so far and
ends with exit code 130.

At the end a line on stderr says how much of the layers' weights was skipped and by which planner, how fast the text was written, and how tokens were chosen. The
speed is a ratio to the dense model's speed: for up to half a second, both models write the text once more, in turns. If that is too short for a
ratio, the speed is in tokens per second; "shadowllm bench" measures longer.

With --session FILE the prompt follows the text of that file, if there is one, and the whole is saved there, also after ctrl-C. The
prompt may then be empty (""). The tokens are those of a text without a break: nothing is read twice, and mask, planner and random
numbers go on where they were. Model, storage, cache, backend and the flags of the planner must be the same.

Examples:
  $ shadowllm generate "Once upon a time"
  $ shadowllm generate "The captain" --temperature 0.8 --top-k 40 --seed 7
  $ shadowllm generate "The captain" --sparsity 0.7
  $ head -c 400 book.txt | shadowllm generate - --sparsity 0.5
  $ shadowllm generate "The captain" --planner shadow --every auto
  $ shadowllm generate "The captain" --planner shadow --sparsity 0.3 --check 4
  $ shadowllm generate -m FILE.gguf --chat "What is gravity?"
  $ shadowllm generate -m facebook/opt-125m "The captain" # npm i @huggingface/hub
  $ shadowllm generate "Once upon a time" --session tale.session
  $ shadowllm generate "" --session tale.session
  $ shadowllm generate -m DIR "The captain" --planner dejavu --predictor FILE`

interface GenerateFlags extends WritingFlags {
  readonly chat?: boolean
}

/** Flags whose temperature is decided. */
type DecidedFlags = GenerateFlags & { readonly temperature: number }

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  command.argument('<prompt>', 'text to begin with, or - for the text of standard input')
  // A chat may go on with the planner of its session.
  const isResumed = (called: Command): boolean => {
    const { chat, session: file } = called.opts<GenerateFlags>()
    return chat === true && file !== undefined
  }
  refuseWithoutMask(command, isResumed)
  addWritingFlags(command, '64', [
    ['--chat', "the prompt is a user's message, which the model answers; it needs a chat template"],
    ['--system <text>', "with --chat, the system message (default: the template's own, or none)", systemText],
    variablesFlag('with --chat, '),
  ])
    .addHelpText('after', help)
    .action(async (given: string, flags: GenerateFlags) => {
      expectTemperature(flags)
      if (flags.system !== undefined && !flags.chat)
        throw new UsageError('SYSTEM', '--system: expected --chat too, got it alone')
      if (flags.chatTemplateKwargs && !flags.chat)
        throw new UsageError(
          'TEMPLATE_VARIABLES',
          '--chat-template-kwargs: expected --chat too, got it alone',
        )
      await checkFiles(flags)
      const prompt = given === '-' ? await readInput(session) : given
      await withModel(session, flags, (opt) =>
        runGenerate(session, opt, prompt, withSampling(flags, opt.sampling, false)),
      )
    })
}

/** A text as far as it is written, and how it was computed. */
interface Written {
  readonly steps: GenerateStep[]
  end: GenerateOutput['end']
  /** Milliseconds until each token. */
  readonly times: number[]
  /** Sum over the tokens after the first one of the share of the layers' weights that the mask skipped for it. */
  skipped: number
  /** How it was run; null until it has ended. */
  run: TextRun | null
  /** What came of turns with the dense model, afterwards; null if there were none. */
  turns: Turns | null
}

async function runGenerate(
  session: Session,
  opt: ShadowModel,
  prompt: string,
  asked: DecidedFlags,
): Promise<void> {
  const saved = await openSession(opt, asked, asked.chat ?? false)
  const flags = await settlePlan(session, opt, resumed(asked, saved))
  if (flags.chat) expectChat(opt, flags)
  const memory = describeMemory(
    opt.model,
    Math.min(opt.config.positions, opt.encode(prompt).length + (flags.maxTokens ?? 0)),
    flags.cache,
  )
  const said = [memory ?? [], flags.json ? heldWords(opt, flags) : []].flat()
  if (said.length > 0 && !flags.quiet) await session.note(said.join('; '))
  const written: Written = {
    steps: [],
    end: 'interrupted',
    times: [],
    skipped: 0,
    run: null,
    turns: null,
  }
  const echoes = session.isTerminal && !flags.json && !flags.chat
  const start = now()
  try {
    await write(session, opt, prompt, flags, saved, written, echoes)
  } finally {
    const { steps, end } = written
    const seconds = (now() - start) / 1000
    if (!flags.json && steps.length > 0) await session.print('\n')
    await saveSession(saved)
    const takesTurns = written.skipped > 0 && !flags.check && !saved
    if (!flags.quiet && end !== 'interrupted' && takesTurns)
      written.turns = await takeTurns(session, opt, prompt, flags, written.times)
    // Ctrl-C ends the writing with an error; the text so far is kept.
    if (flags.json && (end !== 'interrupted' || session.signal.aborted))
      await session.print(jsonText(summary(opt, prompt, flags, written, seconds)))
    if (!flags.json && !flags.quiet && end !== 'interrupted')
      await session.note([describeSpeed(flags, written), ...heldWords(opt, flags)].join('; '))
  }
}

/** So much memory for keys and values is said before it is taken. */
const LARGE_CACHE = 2 ** 26

/** What the keys and values of a text of so many tokens take; null where that is little. */
export function describeMemory(
  { config, weights }: ShadowModel['model'],
  tokens: number,
  cache: CacheStorage = defaultCache(weights.storage),
): string | null {
  const bytes = cacheBytes(config, cache, tokens)
  if (bytes < LARGE_CACHE) return null
  return `keys and values of ${countOf(tokens, 'token')}: ${formatBytes(bytes)} as ${cache}`
}

/** Writes the text and collects its steps. */
async function write(
  session: Session,
  opt: ShadowModel,
  prompt: string,
  flags: GenerateFlags,
  saved: TextSession | undefined,
  written: Written,
  echoes: boolean,
): Promise<void> {
  const start = now()
  let skipped = 0
  const options = {
    ...writingOptions(flags),
    session: saved,
    signal: session.signal,
    onMask: (mask: UnitMask | null) => void (skipped = achievedBy(mask, opt.config).weights),
    onEnd: (run: TextRun) => void (written.run = run),
  }
  const text = textOf(opt, prompt, flags, options)
  const shown = stepPrinter(session, flags.chat ?? false)
  try {
    for (;;) {
      const { done, value } = await text.next()
      if (done) return void (written.end = value)
      written.times.push(now() - start)
      if (written.steps.length > 0) written.skipped += skipped
      else if (echoes) await session.print(dim(prompt))
      written.steps.push(value)
      if (!flags.json) await shown.show(value)
    }
  } finally {
    await shown.end()
  }
}

/** What continues or answers a prompt. */
function textOf(
  opt: ShadowModel,
  prompt: string,
  { chat, system, chatTemplateKwargs }: GenerateFlags,
  options: ChatOptions,
): ReturnType<ShadowModel['generate']> {
  if (!chat) return opt.generate(prompt, options)
  const said = options.session?.messages ?? []
  const isSaid = system === undefined || said.length > 0
  const before = isSaid ? said : [{ role: 'system', content: system }]
  return opt.chat([...before, { role: 'user', content: prompt }], { ...options, chatTemplateKwargs })
}

/** How often the text and that of the dense model take turns, and in how many milliseconds; a ratio needs some turns. */
const turns = { most: 24, milliseconds: 500, least: 6 }

/** Milliseconds of each token after the first, of the same text once more and of the dense model's, which take turns. */
interface Turns {
  readonly own: number[]
  readonly dense: number[]
}

/** Whether both can take enough turns in the time they have, by the times of the text. They read the prompt before the first one. */
export function turnsFit(times: readonly number[]): boolean {
  const later = times.length - 1
  if (later < turns.least) return false
  const [first, last] = [times[0], times[later]]
  return 2 * (first + (turns.least * (last - first)) / later) <= turns.milliseconds
}

/** Lets both write, for half the time of the text at most; null if they do not begin. @param times of the text */
async function takeTurns(
  { signal }: Session,
  opt: ShadowModel,
  prompt: string,
  flags: GenerateFlags,
  times: readonly number[],
): Promise<Turns | null> {
  if (!turnsFit(times)) return null
  const found: Turns = { own: [], dense: [] }
  const options = { ...writingOptions(flags), maxTokens: turns.most + 1 }
  const own = textOf(opt, prompt, flags, options)
  const dense = textOf(opt, prompt, flags, { ...options, planner: 'dense', every: undefined })
  const end = now() + Math.min((times.at(-1) ?? 0) / 2, turns.milliseconds)
  try {
    for (let turn = 0; turn <= turns.most && now() < end && !signal.aborted; turn++)
      for (const [text, taken] of [
        [own, found.own],
        [dense, found.dense],
      ] as const) {
        const start = now()
        if ((await text.next()).done) return found
        // The first one takes the prompt.
        if (turn > 0) taken.push(now() - start)
      }
  } finally {
    await Promise.all([own.return('length'), dense.return('length')])
  }
  return found
}

/** What a text cost. */
export interface Speed {
  /**
   * The mean share of the layers' weights that the mask skips, of the tokens after the first one, also where the mask only drafts what
   * --check runs dense; null without such.
   */
  readonly skipped: number | null
  /** Of the tokens after the first one; null without such. */
  readonly tokensPerSecond: number | null
  /**
   * How many times as fast as the dense model, in the median of turns that both take afterwards, 1 if the turns do not tell; null if they took none (nothing skipped,
   * --check, --quiet) or too few.
   */
  readonly timesDense: number | null
}

function measure({ steps, times, skipped, turns }: Written): Speed {
  const later = steps.length - 1
  if (later < 1) return { skipped: null, tokensPerSecond: null, timesDense: null }
  return {
    skipped: skipped / later,
    tokensPerSecond: (1000 * later) / (times[later] - times[0]),
    timesDense: turns && timesDense(turns),
  }
}

/** How many times as fast as the dense model a text was: the median over turns, 1 where they do not tell; null for few of them. */
export function timesDense({ own, dense }: Turns): number | null {
  return Math.min(own.length, dense.length) < turns.least ? null : provenRatio(dense, own)
}

/** The line after a text. */
function describeSpeed(flags: GenerateFlags, written: Written): string {
  const checked = written.run?.checked
  const isEnded = written.end === 'stop' && written.steps.length === 0
  const sampling = samplingWords(writingOptions(flags))
  return [
    ...(isEnded
      ? ['no text: the model ended it at once', sampling]
      : speedWords(flags, measure(written), sampling)),
    ...(checked ? [checkedWords(checked)] : []),
  ].join('; ')
}

function speedWords(
  { planner, check }: GenerateFlags,
  { skipped, tokensPerSecond, timesDense }: Speed,
  sampling: string,
): string[] {
  if (skipped === null || tokensPerSecond === null)
    return ['the text is too short to measure a speed', sampling]
  const rate = formatRate(tokensPerSecond)
  // The rate is that of the text; beside the ratio, which is measured afterwards, it would seem to deny it.
  const speed =
    timesDense === null
      ? rate
      : timesDense === 1
        ? 'about as fast as dense'
        : `${timesDense.toFixed(1)} × as fast as dense`
  return [`${skippedWords(planner, skipped, check !== undefined)}, ${speed}, ${sampling}`]
}

/** What `--json` prints. */
export interface GenerateOutput extends Speed, Drawing {
  readonly model: string
  /** Where a model of the hub is from. */
  readonly hub?: HubOrigin
  readonly system?: string
  readonly prompt: string
  readonly text: string
  /** With --chat, what the model thought before, if it did. */
  readonly thinking?: string
  readonly tokens: readonly number[]
  /** Why it ended: `stop` by the model, `length` by --max-tokens or the context. */
  readonly end: GenerateEnd | 'interrupted'
  readonly seconds: number
  /** Seconds until the first token; null without one. */
  readonly firstSeconds: number | null
  readonly planner: GenerationPlanner
  /** What was asked for; 0 if dense. */
  readonly sparsity: number
  readonly headSparsity?: number
  readonly neuronSparsity?: number
  readonly scope?: Scope
  readonly every?: number | 'auto'
  readonly prefill?: Prefill
  readonly check?: number
  /** How many masks were decided. */
  readonly decisions?: number
  /** What dense checks did. */
  readonly checked?: CheckCounts
  readonly cache: CacheStorage
  /** 0 is greedy. */
  readonly temperature: number
  readonly topP: number
  readonly seed: number
}

/** The text that is the answer, or that is thought. */
function textOfSteps(steps: readonly GenerateStep[], isThought: boolean): string {
  return steps.map(({ text, thinking = false }) => (thinking === isThought ? text : '')).join('')
}

function summary(
  { name, origin, model }: ShadowModel,
  prompt: string,
  flags: DecidedFlags,
  written: Written,
  seconds: number,
): GenerateOutput {
  const { planner, sparsity, headSparsity, neuronSparsity, scope, every, prefill } = flags
  const { check, cache, temperature, topP = 1, seed } = flags
  const { steps, end, times, run } = written
  const isDense = planner === 'dense'
  return {
    model: name,
    ...(origin && { hub: origin }),
    ...(flags.system !== undefined && { system: flags.system }),
    prompt,
    text: textOfSteps(steps, false),
    ...(steps.some(({ thinking }) => thinking) && { thinking: textOfSteps(steps, true) }),
    tokens: steps.map((step) => step.token),
    end,
    seconds,
    firstSeconds: steps.length === 0 ? null : times[0] / 1000,
    ...measure(written),
    planner,
    sparsity: isDense ? 0 : sparsity,
    ...(!isDense && {
      headSparsity,
      neuronSparsity,
      scope,
      every,
      prefill,
      check,
      decisions: run?.decisions ?? 0,
    }),
    ...(run?.checked && { checked: run.checked }),
    cache: cache ?? defaultCache(model.weights.storage),
    ...samplingOf(flags),
    temperature,
    topP,
    seed,
  }
}

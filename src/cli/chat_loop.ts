/**
 * A conversation at the terminal or through a pipe: one line is one message or one command. Several lines that are
 * pasted at a terminal are one message as they stand, and never a command; so are lines of which each but the last is typed with
 * a backslash at its end.
 *
 * Only the user ends it. An error is one line, and the message that caused it is taken back; ctrl-C at a
 * terminal ends an answer, of which the part so far stays in the conversation. Through a pipe ctrl-C ends
 * the program, as for every other command.
 */
import { achievedBy } from '../masks/achieved.ts'
import type { UnitMask } from '../masks/mask.ts'
import { isMaskAfterPrompt, isOneMask, type MaskPlanner } from '../masks/planner.ts'
import { planners } from '../planners/index.ts'
import type { PromptRun, TextRun } from '../engine/generate.ts'
import type { CheckCounts } from '../engine/next_tokens.ts'
import { drawingOptions, fillSampling, samplingOptions, type SamplerOptions } from '../engine/sampling.ts'
import type { ChatMessage } from '../io/chat_prompt.ts'
import { MAX_ANSWER, planKinds, type ChatOptions } from '../library/options.ts'
import {
  generationOption,
  generationPlanners,
  type GenerationPlanner,
  type PlanOptions,
} from '../library/planner_options.ts'
import { now, type Interrupted, type LineInput } from '../platform/platform.ts'
import type { ShadowModel } from '../library/shadow_model.ts'
import type { TextSession } from '../library/text_session.ts'
import { nearestName } from '../tensor/arguments.ts'
import { UsageError } from '../tensor/errors.ts'
import { shownText } from '../tensor/quote.ts'
import { describeFailure, exitCodes } from './failure.ts'
import { flagName } from './flag_name.ts'
import { wrapHelp } from './help.ts'
import { formatMask } from './mask_picture.ts'
import { dim, type Text } from './screen.ts'
import { flagDefaults, listNames } from './flags.ts'
import { costWords, type ShadowFlags } from './planner_flags.ts'
import { showWaiting } from './progress.ts'
import { RepetitionWatch, type Repetition } from './repetition.ts'
import { stepPrinter } from './step_printer.ts'
import type { Session } from './session.ts'
import { wrapWords } from './word_wrap.ts'
import { shareOption } from '../masks/budget.ts'
import { readOption, wholeOption, type OptionRecord } from '../tensor/option.ts'
import { checkedWords, countOf, formatCount, formatPercent, skippedWords } from './words.ts'
import { answerLimit, drawingRows, samplingWords, saveSession } from './writing_flags.ts'

/** How a conversation begins. */
export interface ChatStart {
  /**
   * The options of every answer, which commands change. Where tokens are drawn, what is left open of how is as the model has it.
   */
  readonly options: ChatOptions & { readonly planner: GenerationPlanner; readonly sparsity: number }
  readonly system?: string
  /** One JSON object a turn. */
  readonly json?: boolean
  /** No line before the first message, and none of numbers after an answer. */
  readonly quiet?: boolean
  /** What weights are held as, in words, if the file says it. */
  readonly held?: readonly string[]
  /** What it goes on from, and is saved in after each turn. */
  readonly saved?: TextSession
  /** For which masks the predictor of `shadow` was learnt, beside those of the options; null where it does not say so. */
  readonly learntWords?: (options: ShadowFlags) => string | null
  /** Planners whose files are there, which the tab key offers; default all. */
  readonly planners?: readonly GenerationPlanner[]
}

const PROMPT = '> '

/** What a message of several typed lines is prompted with, after the first. */
const CONTINUED = '. '

/** What is said where no system message was given. */
const NO_MESSAGE = "none but the chat template's, if it has one"

/** What `/system` takes in place of a text, to remove the message. */
const NO_SYSTEM = 'none'

/** Commands that set an option of how an answer is written, by their names. */
const settings: ReadonlyMap<
  string,
  readonly [name: keyof SamplerOptions | 'maxTokens', option: OptionRecord]
> = new Map(
  Object.entries({ ...samplingOptions, maxTokens: answerLimit }).map(([name, option]) => [
    flagName(name).slice(2),
    [name as keyof SamplerOptions | 'maxTokens', option],
  ]),
)
const drawing = [...settings.keys()].filter((name) => name !== 'temperature' && name !== 'max-tokens')

const help = `Commands:
  /sparsity SHARE  skip this share of heads and neurons, from 0 to 1, in the next answers; where the planner is dense, by one that fits the model; without a share, show what is set
  /planner NAME    let this planner decide what is skipped, one of ${generationPlanners.join(', ')}, which "shadowllm planners" explains; without a name, show what is set
  /temperature NUMBER  how random the next answers are; 0 takes the likeliest token each time; without a number, show what is set
  /max-tokens COUNT  how many tokens an answer may have; without a count, show what is set
  ${drawing.map((name) => `/${name}`).join(', ')}  as the flags of these names
  /again           answer the last message once more, in place of the last answer; where tokens are drawn, with the next seed
  /undo            take the last message and its answer back
  /mask            show what was computed for the last answer
  /settings        show all settings in force
  /system TEXT     replace the system message; without a text, show it; ${NO_SYSTEM} removes it
  /new, /clear     forget the conversation, but not the system message
  /help NAME       show the help of one command; without a name, show this
  /quit, /exit     end, as ctrl-D does
The tab key completes commands. Blanks before a command are ignored. A line that ends with \\ goes on in the next one; pasted lines are one message. //TEXT sends a message
that begins with a slash. Ctrl-C ends an answer; ctrl-D during an answer ends the chat after it. Lines typed before the first
prompt are sent one by one. So are lines typed during an answer, after it; if ctrl-C ends the answer, they wait at the prompt. An answer that only repeats the same words ends by itself.`

/** The commands that the help lists, and whether something may follow each: what is written in capitals, or a setting. */
const commands: ReadonlyMap<string, boolean> = new Map(
  help
    .split('\n')
    .filter((line) => line.startsWith('  /'))
    .flatMap((line) =>
      Array.from(line.matchAll(/(?:^|,) +\/([\w-]+)( [A-Z]+ )?/g), ([, name, value]) => [
        name,
        value !== undefined || settings.has(name),
      ]),
    ),
)
const commandNames = [...commands.keys()]

/** The help of one command. @param given its name, with or without a slash @throws UsageError UNKNOWN_COMMAND */
function helpOf(given: string): string {
  const name = given.replace(/^\//, '')
  if (!commands.has(name)) throw unknownCommand(name)
  const flag = drawingRows.find(([flags]) => flags.split(' ', 1)[0] === `--${name}`)
  if (flag && drawing.includes(name)) return `  /${flag[0].slice(2)}  ${flag[1]}`
  return (
    help
      .split('\n')
      .find((line) => line.startsWith('  /') && line.match(/\/[\w-]+/g)?.includes(`/${name}`)) ?? ''
  )
}

/** What chats of other programs call commands, with the names that they have here. */
const elsewhere: Readonly<Record<string, string>> = { bye: 'quit', retry: 'again', regenerate: 'again' }

function unknownCommand(name: string): UsageError {
  const near = Object.hasOwn(elsewhere, name) ? elsewhere[name] : nearestName(name, commandNames, 2)
  const hint = near === null ? '' : ` (did you mean /${near}?)`
  return new UsageError('UNKNOWN_COMMAND', `/${name}: unknown command${hint}; /help lists them`)
}

/** What the tab key completes. */
const completed = (planners: readonly GenerationPlanner[]): string[] => [
  ...Array.from(commands, ([name, takes]) => (takes ? `/${name} ` : `/${name}`)),
  ...planners.map((name) => `/planner ${name}`),
]

/** Messages that were probably meant as commands. */
const nearCommands = new Set(['help', 'exit', 'quit'])

/** Characters of a message that is shown once more, at most. */
const MAX_SHOWN = 300

/** A message on one line, cut between words where it is long. */
function shorten(message: string): string {
  const characters = Array.from(message.trim().replace(/\s+/g, ' '))
  if (characters.length <= MAX_SHOWN) return characters.join('')
  return `${characters
    .slice(0, MAX_SHOWN)
    .join('')
    .replace(/ \S{0,30}$/, '')} …`
}

/** What became of a turn, as a JSON object shows it. */
export interface Turn {
  readonly message: string
  readonly answer: string
  /** What the model thought before, if it did. */
  readonly thinking?: string
  readonly tokens: readonly number[]
  /** `stop`, `length`, `repetition` or `interrupted`. */
  readonly end: string
  /** Until the first token. */
  readonly firstSeconds: number
  readonly seconds: number
  readonly prompt: { readonly tokens: number; readonly reused: number }
  readonly planner: GenerationPlanner
  readonly sparsity: number
  /** The share of the layers' weights that the mask skips, also where it only drafts what is checked dense. */
  readonly skipped: number
  /** How many times a mask was decided. */
  readonly decisions: number
  /** What dense checks did, if there were any. */
  readonly checked?: CheckCounts
  /** 0 is greedy. */
  readonly temperature: number
  readonly seed: number
}

/**
 * Runs a conversation until its input ends.
 * @param lines its input
 * @throws what `ShadowModel.planner` throws, before the first line is read
 */
export async function runChat(
  session: Session,
  opt: ShadowModel,
  start: ChatStart,
  lines: LineInput,
): Promise<void> {
  await opt.planner(planOptions(start.options))
  await new ChatLoop(session, opt, start, lines).run()
}

/** The options that choose a planner. */
function planOptions(options: ChatOptions): PlanOptions {
  return Object.fromEntries(Object.entries(options).filter(([name]) => name in planKinds))
}

/** Options that have rows of their own in /settings. */
const toldApart = ['planner', 'sparsity', 'headSparsity', 'neuronSparsity', 'seed'] as const

/** Whether the mask of a planner is known before any text, so that it is the same in each turn. */
function isBeforehand({ by, needs }: (typeof planners)[number]): boolean {
  return by === null || (by === 'attention' && needs.every((need) => need === 'calibration'))
}

/** Why each answer reads the whole conversation under a planner; null where what was read of it is used again. */
function readsAnew(planner: MaskPlanner): string | null {
  if (isMaskAfterPrompt(planner)) return null
  if (isOneMask(planner))
    return planners.some((record) => record.name === planner.name && isBeforehand(record))
      ? null
      : 'an answer under another mask reads the whole conversation anew, as what was read depends on the mask'
  const why =
    planner.by === 'attention'
      ? 'the mask changes within an answer'
      : 'the planner sees all of it in every layer'
  return `each answer reads the whole conversation anew, as ${why}`
}

class ChatLoop {
  readonly #session: Session
  readonly #opt: ShadowModel
  readonly #start: ChatStart
  readonly #lines: LineInput
  #options: ChatStart['options']
  #system: string | undefined
  #messages: ChatMessage[] = []
  /** Of the last answer; undefined before the first. */
  #mask: UnitMask | null | undefined
  /** The notes on masks that this conversation has had. */
  readonly #told = new Set<string>()
  #isOver = false

  constructor(session: Session, opt: ShadowModel, start: ChatStart, lines: LineInput) {
    this.#session = session
    this.#opt = opt
    this.#start = start
    this.#lines = lines
    this.#options = start.options
    const before = start.saved?.messages ?? []
    const [first] = before
    const hasSystem = first?.role === 'system'
    this.#system = start.system ?? (hasSystem ? first.content : undefined)
    this.#messages = before.slice(hasSystem ? 1 : 0)
  }

  async run(): Promise<void> {
    const { signal } = this.#session
    const { quiet, held = [] } = this.#start
    if (this.#lines.isTerminal && !quiet)
      await this.#say(
        [
          this.#opt.name,
          ...held,
          this.#setting(),
          this.#sampling(),
          '/help lists the commands, /quit ends',
        ].join('; '),
      )
    else if (held.length > 0 && !quiet) await this.#session.note(held.join('; '))
    if (this.#messages.length > 0 && !quiet) await this.#resume()
    let wasInterrupted = false
    while (!this.#isOver) {
      signal.throwIfAborted()
      const line = await this.#line()
      if (line === null) return
      if (typeof line !== 'string') {
        if (wasInterrupted && line.isEmpty) return void (this.#session.exitCode = exitCodes.interrupted)
        wasInterrupted = line.isEmpty
        if (line.isEmpty) await this.#session.note('ctrl-C again, ctrl-D or /quit ends the program')
        continue
      }
      wasInterrupted = false
      await this.#take(line)
    }
  }

  /** Says what the conversation goes on from, and at a terminal shows the last message and its answer. */
  async #resume(): Promise<void> {
    const { isTerminal } = this.#lines
    const words = `${this.#start.saved?.path}: ${countOf(this.#messages.length, 'message')} resumed`
    // The first line at a terminal has the setting.
    await this.#session.note(isTerminal ? words : `${words}; ${this.#setting()}`)
    if (!isTerminal || this.#start.json) return
    for (const { role, content } of this.#messages.slice(this.#lastMessage()))
      await this.#say(dim(this.#wrapped(`${role === 'user' ? PROMPT : ''}${shorten(content)}`)))
  }

  /** The next line. At a terminal one that ends with a backslash goes on in the next one. */
  async #line(): Promise<string | Interrupted | null> {
    const typed: string[] = []
    for (;;) {
      const line = await (typed.length === 0
        ? this.#lines.next(PROMPT, completed(this.#start.planners ?? generationPlanners))
        : this.#lines.next(CONTINUED))
      this.#session.signal.throwIfAborted()
      if (line === null) return null
      if (typeof line !== 'string') return { isEmpty: line.isEmpty && typed.length === 0 }
      const goesOn = this.#lines.isTerminal && !line.includes('\n') && line.endsWith('\\')
      typed.push(goesOn ? line.slice(0, -1) : line)
      if (!goesOn) return typed.join('\n')
    }
  }

  /** Whatever a line does, the conversation goes on. */
  async #take(line: string): Promise<void> {
    const { signal } = this.#session
    try {
      if (line.trim() === '') return
      // A person may type blanks before a command; in a script they make it a message.
      const command = this.#lines.isTerminal ? line.trimStart() : line
      if (line.includes('\n') || !command.startsWith('/')) {
        const word = line.trim()
        if (this.#lines.isTerminal && nearCommands.has(word))
          await this.#say(dim(`(sent as a message; the command is /${word})`))
        await this.#answer(line)
      } else if (command.startsWith('//')) await this.#answer(command.slice(1))
      else await this.#obey(command)
    } catch (error) {
      if (signal.aborted) throw error
      const failure = describeFailure(error, false)
      if (failure.exitCode === exitCodes.bug) throw error
      await this.#session.note(failure.line)
      if (error instanceof UsageError && error.code === 'CONTEXT_LENGTH' && this.#messages.length > 0)
        await this.#session.note('(/new forgets the conversation, /undo its last message and answer)')
      // A script is told; a person has read it.
      if (!this.#lines.isTerminal) this.#session.exitCode = failure.exitCode
    }
  }

  async #obey(line: string): Promise<void> {
    const [, command, rest] = /^\/(\S*)\s*(.*)$/s.exec(line) ?? []
    const value = rest.trim()
    if (value !== '' && commands.get(command) === false)
      throw new UsageError('EXCESS_ARGUMENTS', `/${command}: expected nothing after it, got ${value}`)
    const setting = settings.get(command)
    if (setting !== undefined) return this.#set(value, ...setting)
    switch (command) {
      case 'help':
        return this.#say(wrapHelp(value === '' ? help : helpOf(value), this.#session.screen.columns))
      case 'sparsity': {
        if (value === '') return this.#say(this.#setting())
        const sparsity = readOption<number>('/sparsity', value, shareOption)
        const whole = { sparsity, headSparsity: undefined, neuronSparsity: undefined }
        if (this.#options.planner !== 'dense' || sparsity === 0) return this.#choose(whole)
        const asked = planOptions({ ...this.#options, ...whole, planner: undefined })
        return this.#choose({ planner: await this.#opt.usualPlanner(asked), ...whole }, true)
      }
      case 'planner':
        if (value === '') return this.#say(this.#setting())
        return this.#choose({ planner: readOption('/planner', value, generationOption) })
      case 'settings':
        return this.#say(wrapHelp(this.#settings(), this.#session.screen.columns))
      case 'mask':
        if (this.#mask === undefined)
          return this.#say(
            this.#messages.length === 0
              ? 'no answer yet'
              : 'no mask of the last answer is kept; /again decides it anew',
          )
        return this.#say(
          this.#mask
            ? formatMask(this.#mask, this.#opt.config, this.#session.screen)
            : 'dense: everything was computed',
        )
      case 'again':
        return this.#answerAgain()
      case 'undo': {
        const last = this.#lastMessage()
        if (last < 0) return this.#say('nothing to take back')
        const { content } = this.#messages[last]
        await this.#keep(last)
        return this.#say(`taken back: ${shorten(content)}`)
      }
      case 'system':
        return this.#instruct(value)
      case 'new':
      case 'clear':
        await this.#keep(0)
        return this.#say('the conversation is forgotten')
      case 'quit':
      case 'exit':
        this.#isOver = true
        return
      default:
        throw unknownCommand(command)
    }
  }

  /** The place of the last message of the user; -1 if there is none. */
  #lastMessage(): number {
    return this.#messages.findLastIndex(({ role }) => role === 'user')
  }

  /** Forgets all messages but the first, in the session too. @param count how many stay */
  async #keep(count: number): Promise<void> {
    this.#messages = this.#messages.slice(0, count)
    this.#mask = undefined
    if (count === 0) this.#told.clear()
    this.#start.saved?.say(count === 0 ? [] : [...this.#instruction(), ...this.#messages])
    await saveSession(this.#start.saved)
  }

  /** The system message, if there is one. */
  #instruction(): ChatMessage[] {
    return this.#system === undefined ? [] : [{ role: 'system', content: this.#system }]
  }

  /** Changes how the tokens of the next answers are drawn, or how many they are; says what is set. */
  async #set(value: string, name: keyof SamplerOptions | 'maxTokens', option: OptionRecord): Promise<void> {
    const read = name === 'maxTokens' ? wholeOption(option.code, 1, this.#opt.config.positions) : option
    if (value !== '')
      this.#options = { ...this.#options, [name]: readOption(`/${flagName(name).slice(2)}`, value, read) }
    const { maxTokens = MAX_ANSWER, planner } = this.#options
    // The planner random draws by the seed too.
    const isOfDrawing =
      name === 'seed' ? planner !== 'random' : drawingOptions.some((option) => option === name)
    const words = [this.#sampling(), `at most ${countOf(maxTokens, 'token')}`]
    if (name !== 'maxTokens' && name !== 'seed' && this.#drawing()[name] === undefined)
      words.unshift(`${flagName(name).slice(2)} not set`)
    if (name === 'seed' && this.#drawing().temperature === 0) words.push(`seed ${this.#options.seed ?? 0}`)
    if (value !== '' && isOfDrawing && this.#drawing().temperature === 0)
      words.push(`${flagName(name).slice(2)} has no effect until /temperature is above 0`)
    return this.#say(words.join('; '))
  }

  /** Replaces, removes or shows the system message, and says which it is now or was. */
  async #instruct(text: string): Promise<void> {
    const before = this.#system
    if (text !== '') this.#system = text === NO_SYSTEM ? undefined : text
    if (this.#system !== undefined) return this.#say(`system message: ${this.#system}`)
    return this.#say(before === undefined ? NO_MESSAGE : `system message removed: ${before}`)
  }

  /** How tokens are drawn, with what the model says of it. */
  #drawing(): ChatStart['options'] {
    return fillSampling(this.#options, this.#opt.sampling, 0)
  }

  #sampling(): string {
    return samplingWords({ seed: 0, ...this.#drawing() })
  }

  /** Changes how the next answers are made, unless the model refuses it. */
  async #choose(change: Partial<ChatStart['options']>, isImplied = false): Promise<void> {
    const options = { ...this.#options, ...change }
    const made = await this.#opt.planner(planOptions(options))
    this.#options = options
    const { planner } = options
    const { json, quiet } = this.#start
    const words = [this.#setting()]
    if (!json && !quiet) {
      if (isImplied && planner !== 'shadow') words.push('it skips neurons alone')
      const { sparsity, neuronSparsity = sparsity } = options
      words.push(...costWords(this.#opt, planner, neuronSparsity, '/sparsity 0.3'))
      const learnt = planner === 'shadow' ? this.#start.learntWords?.(options) : null
      if (learnt) words.push(learnt)
      words.push(...this.#maskNotes(made))
    }
    await this.#say(words.join('; '))
  }

  /** What becomes under another mask of what was read and said before; each note is told once in a conversation. */
  #maskNotes(made: MaskPlanner | null): string[] {
    const anew = made && readsAnew(made)
    const notes = [
      ...(anew === null ? [] : [`${anew}; ${listNames(isBeforehand)} keep what was read`]),
      ...(this.#messages.length > 0
        ? ['earlier answers stay: /again replaces the last one, /new forgets all']
        : []),
    ].filter((note) => !this.#told.has(note))
    for (const note of notes) this.#told.add(note)
    return notes
  }

  /** All settings in force, a row each. */
  #settings(): string {
    const { name } = this.#opt
    const { held = [], saved } = this.#start
    const { maxTokens = MAX_ANSWER } = this.#options
    const usual: Readonly<Record<string, unknown>> = { ...flagDefaults, mode: 'auto' }
    const others = Object.entries(planOptions(this.#options)).filter(
      ([option, value]) =>
        value !== undefined && value !== usual[option] && !toldApart.some((one) => one === option),
    )
    const rows = {
      model: [name, ...held],
      skipped: [this.#setting(), ...others.map(([option, value]) => `${flagName(option)} ${String(value)}`)],
      drawing: [this.#sampling()],
      answers: [`at most ${countOf(maxTokens, 'token')}`],
      'system message': [this.#system ?? NO_MESSAGE],
      conversation: [countOf(this.#messages.length, 'message'), ...(saved ? [`saved in ${saved.path}`] : [])],
    }
    return Object.entries(rows)
      .map(([row, words]) => `  ${row.padEnd(16)}${words.join('; ')}`)
      .join('\n')
  }

  /** The planner, and the share that it skips, or those of heads and of neurons. */
  #setting(): string {
    const { planner, sparsity, headSparsity, neuronSparsity } = this.#options
    if (planner === 'dense') return 'dense: nothing is skipped'
    if (headSparsity === undefined && neuronSparsity === undefined)
      return `${planner}, ${formatPercent(sparsity)}`
    const [heads, neurons] = [headSparsity ?? sparsity, neuronSparsity ?? sparsity].map(formatPercent)
    return `${planner}, ${heads} of the heads and ${neurons} of the neurons`
  }

  /** Answers the last message once more, by other random numbers. The answer that it had is kept if there is no other. */
  async #answerAgain(): Promise<void> {
    const before = this.#messages
    const count = this.#lastMessage()
    if (count < 0) return this.#say('no answer yet')
    const { seed = 0, temperature = 0 } = this.#options
    if (temperature > 0) this.#options = { ...this.#options, seed: (seed + 1) >>> 0 }
    this.#messages = before.slice(0, count)
    try {
      await this.#answer(before[count].content)
    } finally {
      if (this.#messages.length === count) this.#messages = before
    }
  }

  /** Answers a message. */
  async #answer(message: string): Promise<void> {
    const { json } = this.#start
    const user = { role: 'user', content: message }
    const started = now()
    // Ends the answer, also while its prompt is read.
    const stop = new AbortController()
    let prompt: PromptRun | null = null
    let text: TextRun | null = null
    const steps = this.#opt.chat([...this.#instruction(), ...this.#messages, user], {
      ...this.#drawing(),
      session: this.#start.saved,
      signal: AbortSignal.any([this.#session.signal, stop.signal]),
      onPrompt: (run) => (prompt = run),
      onEnd: (run) => (text = run),
    })
    const tokens: number[] = []
    const watch = new RepetitionWatch()
    let repetition: Repetition | null = null
    let [answer, thinking, first, end] = ['', '', 0, 'interrupted']
    const shown = stepPrinter(this.#session, true)
    const release = this.#lines.isTerminal ? this.#session.takeInterrupts(() => stop.abort()) : () => {}
    const read = this.#lines.isTerminal
      ? showWaiting(this.#session.progress, 'reading the conversation')
      : () => {}
    try {
      while (!stop.signal.aborted) {
        const { done, value } = await steps.next()
        if (tokens.length === 0) read()
        if (done) {
          end = value
          break
        }
        if (tokens.length === 0) first = now() - started
        tokens.push(value.token)
        if (value.thinking) thinking += value.text
        else answer += value.text
        if (!json) await shown.show(value)
        repetition = watch.push(value.token, value.text)
        if (repetition) {
          end = 'repetition'
          break
        }
      }
    } catch (error) {
      if (this.#session.signal.aborted || error !== stop.signal.reason) throw error
    } finally {
      read()
      release()
      await steps.return('length')
      await shown.end()
      // A message without an answer is taken back; an empty answer is one.
      if (tokens.length > 0 || end !== 'interrupted') {
        this.#messages.push(user, { role: 'assistant', content: answer })
        await saveSession(this.#start.saved)
        if (!json) await this.#session.print('\n')
      }
    }
    if (tokens.length === 0 && end === 'interrupted')
      return this.#session.note(
        '[interrupted before the first token; the message is forgotten, and the up key brings it back]',
      )
    if (repetition && !this.#start.quiet) await this.#session.note(this.#loopWords(repetition))
    if (tokens.length === 0 && !json && !this.#start.quiet)
      await this.#session.note('[no text: the model ended its answer at once]')
    const { decisions, checked } = (text ?? { decisions: 0, checked: null }) as TextRun
    const { mask = null, ...run } = (prompt ?? { tokens: 0, reused: 0, mask: null }) as PromptRun
    this.#mask = mask
    const { planner, sparsity, temperature = 0, seed = 0 } = this.#options
    await this.#report({
      message,
      answer,
      ...(thinking !== '' && { thinking }),
      tokens,
      end,
      firstSeconds: first / 1000,
      seconds: (now() - started) / 1000,
      prompt: run,
      planner,
      sparsity: planner === 'dense' ? 0 : sparsity,
      skipped: achievedBy(mask, this.#opt.config).weights,
      decisions,
      ...(checked && { checked }),
      temperature,
      seed,
    })
  }

  /** Why an answer was ended that repeats itself, and what helps. */
  #loopWords({ length, times }: Repetition): string {
    const { planner } = this.#options
    const lower = planner === 'dense' ? '' : ', and so does a lower /sparsity'
    return `[ended: the last ${length === 1 ? 'token' : countOf(length, 'token')} came ${times} times in a row; /repetition-penalty 1.2 makes loops rarer${lower}]`
  }

  /** The line after an answer. */
  async #report(turn: Turn): Promise<void> {
    if (this.#start.json) return this.#session.print(`${JSON.stringify(turn)}\n`)
    if (this.#start.quiet || !this.#lines.isTerminal) return
    const { tokens, firstSeconds, seconds, prompt, skipped, decisions, checked, end } = turn
    const rate = tokens.length > 1 ? (tokens.length - 1) / (seconds - firstSeconds) : 0
    const words = [
      skippedWords(turn.planner, skipped, checked !== undefined),
      `${rate.toFixed(1)} tokens/s`,
      `${countOf(prompt.tokens, 'token')} read in ${firstSeconds.toFixed(2)} s, ${formatCount(prompt.reused)} from the cache`,
      ...(decisions > 1 ? [`${formatCount(decisions)} masks`] : []),
      ...(checked ? [checkedWords(checked)] : []),
      ...(end === 'stop' ? [] : [end === 'length' ? 'cut at its length' : end]),
    ]
    await this.#session.note(`[${words.join('; ')}]`)
  }

  /** What a command answers; beside JSON it is not data. */
  #say(text: Text): Promise<void> {
    if (this.#start.json) return this.#session.note(text)
    return this.#session.print([typeof text === 'string' ? this.#wrapped(text) : text, '\n'])
  }

  #wrapped(text: string): string {
    return wrapWords(shownText(text), this.#session.screen.columns)
  }
}

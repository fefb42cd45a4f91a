/**
 * Runs a command inside this process and records its output, the files it writes, the models it loads and the sequences it
 * begins. Options such as `--threads` and `--mode` change how a number is computed and not the number; they are visible in
 * the models and sequences.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ProgressUpdate } from '../../../src/cli/progress.ts'
import { runCommandLine } from '../../../src/cli/run.ts'
import type { Session } from '../../../src/cli/session.ts'
import { LanguageModel } from '../../../src/engine/language_model.ts'
import type { Sequence } from '../../../src/engine/sequence.ts'
import { LanguageTrainer } from '../../../src/training/pretrain_trainer.ts'
import { checkOutput } from '../json_schema.ts'
import { plainScreen, render } from '../../../src/cli/screen.ts'
import { quietSession, readingLittle } from '../run_inside.ts'
import { askServer, type Served } from './ask_server.ts'

/** A model that was loaded. */
interface SeenModel {
  readonly backend: string
  readonly storage: string
}

/** A sequence that was begun. */
interface SeenSequence {
  readonly mode: string
  /** The requested storage of keys and values; `none` for the default. */
  readonly cache: string
  /** Its last mask, as zeros and ones; null if dense. */
  readonly mask: string | null
}

/** One run of a command. */
export interface Seen {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  /** Its output, parsed as JSON. @throws SyntaxError if it is not JSON */
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly json: any
  readonly models: readonly SeenModel[]
  readonly sequences: readonly SeenSequence[]
  /** The position and the tokens of each feed, in order. */
  readonly fed: readonly string[]
  /** Whether progress was turned off. */
  readonly isQuiet: boolean
  /** What was chosen of wide vectors; null for nothing. */
  readonly wide: 'on' | 'off' | null
  readonly updates: readonly ProgressUpdate[]
  /** How many WebAssembly modules were started; none by the reference. */
  readonly instances: number
  /** How many threads were started. */
  readonly workers: number
  /** How often the state of a training was read: at each save and at the end. */
  readonly states: number
  /** What a server answered; null for a command that serves nothing. */
  readonly served: Served | null
  /** The calls of the stand-ins for a queue. */
  readonly calls: readonly Readonly<Record<string, unknown>>[]
  /** The content of a file that it wrote into `{out}`; null if there is none of this name. */
  file(name: string): string | null
  /** Whether it made a file or folder of this name in `{out}`. */
  has(name: string): boolean
}

/** The calls of the stand-ins for a queue in the current run. */
export const calls: Record<string, unknown>[] = []

let runs = 0
let before: Promise<unknown> = Promise.resolve()

/**
 * Runs a command line once earlier ones have ended, because records of parallel runs would mix.
 * @param folder replaces `{name}` in arguments by a path in it; `{out}` is a new folder of this run
 */
export function observe(args: readonly string[], folder: string): Promise<Seen> {
  const seen = before.then(() => observeAlone(args, folder))
  before = seen.catch(() => {})
  return seen
}

async function observeAlone(args: readonly string[], folder: string): Promise<Seen> {
  const out = join(folder, `out-${runs++}`)
  mkdirSync(out)
  calls.length = 0
  /** Replaces `{name}` by the path of a file of that name. */
  const fillIn = (argument: string): string =>
    argument.replace(/\{([^}":]+)\}/, (_, name: string) => (name === 'out' ? out : join(folder, name)))
  let [stdout, stderr, isQuiet] = ['', '', false]
  let wide: Seen['wide'] = null
  const updates: ProgressUpdate[] = []
  const interrupt = new AbortController()
  let serving: Promise<Served> | null = null
  const print = (text: string): void => {
    stdout += text
    if (args[0] === 'serve') serving = askServer(text.trim(), args, () => interrupt.abort())
  }
  const session: Session = {
    ...quietSession(print, args.map(fillIn)),
    signal: interrupt.signal,
    quieten: () => void (isQuiet = true),
    joinVectors: (choice) => void (wide = choice ?? null),
    complain: async (text) => void (stderr += render(text, plainScreen)),
    lines: () => {
      const lines = ['abcdef']
      return { isTerminal: false, next: async () => lines.shift() ?? null, close: () => {} }
    },
    progress: { update: (update) => void updates.push(update), clear: () => {} },
  }
  const { result: code, recorded } = await recording(() => readingLittle(() => runCommandLine(session)))
  checkOutput(args, stdout)
  const served = await serving
  return seenOf({ code, stdout, stderr, ...recorded, isQuiet, wide, updates, served, calls: [...calls] }, out)
}

/** What a run gave, and the files of its folder. It keeps no model alive. */
function seenOf(facts: Omit<Seen, 'json' | 'has' | 'file'>, out: string): Seen {
  return {
    ...facts,
    get json() {
      return JSON.parse(facts.stdout)
    },
    has: (name) => existsSync(join(out, name)),
    file: (name) => {
      try {
        return readFileSync(join(out, name), 'latin1')
      } catch {
        return null
      }
    },
  }
}

/** What is recorded of the models of a run. */
type Recorded = Pick<Seen, 'models' | 'sequences' | 'fed' | 'instances' | 'workers' | 'states'>

/** Runs something, and records the models, sequences and threads that it uses. */
async function recording<T>(
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly recorded: Recorded }> {
  const models: SeenModel[] = []
  const begun: { sequence: Sequence; cache: string }[] = []
  const fed: string[] = []
  const counts = { instances: 0, workers: 0, states: 0 }
  const { load } = LanguageModel
  const { begin, checkTokens } = LanguageModel.prototype
  const { readState } = LanguageTrainer.prototype
  const { Instance } = WebAssembly
  // The sources read the class from this module each time they start a thread.
  const threads = process.getBuiltinModule('node:worker_threads')
  const { Worker } = threads
  LanguageModel.load = async (...given) => {
    const model = await load.apply(LanguageModel, given)
    models.push({ backend: model.backend.name, storage: model.weights.storage })
    return model
  }
  LanguageModel.prototype.begin = function (options = {}) {
    const sequence = begin.call(this, options)
    begun.push({ sequence, cache: options.cache ?? 'none' })
    return sequence
  }
  LanguageModel.prototype.checkTokens = function (tokens, past) {
    fed.push(`${past}: ${tokens.join(' ')}`)
    checkTokens.call(this, tokens, past)
  }
  LanguageTrainer.prototype.readState = function () {
    counts.states++
    return readState.call(this)
  }
  WebAssembly.Instance = new Proxy(Instance, {
    construct: (target, given) => {
      counts.instances++
      return Reflect.construct(target, given) as WebAssembly.Instance
    },
  })
  threads.Worker = class extends Worker {
    constructor(...given: ConstructorParameters<typeof Worker>) {
      super(...given)
      // That of a server reads requests, whatever flags say.
      if (!String(given[0]).includes('/server/')) counts.workers++
    }
  }
  try {
    const result = await work()
    const sequences = begun.map(({ sequence: { mode, mask }, cache }) => ({
      mode,
      cache,
      mask: mask && [...mask.heads, ...mask.neurons].join(''),
    }))
    return { result, recorded: { models, sequences, fed, ...counts } }
  } finally {
    LanguageModel.load = load
    LanguageModel.prototype.begin = begin
    LanguageModel.prototype.checkTokens = checkTokens
    LanguageTrainer.prototype.readState = readState
    WebAssembly.Instance = Instance
    threads.Worker = Worker
  }
}

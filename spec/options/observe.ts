/**
 * Runs a command inside this process and records its output, the files it writes, the models it loads and the sequences it
 * begins. Options such as `--threads` and `--mode` change how a number is computed and not the number; they are visible in
 * the models and sequences.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { vi } from 'vitest'
import type { ProgressUpdate } from '../../src/cli/progress.ts'
import { runCommandLine } from '../../src/cli/run.ts'
import type { Session } from '../../src/cli/session.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import type { Sequence } from '../../src/engine/sequence.ts'
import { LanguageTrainer } from '../../src/training/pretrain_trainer.ts'
import { checkOutput } from '../cli/json_schema.ts'
import { quietSession } from '../cli/run_inside.ts'
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
    argument.replace(/\{([^}]+)\}/, (_, name: string) => (name === 'out' ? out : join(folder, name)))
  const models: SeenModel[] = []
  const begun: { sequence: Sequence; cache: string }[] = []
  const fed: string[] = []
  const { load } = LanguageModel
  const { begin, checkTokens } = LanguageModel.prototype
  const loading = vi.spyOn(LanguageModel, 'load').mockImplementation(async (...given) => {
    const model = await load.apply(LanguageModel, given)
    const { backend, weights } = model
    models.push({ backend: backend.name, storage: weights.storage })
    return model
  })
  const beginning = vi.spyOn(LanguageModel.prototype, 'begin').mockImplementation(function (
    this: LanguageModel,
    options = {},
  ) {
    const sequence = begin.call(this, options)
    begun.push({ sequence, cache: options.cache ?? 'none' })
    return sequence
  })
  const feeding = vi.spyOn(LanguageModel.prototype, 'checkTokens').mockImplementation(function (
    this: LanguageModel,
    tokens,
    past,
  ) {
    fed.push(`${past}: ${tokens.join(' ')}`)
    checkTokens.call(this, tokens, past)
  })
  const reading = vi.spyOn(LanguageTrainer.prototype, 'readState')
  const { Instance } = WebAssembly
  let instances = 0
  WebAssembly.Instance = new Proxy(Instance, {
    construct: (target, given) => {
      instances++
      return Reflect.construct(target, given) as WebAssembly.Instance
    },
  })
  // The sources read the class from this module each time they start a thread.
  const threads = process.getBuiltinModule('node:worker_threads')
  const { Worker } = threads
  let workers = 0
  threads.Worker = class extends Worker {
    constructor(...given: ConstructorParameters<typeof Worker>) {
      super(...given)
      workers++
    }
  }
  let stdout = ''
  let stderr = ''
  let isQuiet = false
  const updates: ProgressUpdate[] = []
  const interrupt = new AbortController()
  let serving: Promise<Served> | null = null
  const session: Session = {
    ...quietSession((text) => {
      stdout += text
      if (args[0] === 'serve') serving = askServer(text.trim(), args, () => interrupt.abort())
    }),
    signal: interrupt.signal,
    quieten: () => void (isQuiet = true),
    lines: () => {
      const lines = ['abcdef']
      return { isTerminal: false, next: async () => lines.shift() ?? null, close: () => {} }
    },
    progress: { update: (update) => void updates.push(update), clear: () => {} },
  }
  try {
    const code = await runCommandLine(args.map(fillIn), session, async (text) => void (stderr += text))
    checkOutput(args, stdout)
    return {
      code,
      stdout,
      stderr,
      get json() {
        return JSON.parse(stdout)
      },
      models,
      sequences: begun.map(({ sequence: { mode, mask }, cache }) => ({
        mode,
        cache,
        mask: mask && [...mask.heads, ...mask.neurons].join(''),
      })),
      fed,
      isQuiet,
      updates,
      instances,
      workers,
      served: await serving,
      calls: [...calls],
      states: reading.mock.calls.length,
      has: (name) => existsSync(join(out, name)),
      file: (name) => {
        try {
          return readFileSync(join(out, name), 'latin1')
        } catch {
          return null
        }
      },
    }
  } finally {
    loading.mockRestore()
    beginning.mockRestore()
    feeding.mockRestore()
    reading.mockRestore()
    WebAssembly.Instance = Instance
    threads.Worker = Worker
  }
}

/**
 * What can be seen of a command that runs inside this process: its output, the files it writes, and what models it loads
 * and sequences it begins. Some options change how a number is computed and not the number (`--threads`, `--mode`); they
 * are seen where they arrive.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { vi } from 'vitest'
import type { ProgressUpdate } from '../../src/cli/progress.ts'
import { runCommandLine } from '../../src/cli/run.ts'
import type { Session } from '../../src/cli/session.ts'
import { OptModel } from '../../src/model/opt/opt_model.ts'
import type { Sequence } from '../../src/model/opt/sequence.ts'
import { LanguageTrainer } from '../../src/train/pretrain_trainer.ts'
import { quietSession } from '../cli/run_inside.ts'

/** A model that was loaded. */
export interface SeenModel {
  readonly backend: string
  readonly storage: string
}

/** A sequence that was begun. */
export interface SeenSequence {
  readonly mode: string
  /** What it was asked to keep keys and values as; `none` for the default. */
  readonly cache: string
  /** The mask that was in force at its end, as zeros and ones; null is dense. */
  readonly mask: string | null
}

/** One run of a command. */
export interface Seen {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  /** What it printed as JSON. @throws SyntaxError if it is none */
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly json: any
  readonly models: readonly SeenModel[]
  readonly sequences: readonly SeenSequence[]
  /** The tokens of each feed and the position of the first, in order. */
  readonly fed: readonly string[]
  /** Whether progress was turned off. */
  readonly isQuiet: boolean
  readonly updates: readonly ProgressUpdate[]
  /** How many WebAssembly modules were started; none by the reference. */
  readonly instances: number
  /** How many threads were started. */
  readonly workers: number
  /** How often the state of a training was read, which is once for each time it is kept, and once at the end. */
  readonly states: number
  readonly told: readonly Readonly<Record<string, unknown>>[]
  /** A file that it wrote into the folder of its outputs; null if it wrote none of the name. */
  file(name: string): string | null
  /** Whether it made a file or folder of that name there. */
  has(name: string): boolean
}

/** What the players of others (a queue) were told in the run at hand. */
export const told: Record<string, unknown>[] = []

let runs = 0
let before: Promise<unknown> = Promise.resolve()

/**
 * Runs a command line, after those before it: what is seen of two at once could not be told apart.
 * @param folder where `{name}` is looked for; `{out}` is a folder of this run alone
 */
export function observe(args: readonly string[], folder: string): Promise<Seen> {
  const seen = before.then(() => observeAlone(args, folder))
  before = seen.catch(() => {})
  return seen
}

async function observeAlone(args: readonly string[], folder: string): Promise<Seen> {
  const out = join(folder, `out-${runs++}`)
  mkdirSync(out)
  told.length = 0
  /** Replaces `{name}` by the path of a file of that name. */
  const fillIn = (argument: string): string =>
    argument.replace(/\{([^}]+)\}/, (_, name: string) => (name === 'out' ? out : join(folder, name)))
  const models: SeenModel[] = []
  const begun: { sequence: Sequence; cache: string }[] = []
  const fed: string[] = []
  const { load } = OptModel
  const { begin, checkTokens } = OptModel.prototype
  const loading = vi.spyOn(OptModel, 'load').mockImplementation(async (...given) => {
    const model = await load.apply(OptModel, given)
    const { backend, weights } = model
    models.push({ backend: backend.name, storage: weights.storage })
    return model
  })
  const beginning = vi.spyOn(OptModel.prototype, 'begin').mockImplementation(function (
    this: OptModel,
    options = {},
  ) {
    const sequence = begin.call(this, options)
    begun.push({ sequence, cache: options.cache ?? 'none' })
    return sequence
  })
  const feeding = vi.spyOn(OptModel.prototype, 'checkTokens').mockImplementation(function (
    this: OptModel,
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
  // Threads are made by a class that is looked for in this module each time.
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
  const session: Session = {
    ...quietSession((text) => (stdout += text)),
    quieten: () => void (isQuiet = true),
    progress: { update: (update) => void updates.push(update), clear: () => {} },
  }
  try {
    const code = await runCommandLine(args.map(fillIn), session, async (text) => void (stderr += text))
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
      told: [...told],
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

/**
 * A cell: a thread in which readers are given inputs, with a limit of time and one of memory. What breaks a limit is
 * ended, is a fault like any other, and the next input is tried in a new thread.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Outcome } from './judge.ts'

/** What a cell's thread is started with. */
export interface Setting {
  /** The URL of a module with `readers` and `inputsOf`. */
  readonly module: string
  /** [which input it is at, whether it is being read] */
  readonly place: Int32Array<SharedArrayBuffer>
  /** For files; the cell removes it, because a thread that is ended cannot. */
  readonly folder: string
  /** Bugs to plant in modules before they are loaded. */
  readonly plants: readonly Plant[]
}

/** A bug: other words in the place of some that occur once in a source file, named from the root. */
export interface Plant {
  readonly file: string
  readonly from: string
  readonly to: string
}

/** What a cell does: inputs `from` up to `to`, as many as the time allows. */
export interface Job {
  readonly reader: string
  readonly from: number
  readonly to: number
  /** The inputs are these; else mutants of this seed; else those of the table. */
  readonly inputs?: readonly Uint8Array[]
  readonly seed?: number
  readonly milliseconds?: number
  /** Whether each input is read once; default: twice, with the same answer. */
  readonly once?: boolean
}

/** What the thread says of one input. */
export interface Answer {
  readonly index: number
  readonly outcome: Outcome
  /** Processor time of the process. */
  readonly milliseconds: number
}

type OnOutcome = (index: number, outcome: Outcome, milliseconds: number) => void

export interface Limits {
  /** For one input, by `workTime`. */
  readonly milliseconds: number
  /** Of the thread's heap. */
  readonly megabytes: number
}

/**
 * A clock of work, in milliseconds: processor time of this process plus a tenth of wall time, so that a reader that waits for
 * ever ends too. On a busy machine it slows down with the readers.
 */
function workTime(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000 + performance.now() / 10
}

/** Generous: a slow machine is no fault. */
export const usualLimits: Limits = { milliseconds: 60_000, megabytes: 1024 }

/** The readers of this project. */
export const projectReaders: URL = new URL('./readers.ts', import.meta.url)

/** See the head of this file. */
export class Cell {
  readonly #module: URL
  readonly #limits: Limits
  readonly #now: () => number
  readonly #plants: readonly Plant[]
  readonly #place = new Int32Array(new SharedArrayBuffer(8))
  #worker: Worker | null = null
  #folder = ''

  /**
   * @param now the clock for the limits of inputs
   * @param plants bugs in the modules of its thread
   */
  constructor(
    module: URL = projectReaders,
    limits: Limits = usualLimits,
    now: () => number = workTime,
    plants: readonly Plant[] = [],
  ) {
    this.#module = module
    this.#limits = limits
    this.#now = now
    this.#plants = plants
  }

  /**
   * Does a job, and tells what became of each input in order, and the processor time that it took in milliseconds: 0 if the
   * thread was ended.
   * @returns the first input that was not tried
   */
  async run(job: Job, onOutcome: OnOutcome): Promise<number> {
    const end = performance.now() + (job.milliseconds ?? Infinity)
    let next = job.from
    while (next < job.to && performance.now() < end) {
      const from = next
      const fault = await this.#runPart({ ...job, from }, (index, outcome, milliseconds) => {
        next = index + 1
        onOutcome(index, outcome, milliseconds)
      })
      if (fault === 'done') break
      if (fault === 'stained') continue
      onOutcome(next, { kind: 'fault', what: fault }, 0)
      next++
    }
    return next
  }

  /** Ends the thread. */
  async close(): Promise<void> {
    await this.#worker?.terminate()
    this.#worker = null
    if (this.#folder !== '') rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Works until the job is done, the thread is not what it was, or it is no more: then what ended it. */
  async #runPart(job: Job, onOutcome: OnOutcome): Promise<string> {
    const worker = (this.#worker ??= await this.#start())
    const listening = new AbortController()
    const { signal } = listening
    const hear = (event: string, handler: (value: never) => void): void => {
      worker.on(event, handler as () => void)
      signal.addEventListener('abort', () => worker.off(event, handler as () => void))
    }
    let watch: NodeJS.Timeout | undefined
    try {
      const end = await new Promise<string>((resolve, reject) => {
        const isReading = (): boolean => Atomics.load(this.#place, 1) === 1
        let last = -1
        let since = this.#now()
        watch = setInterval(() => {
          const index = isReading() ? Atomics.load(this.#place, 0) : -1
          if (index !== last || index < 0) [last, since] = [index, this.#now()]
          else if (this.#now() - since > this.#limits.milliseconds) {
            clearInterval(watch)
            resolve('no end in time')
          }
        }, 50)
        hear('error', (error: NodeJS.ErrnoException) => {
          this.#worker = null
          if (error.code === 'ERR_WORKER_OUT_OF_MEMORY') resolve('no end of memory')
          else if (isReading()) resolve(`thrown past the reader: ${error.name}`)
          else reject(error)
        })
        // What runs out of memory near a limit may end without an error.
        hear('exit', () => {
          this.#worker = null
          resolve('no end of memory')
        })
        hear('message', (message: 'done' | 'stained' | Answer) => {
          if (message === 'done' || message === 'stained') resolve(message)
          else onOutcome(message.index, message.outcome, message.milliseconds)
        })
        worker.postMessage(job, [])
      })
      // Not sooner: a thread that is ended says so, in Deno at once, and would be taken for one out of memory.
      if (end === 'no end in time' || end === 'stained') await this.close()
      return end
    } finally {
      clearInterval(watch)
      listening.abort()
    }
  }

  #start(): Promise<Worker> {
    this.#place.fill(0)
    if (this.#folder !== '') rmSync(this.#folder, { recursive: true, force: true })
    this.#folder = mkdtempSync(join(tmpdir(), 'shadowllm-cell-'))
    const worker = new Worker(new URL('./cell_thread.ts', import.meta.url), {
      workerData: {
        module: this.#module.href,
        place: this.#place,
        folder: this.#folder,
        plants: this.#plants,
      } satisfies Setting,
      // The stack is that of a process, whose calls take fewer arguments than those of a thread.
      resourceLimits: { maxOldGenerationSizeMb: this.#limits.megabytes, stackSizeMb: 1 },
      execArgv: [],
    })
    return new Promise((resolve, reject) => {
      worker.once('error', reject)
      worker.once('message', () => resolve(worker))
    })
  }
}

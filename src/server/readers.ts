/**
 * Threads that read requests, so that no body holds up the thread that answers everybody.
 *
 * A short body without a template is read at once. Others go to one of two threads, one for bodies that are soon read and one
 * for long ones, which thus wait for each other only. Each reads one at a time, within a deadline: a thread that has not
 * answered by then, or has outgrown its memory, is ended, and the next request starts another. Those that wait have places in
 * the queue of requests.
 */
import { runtime, shareBytes, startThread, type Thread } from '../platform/platform.ts'
import { isObject } from '../tensor/arguments.ts'
import { unpackError } from '../tensor/packed_error.ts'
import { READ_AT_ONCE, READ_SOON, READER_HEAP } from './amounts.ts'
import { packModel } from './packed_model.ts'
import { RequestError } from './request_error.ts'
import { RequestReader, type Reading, type ReadingModel } from './reading.ts'
import type { FromReader, ToReader } from './reading_thread.ts'
import type { BodyName } from './requests.ts'
import type { Scheduler } from './scheduler.ts'

/** A request that is to be read. */
interface Task {
  readonly name: BodyName
  readonly bytes: Uint8Array
  done(reading: Reading[BodyName]): void
  fail(reason: unknown): void
}

/** Reads requests. */
export class Readers {
  readonly #scheduler: Scheduler
  readonly #here: RequestReader
  readonly #soon: Lane
  readonly #late: Lane

  /** @param deadline milliseconds that reading may take */
  constructor(model: ReadingModel, scheduler: Scheduler, deadline: number) {
    this.#scheduler = scheduler
    this.#here = new RequestReader(model)
    const packed = packModel(model)
    this.#soon = new Lane(packed, deadline)
    this.#late = new Lane(packed, deadline)
  }

  /**
   * Reads a request.
   * @throws as `RequestReader.read`; RequestError READING for a body that takes too long, QUEUE_FULL, DRAINING; the reason of the
   *   signal
   */
  async read<Name extends BodyName>(
    name: Name,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<Reading[Name]> {
    if (bytes.length <= READ_AT_ONCE) {
      const reading = this.#here.read(name, bytes, false)
      if (reading !== null) return reading
    }
    const lane = bytes.length <= READ_SOON ? this.#soon : this.#late
    const leave = lane.isBusy ? this.#scheduler.wait() : null
    try {
      return (await lane.read(name, bytes, signal)) as Reading[Name]
    } finally {
      leave?.()
    }
  }

  /** Starts the thread of short bodies, so that the first chat does not wait for it. */
  start(): void {
    this.#soon.start()
  }

  /** Ends what is being read. @param reason for those who wait */
  end(reason: unknown): void {
    for (const lane of [this.#soon, this.#late]) lane.end(reason)
  }
}

/** Bytes of the heap of a tokenizer for each of those it is packed in: 18 of SmolLM2's. */
const TOKENIZER_HEAP = 24

/** One thread, and who waits for it. */
class Lane {
  readonly #model: Uint8Array
  readonly #deadline: number
  /** The limit of the thread's heap in MiB. */
  readonly #heap: number
  readonly #waiting = new Set<Task>()
  #thread: Thread | null = null
  /** Whether the thread has its model. */
  #isReady = false
  #doing: Task | null = null
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(model: Uint8Array, deadline: number) {
    this.#model = model
    this.#deadline = deadline
    this.#heap = Math.ceil(READER_HEAP + (TOKENIZER_HEAP * model.length) / 2 ** 20)
  }

  get isBusy(): boolean {
    return this.#doing !== null
  }

  read(name: BodyName, bytes: Uint8Array, signal: AbortSignal): Promise<Reading[BodyName]> {
    signal.throwIfAborted()
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        // What is being read is read to the end: another thread would cost more.
        this.#waiting.delete(task)
        reject(signal.reason as Error)
      }
      const settled = (): void => signal.removeEventListener('abort', onAbort)
      const task: Task = {
        name,
        bytes,
        done: (reading) => (settled(), resolve(reading)),
        fail: (reason) => (settled(), reject(reason as Error)),
      }
      signal.addEventListener('abort', onAbort)
      this.#waiting.add(task)
      this.#next()
    })
  }

  start(): void {
    if (this.#thread) return
    this.#isReady = false
    this.#thread = this.#startThread()
  }

  end(reason: unknown): void {
    const left = [...this.#waiting]
    this.#waiting.clear()
    this.#stop(reason)
    for (const task of left) task.fail(reason)
  }

  /** Gives the thread its next request. */
  #next(): void {
    const [task] = this.#waiting
    if (this.#doing || !task) return
    this.#waiting.delete(task)
    this.#doing = task
    this.start()
    const { name, bytes } = task
    this.#thread?.send({ name, bytes: shareBytes(bytes) } satisfies ToReader)
    if (this.#isReady) this.#watch()
  }

  /** The deadline of what is being read begins. */
  #watch(): void {
    const slow = (): void => this.#stop(tooSlow(`at most ${this.#deadline / 1000} s`))
    this.#timer = setTimeout(slow, this.#deadline)
  }

  /** Ends the thread amid whatever it reads. */
  #stop(reason: unknown): void {
    const thread = this.#thread
    this.#thread = null
    void thread?.terminate()
    this.#settle()?.fail(reason)
    this.#next()
  }

  /** The request that was being read is no longer. */
  #settle(): Task | null {
    const task = this.#doing
    this.#doing = null
    clearTimeout(this.#timer)
    return task
  }

  #startThread(): Thread {
    const thread = startThread(
      (Worker) => new Worker(new URL('./reading_thread.ts', import.meta.url), { type: 'module' }),
      {
        onMessage: (message) => {
          if (thread === this.#thread) this.#hear(message as FromReader)
        },
        onError: (error) => {
          if (thread === this.#thread)
            this.#stop(isOutOfMemory(error) ? tooSlow(`at most ${this.#heap} MiB`) : error)
        },
        onEnd: () => {
          if (thread === this.#thread)
            this.#stop(new Error('reader: expected an answer, got the end of its thread'))
        },
      },
      // Deno ends a thread at its limit, which a body of 4 MiB reaches there, without a word.
      runtime.name === 'deno' ? undefined : this.#heap,
    )
    thread.release()
    thread.send({ model: this.#model } satisfies ToReader)
    return thread
  }

  #hear(message: FromReader): void {
    if ('ready' in message) {
      this.#isReady = true
      if (this.#doing) this.#watch()
      return
    }
    answerTask(this.#settle(), message)
    this.#next()
  }
}

/** Tells a request what came of it. */
function answerTask(task: Task | null, message: Exclude<FromReader, { readonly ready: true }>): void {
  if ('reading' in message) {
    const { reading } = message
    // No answer can be made of shared memory.
    return task?.done(reading instanceof Uint8Array ? reading.slice() : reading)
  }
  const { failure, status, stack } = message
  if (status !== null && failure.code !== undefined)
    return task?.fail(new RequestError(status, failure.code, failure.message, failure))
  const error = unpackError(failure)
  error.stack = stack
  task?.fail(error)
}

function isOutOfMemory(error: Error): boolean {
  return isObject(error) && (error as { code?: unknown }).code === 'ERR_WORKER_OUT_OF_MEMORY'
}

function tooSlow(expected: string): RequestError {
  return new RequestError(400, 'READING', `body: expected one whose reading takes ${expected}, got more`)
}

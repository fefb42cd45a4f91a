/**
 * Threads that run a module and communicate by messages: `node:worker_threads` in Node and Deno, and workers in a browser. Messages
 * are copied, except shared memory.
 */
import { builtin, hostProcess } from './builtin.ts'
import { mayJoinVectors, type Inherited } from './compiler_flags.ts'

/** A thread, as seen by the thread that started it. */
export interface Thread {
  send(message: unknown): void
  /** Lets the process end while the thread runs. */
  release(): void
  /**
   * Asks it to end. It ends when it has read all earlier messages and has nothing else to do, also if it is only starting; it is
   * terminated if that takes longer than PATIENCE. The process stays alive until then. A browser terminates it at once.
   */
  end(): Promise<void>
  /** Asks it to end, as `end` does, however long that takes: the process may end before. A browser terminates it at once. */
  abandon(): void
  /** Terminates it amid whatever it does: for a thread that may never end by itself. */
  terminate(): Promise<void>
}

/** How long a thread may take to end, in milliseconds: longer than a start on a busy machine. */
const PATIENCE = 30_000

/** The room for new values of a thread with a limit, in MiB. */
const NEW_VALUES = 8

/** The message that asks a thread to end. */
const END = 'end of thread'

/** Handlers of the events of a thread. */
export interface ThreadEvents {
  readonly onMessage: (message: unknown) => void
  /** It failed and has ended. */
  readonly onError: (error: Error) => void
  /** It has ended. Browsers do not emit this event. */
  readonly onEnd?: () => void
}

/** The worker constructor of the runtime. */
type ThreadStarter<Started> = new (module: URL, options: { type: 'module' }) => Started

/**
 * The code of a thread, in exactly this form:
 *
 *   (Worker) => new Worker(new URL('./some.ts', import.meta.url), { type: 'module' })
 *
 * Bundlers recognise this form and bundle the module with its imports.
 */
export type ThreadCode = <Started>(Worker: ThreadStarter<Started>) => Started

/**
 * Starts a thread, which keeps the process alive until it is ended or released.
 * @param megabytes the limit of its heap, of which new values have little room, so that it is collected often; browsers have their
 *   own limits
 */
export function startThread(code: ThreadCode, events: ThreadEvents, megabytes?: number): Thread {
  if (hostProcess === null) return startInBrowser(code, events)
  const { Worker } = builtin('node:worker_threads')
  const resourceLimits = { maxOldGenerationSizeMb: megabytes, maxYoungGenerationSizeMb: NEW_VALUES }
  const limits = megabytes === undefined ? {} : { resourceLimits }
  const workerData: Inherited = { joinsVectors: mayJoinVectors() }
  class LimitedWorker extends Worker {
    constructor(module: URL) {
      super(module, { ...limits, workerData })
    }
  }
  const worker = code(LimitedWorker)
  worker.on('message', events.onMessage)
  worker.on('error', events.onError)
  if (events.onEnd) worker.on('exit', events.onEnd)
  const ended = new Promise<void>((resolve) => worker.on('exit', () => resolve()))
  const terminate = async (): Promise<void> => void (await worker.terminate())
  return {
    send: (message) => worker.postMessage(message, []),
    release: () => worker.unref(),
    async end() {
      worker.ref()
      worker.postMessage(END, [])
      const watch = setTimeout(() => void terminate(), PATIENCE)
      await ended
      clearTimeout(watch)
    },
    abandon() {
      worker.unref()
      worker.postMessage(END, [])
    },
    terminate,
  }
}

function startInBrowser(code: ThreadCode, { onMessage, onError }: ThreadEvents): Thread {
  const worker = code(Worker)
  worker.addEventListener('message', ({ data }: MessageEvent<unknown>) => onMessage(data))
  worker.addEventListener('error', ({ message }) => onError(new Error(message)))
  const terminate = async (): Promise<void> => worker.terminate()
  return {
    send: (message) => worker.postMessage(message, []),
    release: () => {},
    // Browsers do not report that a worker has ended.
    end: terminate,
    abandon: () => worker.terminate(),
    terminate,
  }
}

/** The global scope of a browser worker. */
interface WorkerScope {
  readonly WorkerGlobalScope?: unknown
  addEventListener(type: 'message', listener: (event: MessageEvent<unknown>) => void): void
  postMessage(message: unknown, transfer: Transferable[]): void
}

/**
 * Inside a thread: the channel to the thread that started it. Null outside of threads.
 * @param onEnd called when the thread is asked to end: it reads no more messages, and is to finish what it does
 */
export function listenAsThread(
  onMessage: (message: unknown) => void,
  onEnd?: () => void,
): ((answer: unknown) => void) | null {
  if (hostProcess === null) {
    const scope = globalThis as unknown as WorkerScope
    if (scope.WorkerGlobalScope === undefined) return null
    scope.addEventListener('message', ({ data }) => onMessage(data))
    return (answer) => scope.postMessage(answer, [])
  }
  const port = builtin('node:worker_threads').parentPort
  if (port === null) return null
  // A port without listeners lets its thread end.
  const listen = (message: unknown): void => {
    if (message !== END) return onMessage(message)
    port.off('message', listen)
    onEnd?.()
  }
  port.on('message', listen)
  return (answer) => port.postMessage(answer, [])
}

/**
 * Inside a thread: unhandled rejections do not end it. For libraries that start several reads at once and report the first
 * failure.
 */
export function ignoreStrayRejections(): void {
  hostProcess?.on('unhandledRejection', () => {})
}

/** Whether threads can share memory. A page must be cross-origin isolated for that. */
export function canShareMemory(): boolean {
  return typeof SharedArrayBuffer === 'function' && globalThis.crossOriginIsolated !== false
}

/** A copy of bytes in shared memory, which a message passes on as it is: Deno copies other bytes in 150 ms a megabyte. */
export function shareBytes(bytes: Uint8Array): Uint8Array {
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length))
  shared.set(bytes)
  return shared
}

const { pause } = Atomics as { pause?: () => void }

/** A spin-wait hint for a loop that waits for another thread. */
export function relax(): void {
  pause?.()
}

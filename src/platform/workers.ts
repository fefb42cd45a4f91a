/**
 * Threads that run a module and communicate by messages: `node:worker_threads` in Node and Deno, and workers in a browser. Messages
 * are copied, except shared memory.
 */
import { builtin, hostProcess } from './builtin.ts'

/** A thread, as seen by the thread that started it. */
export interface Thread {
  send(message: unknown): void
  /** Lets the process end while the thread runs. */
  release(): void
  /** Ends it at once. */
  end(): Promise<void>
}

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
 * @param megabytes the limit of its heap; browsers have their own limits
 */
export function startThread(code: ThreadCode, events: ThreadEvents, megabytes?: number): Thread {
  if (hostProcess === null) return startInBrowser(code, events)
  const { Worker } = builtin('node:worker_threads')
  const limits = megabytes === undefined ? {} : { resourceLimits: { maxOldGenerationSizeMb: megabytes } }
  class LimitedWorker extends Worker {
    constructor(module: URL) {
      super(module, limits)
    }
  }
  const worker = code(LimitedWorker)
  worker.on('message', events.onMessage)
  worker.on('error', events.onError)
  if (events.onEnd) worker.on('exit', events.onEnd)
  return {
    send: (message) => worker.postMessage(message, []),
    release: () => worker.unref(),
    end: async () => void (await worker.terminate()),
  }
}

function startInBrowser(code: ThreadCode, { onMessage, onError }: ThreadEvents): Thread {
  const worker = code(Worker)
  worker.addEventListener('message', ({ data }: MessageEvent<unknown>) => onMessage(data))
  worker.addEventListener('error', ({ message }) => onError(new Error(message)))
  return {
    send: (message) => worker.postMessage(message, []),
    release: () => {},
    end: async () => worker.terminate(),
  }
}

/** The global scope of a browser worker. */
interface WorkerScope {
  readonly WorkerGlobalScope?: unknown
  addEventListener(type: 'message', listener: (event: MessageEvent<unknown>) => void): void
  postMessage(message: unknown, transfer: Transferable[]): void
}

/** Inside a thread: the channel to the thread that started it. Null outside of threads. */
export function listenAsThread(onMessage: (message: unknown) => void): ((answer: unknown) => void) | null {
  if (hostProcess === null) {
    const scope = globalThis as unknown as WorkerScope
    if (scope.WorkerGlobalScope === undefined) return null
    scope.addEventListener('message', ({ data }) => onMessage(data))
    return (answer) => scope.postMessage(answer, [])
  }
  const port = builtin('node:worker_threads').parentPort
  if (port === null) return null
  port.on('message', onMessage)
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

const { pause } = Atomics as { pause?: () => void }

/** A spin-wait hint for a loop that waits for another thread. */
export function relax(): void {
  pause?.()
}

/**
 * Threads of this process that run a module of their own and talk in messages: `node:worker_threads`, which Deno has
 * under the same name, and workers in a browser. A message is copied; what is shared is memory made to be shared.
 */
import { builtin, hostProcess } from './builtin.ts'

/** A thread, as the one that started it sees it. */
export interface Thread {
  send(message: unknown): void
  /** Lets the process end while the thread runs. */
  release(): void
  /** Ends it, whatever it is doing. */
  end(): Promise<void>
}

/** What a thread is told, or says. */
export interface ThreadEvents {
  readonly onMessage: (message: unknown) => void
  /** It failed, and is over. */
  readonly onError: (error: Error) => void
  /** It is over, for whatever reason. A browser does not tell. */
  readonly onEnd?: () => void
}

/** What starts a module in a thread, here. */
export type ThreadStarter<Started> = new (module: URL, options: { type: 'module' }) => Started

/**
 * A thread's code, written out as
 *
 *   (Worker) => new Worker(new URL('./some.ts', import.meta.url), { type: 'module' })
 *
 * and in no other way: where a bundler sees these words it takes the module along, with what it imports.
 */
export type ThreadCode = <Started>(Worker: ThreadStarter<Started>) => Started

/**
 * Starts a thread, which keeps the process alive until it is ended or released.
 * @param megabytes of its heap, beyond which it fails; a browser has limits of its own
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

/** What a worker of a browser has as its global scope. */
interface WorkerScope {
  readonly WorkerGlobalScope?: unknown
  addEventListener(type: 'message', listener: (event: MessageEvent<unknown>) => void): void
  postMessage(message: unknown, transfer: Transferable[]): void
}

/** Inside a thread: hears the one that started it, and answers. Null outside of threads. */
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
 * Inside a thread: promises that fail after everyone has turned away from them do not end it. For libraries that start
 * several reads at once and report the first that fails.
 */
export function ignoreStrayRejections(): void {
  hostProcess?.on('unhandledRejection', () => {})
}

/** Whether threads can share memory here. A page needs to be isolated from other origins for that. */
export function canShareMemory(): boolean {
  return typeof SharedArrayBuffer === 'function' && globalThis.crossOriginIsolated !== false
}

const { pause } = Atomics as { pause?: () => void }

/** Inside a loop that waits for another thread: lets the processor know. */
export function relax(): void {
  pause?.()
}

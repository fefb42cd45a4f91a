/**
 * Threads of this process that run a module of their own and talk in messages: `node:worker_threads`, which Deno has
 * under the same name. A message is copied. Nothing else is shared.
 */
import { builtin } from './builtin.ts'

/** A thread, as the one that started it sees it. */
export interface Thread {
  send(message: unknown): void
  /** Ends it, whatever it is doing. */
  end(): Promise<void>
}

/** What a thread is told, or says. */
export interface ThreadEvents {
  readonly onMessage: (message: unknown) => void
  /** It failed, and is over. */
  readonly onError: (error: Error) => void
}

/** Starts a thread, which keeps the process alive until it is ended. @param module its code, by `new URL('./some.ts', import.meta.url)` */
export function startThread(module: URL, { onMessage, onError }: ThreadEvents): Thread {
  const { Worker } = builtin('node:worker_threads')
  const worker = new Worker(module)
  worker.on('message', onMessage)
  worker.on('error', onError)
  return {
    send: (message) => worker.postMessage(message, []),
    end: async () => void (await worker.terminate()),
  }
}

/** Inside a thread: hears the one that started it, and answers. Null outside of threads. */
export function listenAsThread(onMessage: (message: unknown) => void): ((answer: unknown) => void) | null {
  const port = builtin('node:worker_threads').parentPort
  if (port === null) return null
  port.on('message', onMessage)
  return (answer) => port.postMessage(answer, [])
}

/**
 * A page that does nothing but run the laws, in a thread: `runLaws` of its global scope, for who drives it from outside.
 */
import type { LawReport, VerifyOptions } from '../../../src/verify/index.ts'
import type { ThreadAnswer } from './laws_thread.ts'

/** Runs the laws in a thread. Rejects with the words of what ended it, if it was not the last law. */
function runLaws(options: VerifyOptions): Promise<LawReport[]> {
  const reports: LawReport[] = []
  const thread = new Worker(new URL('./laws_thread.ts', import.meta.url), { type: 'module' })
  return new Promise<LawReport[]>((resolve, reject) => {
    thread.addEventListener('error', ({ message }) => reject(new Error(`the thread: ${message}`)))
    thread.addEventListener('message', ({ data }: MessageEvent<ThreadAnswer>) => {
      if ('report' in data) reports.push(data.report)
      else if ('error' in data) reject(new Error(data.error))
      else resolve(reports)
    })
    thread.postMessage(options, [])
  }).finally(() => thread.terminate())
}

Object.assign(globalThis, { runLaws })

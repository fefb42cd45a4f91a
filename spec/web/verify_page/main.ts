/**
 * A page that does nothing but run the laws, or write a text on WebGPU, in a thread: `runLaws` and `writeText` of its global scope, for
 * who drives it from outside.
 */
import type { LawReport } from '../../../src/verify/index.ts'
import type { LawsTask, ThreadAnswer } from './laws_thread.ts'
import type { TextAnswer, TextTask } from './text_thread.ts'

/**
 * Has a thread do a task, and ends it when `take` gives back a result. Rejects with the words of what ended the thread before.
 * @param take what is done with each answer; undefined if there are to be more
 */
function ask<Answer extends object, Result>(
  thread: Worker,
  task: object,
  take: (answer: Exclude<Answer, { error: string }>) => Result | undefined,
): Promise<Result> {
  return new Promise<Result>((resolve, reject) => {
    thread.addEventListener('error', ({ message }) => reject(new Error(`the thread: ${message}`)))
    thread.addEventListener('message', ({ data }: MessageEvent<Answer>) => {
      if ('error' in data) return reject(new Error(data.error as string))
      const result = take(data as Exclude<Answer, { error: string }>)
      if (result !== undefined) resolve(result)
    })
    thread.postMessage(task, [])
  }).finally(() => thread.terminate())
}

function runLaws(task: LawsTask): Promise<LawReport[]> {
  const reports: LawReport[] = []
  const thread = new Worker(new URL('./laws_thread.ts', import.meta.url), { type: 'module' })
  return ask<ThreadAnswer, LawReport[]>(thread, task, (answer) => {
    if ('done' in answer) return reports
    reports.push(answer.report)
  })
}

function writeText(task: TextTask): Promise<number> {
  const thread = new Worker(new URL('./text_thread.ts', import.meta.url), { type: 'module' })
  return ask<TextAnswer, number>(thread, task, ({ tokens }) => tokens)
}

Object.assign(globalThis, { runLaws, writeText })

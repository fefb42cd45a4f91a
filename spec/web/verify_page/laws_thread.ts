/**
 * The thread of that page: is told what to run, and answers with a report per law.
 */
import { listenAsThread } from '../../../src/platform/platform.ts'
import { verify, type LawReport, type VerifyOptions } from '../../../src/verify/index.ts'
import { lawsOfPart, type Part } from '../../verify/part_of_suite.ts'
import { wordsOf } from './words_of.ts'

/** What to run: the whole suite, or a part of it. */
export type LawsTask = Omit<VerifyOptions, 'laws' | 'signal'> & Part

/** What it says: a report, that it is done, or what ended it. */
export type ThreadAnswer = { report: LawReport } | { done: true } | { error: string }

const answer = listenAsThread((task) => {
  const say = (words: ThreadAnswer): void => answer?.(words)
  run(task as LawsTask, say).then(
    () => say({ done: true }),
    (error: unknown) => say({ error: wordsOf(error) }),
  )
})

async function run(task: LawsTask, say: (words: ThreadAnswer) => void): Promise<void> {
  for await (const report of verify({ ...task, laws: lawsOfPart(task) })) say({ report })
}

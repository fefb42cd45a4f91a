/**
 * ARC Easy (Clark et al. 2018): grade-school science questions with three to five answers.
 */
import { choose, type Task } from './task.ts'

export const arcEasy: Task = {
  name: 'arc_easy',
  version: 1,
  metrics: ['acc', 'acc_norm'],
  fields: 'question, choices { text, label }, answerKey (or answer, an index)',
  read(row) {
    const { texts, labels } = row.choices('choices')
    const gold = row.has('answerKey') ? row.oneOf('answerKey', labels) : row.index('answer', texts.length)
    return choose(`Question: ${row.text('question')}\nAnswer:`, texts, gold)
  },
}

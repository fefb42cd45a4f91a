/**
 * OpenBookQA (Mihaylov et al. 2018): elementary science questions; the context is the question stem alone.
 */
import { choose, type Task } from './task.ts'

export const openbookqa: Task = {
  name: 'openbookqa',
  version: 1,
  metrics: ['acc', 'acc_norm'],
  fields: 'question_stem, choices { text, label }, answerKey',
  read(row) {
    const { texts, labels } = row.choices('choices')
    const gold = row.oneOf('answerKey', labels, row.text('answerKey').trimStart())
    return choose(row.text('question_stem'), texts, gold)
  },
}

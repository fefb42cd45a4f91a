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
    const gold = labels.indexOf(row.text('answerKey').trimStart())
    if (gold < 0) throw row.refuse('answerKey', labels.join(' or '), row.text('answerKey'))
    return choose(row.text('question_stem'), texts, gold)
  },
}

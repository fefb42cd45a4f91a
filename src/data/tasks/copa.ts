/**
 * COPA (Roemmele et al. 2011; in SuperGLUE): the likelier cause or effect of a premise. The premise loses its full stop
 * and gets "because" or "therefore"; the answer goes on in lower case.
 *
 * Two spaces stand before an answer, as in lm-evaluation-harness 0.4: one comes from its functions for COPA, and
 * `target_delimiter` adds another.
 */
import { strip } from '../python_text.ts'
import { choose, type Task } from './task.ts'

const connectors = ['because', 'therefore']

export const copa: Task = {
  name: 'copa',
  version: 1,
  metrics: ['acc'],
  fields: 'premise, question (cause or effect), choice1, choice2, label',
  read(row) {
    const connector = connectors[row.oneOf('question', ['cause', 'effect'])]
    const context = `${strip(row.text('premise')).slice(0, -1)} ${connector}`
    return choose(context, [row.text('choice1'), row.text('choice2')].map(answerOf), row.index('label', 2))
  },
}

function answerOf(text: string): string {
  const [first] = text
  return ` ${first.toLowerCase()}${text.slice(first.length)}`
}

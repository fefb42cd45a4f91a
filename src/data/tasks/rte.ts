/**
 * RTE (Dagan et al. 2005 and later; in GLUE and SuperGLUE): whether a text entails a statement, as True or False.
 *
 * The fields are sentence1 and sentence2 in GLUE, premise and hypothesis in SuperGLUE. A label is 0 (entailment), 1, or a word.
 */
import { choose, type Task } from './task.ts'

export const rte: Task = {
  name: 'rte',
  version: 1,
  metrics: ['acc'],
  fields: 'sentence1, sentence2 (or premise, hypothesis), label (0 or entailment, 1 or not_entailment)',
  read(row) {
    const isGlue = row.has('sentence1')
    const premise = row.text(isGlue ? 'sentence1' : 'premise')
    const hypothesis = row.text(isGlue ? 'sentence2' : 'hypothesis')
    const gold = row.oneOf('label', [0, 1, 'entailment', 'not_entailment']) % 2
    return choose(`${premise}\nQuestion: ${hypothesis} True or False?\nAnswer:`, ['True', 'False'], gold)
  },
}

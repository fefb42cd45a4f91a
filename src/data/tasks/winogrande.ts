/**
 * WinoGrande (Sakaguchi et al. 2020): which option fills the blank. Partial scoring: each option completes
 * the context, and the score is that of the rest of the sentence, which is the same for both.
 */
import { strip } from '../python_text.ts'
import { countCharacters, type Task } from './task.ts'

export const winogrande: Task = {
  name: 'winogrande',
  version: 1,
  metrics: ['acc'],
  fields: 'sentence (with _), option1, option2, answer (1 or 2)',
  read(row) {
    const sentence = row.text('sentence')
    const blank = sentence.indexOf('_')
    if (blank < 0) throw row.refuse('sentence', 'a blank, "_"', sentence)
    const rest = strip(sentence.slice(blank + 1))
    if (rest === '') throw row.refuse('sentence', 'text after the blank', sentence)
    const contexts = [row.text('option1'), row.text('option2')].map(
      (option) => sentence.slice(0, blank) + option,
    )
    return {
      contexts,
      continuations: [rest, rest],
      lengths: contexts.map(countCharacters),
      gold: row.oneOf('answer', ['1', '2']),
    }
  },
}

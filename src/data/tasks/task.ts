/**
 * A choice task: a question and some answers; the model chooses the likeliest answer.
 *
 * Each answer is scored by its log-likelihood after its context. `acc` takes the highest, `acc_norm` the highest per
 * character of the answer, so that short answers have no advantage. Prompts are those of lm-evaluation-harness 0.4: the
 * answer follows the context after one space, examples are separated by an empty line. Characters are code points, as
 * the harness counts them; what it calls `acc_bytes` is not measured.
 */
import type { RowReader } from './row.ts'

/**
 * The metrics there are. `acc_mutual_info` takes the answer whose likelihood the context raises most, so that common words
 * have no advantage either.
 */
export type Metric = 'acc' | 'acc_norm' | 'acc_mutual_info'

/** A question in text. */
export interface Question {
  /** One for each answer; all are equal unless the answer is part of the context. */
  readonly contexts: readonly string[]
  /** What is scored after the context, the space before it left out. */
  readonly continuations: readonly string[]
  /** Characters of each answer. */
  readonly lengths: readonly number[]
  /** Which answer is right. */
  readonly gold: number
}

/** A task: it turns a row into a question. */
export interface Task {
  /** As lm-evaluation-harness calls it. */
  readonly name: string
  /** Of the prompt, as lm-evaluation-harness counts it. */
  readonly version: number
  readonly metrics: readonly Metric[]
  /** The fields of a row, for help texts. */
  readonly fields: string
  /** @param row its fields by name @throws InputError TASK_ROW for a row it cannot ask */
  read(row: RowReader): Question
}

/** Code points of a text. */
export function countCharacters(text: string): number {
  let count = 0
  for (const _ of text) count++
  return count
}

/** One context, several answers. */
export function choose(context: string, answers: readonly string[], gold: number): Question {
  return {
    contexts: answers.map(() => context),
    continuations: answers,
    lengths: answers.map(countCharacters),
    gold,
  }
}

/** The text between a context and its answer. */
export const targetDelimiter = ' '

/** The text after each example of a prompt. */
const shotDelimiter = '\n\n'

/** A question together with its right answer, as an example in front of another question. */
export function shotText({ contexts, continuations, gold }: Question): string {
  return contexts[gold] + targetDelimiter + continuations[gold] + shotDelimiter
}

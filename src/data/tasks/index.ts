/**
 * Every task whose questions come from rows, by name. (`continuation` makes its questions from any text.)
 */
import { UsageError } from '../../tensor/errors.ts'
import { arcEasy } from './arc_easy.ts'
import { copa } from './copa.ts'
import { hellaswag } from './hellaswag.ts'
import { openbookqa } from './openbookqa.ts'
import { piqa } from './piqa.ts'
import { rte } from './rte.ts'
import type { Task } from './task.ts'
import { winogrande } from './winogrande.ts'

/** The seven tasks of the paper, in its order. */
export const tasks: readonly Task[] = [piqa, copa, openbookqa, winogrande, rte, hellaswag, arcEasy]

/**
 * The choice task of a name, which makes questions from rows, for `taskSource` and `runTasks`.
 * @param name that of lm-evaluation-harness, of one of {@link tasks}, such as `piqa`
 * @throws UsageError TASK_NAME for another name
 */
export function taskByName(name: string): Task {
  const found = tasks.find((task) => task.name === name)
  if (found) return found
  throw new UsageError(
    'TASK_NAME',
    `task: expected one of ${tasks.map((task) => task.name).join(', ')}, got ${name}`,
  )
}

/**
 * Every task whose questions come from rows, by name. (`continuation` makes its questions from any text.)
 */
import { expectOption, nameOption } from '../../tensor/option.ts'
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
const taskOption = nameOption(
  'TASK_NAME',
  tasks.map(({ name }) => name),
)

/**
 * The choice task of a name, which makes questions from rows, for `taskSource` and `runTasks`.
 * @param name that of lm-evaluation-harness, of one of {@link tasks}, such as `piqa`
 * @throws UsageError TASK_NAME for another name
 * @example
 * ```ts
 * import { ShadowModel } from 'shadowllm'
 * import { calibrateToFolder, hashFiles, taskByName, taskSource } from 'shadowllm/eval'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const { model, config, prefixIds } = opt
 * const { bosId: emptyId, positions } = config
 *
 * // Rows as the files of the task have them: `fields` names their keys.
 * const copa = taskByName('copa')
 * console.log(copa.fields)
 * const keys = ['premise', 'question', 'choice1', 'choice2', 'label']
 * const row = (place: string, ...values: readonly (string | number)[]) => ({
 *   place,
 *   values: new Map(keys.map((key, i) => [key, values[i] ?? ''])),
 * })
 * const rows = [
 *   row('row 1', 'The man fell.', 'cause', 'The floor was wet.', 'He ate.', 0),
 *   row('row 2', 'The girl was cold.', 'effect', 'She sang.', 'She took a coat.', 1),
 * ]
 *
 * const encode = (words: string): number[] => opt.encode(words)
 * const how = { name: 'copa', encode, count: 2, seed: 0, shots: 0, prefixIds, emptyId, positions }
 * const source = taskSource([{ task: copa, rows }], how)
 * const modelHash = await hashFiles(opt.files)
 * const folder = 'build/example/copa'
 * const report = await calibrateToFolder({ model, modelHash, source, examples: 2, folder, criteria: ['plainact'] })
 * console.log(report.manifest.criteria)
 * await opt.dispose()
 * ```
 */
export function taskByName(name: string): Task {
  expectOption('task', name, taskOption)
  return tasks.find((task) => task.name === name) as Task
}

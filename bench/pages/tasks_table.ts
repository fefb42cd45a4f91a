/**
 * bench/results/tasks.json: what `shadowllm eval --json` printed of several planners, without the shares of each layer.
 *
 * One metric for every task, the accuracy of the likeliest answer. Tasks count by their questions, and a planner is compared with
 * dense question by question. A task without a single answer that any planner changes says nothing of them, and is left out.
 */
import { markdownTable } from './table.ts'

interface Measured {
  readonly value: number
  readonly error: number
}

/** A task under a planner. */
interface TaskRow {
  readonly task: string
  readonly planner: string
  readonly questions: number
  readonly scores: Readonly<Record<string, number>>
  readonly overDense: { readonly acc: Measured }
}

/** The file, as far as it is read. */
export interface TaskRun {
  readonly rows: readonly TaskRow[]
}

/** The tasks that some planner changes. */
function judged({ rows }: TaskRun): string[] {
  const changed = rows.filter(({ overDense: { acc } }) => acc.value !== 0 || acc.error !== 0)
  return [...new Set(changed.map(({ task }) => task))]
}

/** Over all questions of the tasks, by how much a planner is more accurate than dense. */
export function overDense(run: TaskRun, planner: string): Measured {
  const tasks = judged(run)
  const own = run.rows.filter((row) => row.planner === planner && tasks.includes(row.task))
  const questions = own.reduce((sum, row) => sum + row.questions, 0)
  const value = own.reduce((sum, row) => sum + row.questions * row.overDense.acc.value, 0) / questions
  const squares = own.reduce((sum, row) => sum + (row.questions * row.overDense.acc.error) ** 2, 0)
  return { value, error: Math.sqrt(squares) / questions }
}

/** Accuracy in per cent by planner and task, as Markdown. */
export function tasksTable(run: TaskRun): string {
  const tasks = judged(run)
  const planners = [...new Set(run.rows.map(({ planner }) => planner))]
  const per = (value: number): string => (100 * value).toFixed(1)
  const rows = planners.map((planner) => {
    const own = tasks.map(
      (task) => run.rows.find((row) => row.task === task && row.planner === planner) as TaskRow,
    )
    const questions = own.reduce((sum, row) => sum + row.questions, 0)
    const right = own.reduce((sum, row) => sum + row.questions * row.scores['acc,none'], 0)
    const { value, error } = overDense(run, planner)
    return [
      planner,
      ...own.map((row) => per(row.scores['acc,none'])),
      per(right / questions),
      planner === 'dense' ? '-' : `${per(value)} ± ${per(error)}`,
    ]
  })
  return markdownTable(['planner', ...tasks, 'all questions', 'over dense'], rows)
}

/**
 * Flags that say which tasks, and where their rows are.
 */
import { UsageError } from '../tensor/errors.ts'

/** A parser of names of tasks, separated by commas, without doubles. */
export function taskListFlag(names: readonly string[]): (text: string) => string[] {
  return (text) => {
    const listed = text.split(',').map((item) => item.trim())
    for (const name of listed)
      if (!names.includes(name))
        throw new UsageError(
          'TASK_NAME',
          `--tasks: expected names of ${names.join(', ')}, got ${name || 'nothing'}`,
        )
    return [...new Set(listed)]
  }
}

/** A parser of TASK=FILE, which adds to those before. */
export function rowsFlag(
  names: readonly string[],
): (text: string, before: ReadonlyMap<string, string>) => Map<string, string> {
  return (text, before) => {
    const [task, ...path] = text.split('=')
    if (path.length === 0 || path.join('=') === '' || !names.includes(task))
      throw new UsageError('VALUE', `--rows: expected TASK=FILE, got ${text || 'nothing'}`)
    return new Map([...before, [task, path.join('=')]])
  }
}

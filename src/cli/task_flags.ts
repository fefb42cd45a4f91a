/**
 * Flags that say which tasks are asked, and where their rows are.
 */
import { Option, type Command } from 'commander'
import { UsageError } from '../tensor/errors.ts'
import { listOf, addOwnFlags } from './values.ts'
import { nameOption } from '../tensor/option.ts'

/** The flags. */
export interface TaskFlags {
  readonly tasks?: readonly string[]
  readonly data?: string
  readonly rows: ReadonlyMap<string, string>
}

/** Adds the flags. @param description of `--tasks`, which some commands must be given */
export function addTaskFlags(
  command: Command,
  names: readonly string[],
  description: string,
  isMandatory = false,
): Command {
  return addOwnFlags(command, [
    listOf('--tasks <list>', description, nameOption('TASK_NAME', names)).makeOptionMandatory(isMandatory),
    ['--data <dir>', 'folder with a file of rows for each task'],
    new Option('--rows <task=file>', 'the rows of one task; may be given for each')
      .argParser(rowsFlag(names))
      .default(new Map(), 'none'),
  ])
}

/** A parser of TASK=FILE, which adds to the earlier ones. */
function rowsFlag(
  names: readonly string[],
): (text: string, before: ReadonlyMap<string, string>) => Map<string, string> {
  return (text, before) => {
    const [task, ...path] = text.split('=')
    if (path.length === 0 || path.join('=') === '' || !names.includes(task))
      throw new UsageError('VALUE', `--rows: expected TASK=FILE, got ${text || 'nothing'}`)
    return new Map([...before, [task, path.join('=')]])
  }
}

/**
 * The helps of all commands, and those of the commands of `parity`.
 */
import { commandNames } from '../../src/cli/program.ts'
import { runInside } from './run_inside.ts'

const parity = ['run', 'verify-certificate', 'export-ops', 'check-ops', 'export', 'check']

/** The words before `--help`; none for the program's own. */
export const helpNames: readonly string[] = ['', ...commandNames, ...parity.map((name) => `parity ${name}`)]

/** A help as a pipe gets it. */
export async function helpOf(name: string, ...more: string[]): Promise<string> {
  return (await runInside([...name.split(' ').filter((word) => word !== ''), '--help', ...more])).stdout
}

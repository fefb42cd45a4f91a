/**
 * Every command of the command line with its flags, as the parser knows them.
 */
import type { Command } from 'commander'
import { makeProgram } from '../../src/cli/program.ts'
import { quietSession } from '../cli/run_inside.ts'

/** A flag of a command. */
export interface KnownFlag {
  /** The command's whole name: `parity run`; empty for the program itself. */
  readonly command: string
  /** `--top-k`. */
  readonly flag: string
}

/** All commands that do something, by their whole names; the program itself has none. */
async function allCommands(): Promise<Map<string, Command>> {
  const program = await makeProgram(
    quietSession(() => {}),
    '0',
    () => {},
  )
  const found = new Map([['', program]])
  const add = ({ commands }: Command, before: string): void => {
    for (const command of commands) {
      const name = `${before}${command.name()}`
      if (command.commands.length === 0) found.set(name, command)
      add(command, `${name} `)
    }
  }
  add(program, '')
  return found
}

/** Every flag of every command. */
export async function allFlags(): Promise<KnownFlag[]> {
  return [...(await allCommands())].flatMap(([command, { options }]) =>
    options.map(({ long, flags }) => ({ command, flag: long ?? flags })),
  )
}

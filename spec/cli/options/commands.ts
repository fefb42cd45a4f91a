/**
 * The commands of the command line and their flags, read from the parser.
 */
import type { Command } from 'commander'
import { makeProgram } from '../../../src/cli/program.ts'
import { quietSession } from '../run_inside.ts'

/** A flag of a command. */
export interface KnownFlag {
  /** The full name of the command, such as `parity run`; empty for the program itself. */
  readonly command: string
  /** Such as `--top-k`. */
  readonly flag: string
}

/** The program and its commands, by their full names; a command that only has subcommands is left out. */
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

/** Every flag of every command but those that are hidden, which only refuse. */
export async function allFlags(): Promise<KnownFlag[]> {
  return [...(await allCommands())].flatMap(([command, { options }]) =>
    options.filter(({ hidden }) => !hidden).map(({ long, flags }) => ({ command, flag: long ?? flags })),
  )
}

/** What each flag of each command is by default, and is said to be, a line each; flags without a default are left out. */
export async function allDefaults(): Promise<string[]> {
  return [...(await allCommands())].flatMap(([command, { options }]) =>
    options
      .filter(({ defaultValue }) => defaultValue !== undefined)
      .map(({ long, flags, defaultValue, defaultValueDescription }) => {
        const said = defaultValueDescription === undefined ? '' : ` (${defaultValueDescription})`
        return `${`${command} ${long ?? flags}`.trim()} ${JSON.stringify(defaultValue)}${said}`
      }),
  )
}

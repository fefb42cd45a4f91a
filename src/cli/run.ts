/**
 * Runs one command line, whose result or error becomes an exit code and at most one line. It is a function of its session:
 * arguments, environment, streams and ctrl-C.
 */
import { describeFailure } from './failure.ts'
import { ALL, asksHelp, calledCommand, commandNames, makeProgram } from './program.ts'
import { UsageError } from '../tensor/errors.ts'
import { expectNode, version } from '../tensor/version.ts'
import type { Session } from './session.ts'

/** Refuses a word behind --help that has no meaning. @throws UsageError HELP */
function expectHelpWord(args: readonly string[]): void {
  const asked = args.findIndex((word) => word === '--help' || word === '-h')
  const word = asked > 0 ? args[asked + 1] : undefined
  if (word !== undefined && word !== ALL && !word.startsWith('-'))
    throw new UsageError('HELP', `--help: expected ${ALL} or nothing after it, got ${word}`)
}

/**
 * The arguments that ask for the help of a command of a command: `parity run --help` of `help parity run` and of `parity help run`. A word that
 * names none is left to the parser, which refuses it.
 * @param commands the names of the commands of the one that is called
 * @throws UsageError HELP for a word behind a command that has none
 */
function helpArguments(args: readonly string[], commands: readonly string[]): readonly string[] {
  const words = args.filter((arg) => !arg.startsWith('-'))
  const at = words[0] === 'help' ? 0 : words[1] === 'help' && commands.length > 0 ? 1 : -1
  const [name, word, ...more] = at < 0 ? [] : words.toSpliced(at, 1)
  if (word === undefined || word === ALL) return args
  if (commands.length === 0)
    throw new UsageError('HELP', `help ${name}: expected ${ALL} or nothing after it, got ${word}`)
  return commands.includes(word) ? [name, word, '--help', ...more] : [name, word]
}

/**
 * Runs `shadowllm`; nothing is thrown, and the process is not ended.
 * @returns the exit code
 */
export async function runCommandLine(session: Session): Promise<number> {
  // The help of all is that of the program.
  const isOfAll = asksHelp(session.args) && calledCommand(session.args) === ALL
  const args = isOfAll ? session.args.filter((word) => word !== ALL) : session.args
  let known: string[] = []
  try {
    expectNode()
    let help = ''
    const called = calledCommand(args)
    const print = (text: string): void => void (help += text)
    const program = await makeProgram(session, version, print, (name) => name === called)
    const own = program.commands.filter((command) => command.name() === called)
    const flags = [...own, ...own.flatMap(({ commands }) => commands)].flatMap(({ options }) => options)
    const commands = own.length > 0 ? own.flatMap(({ commands }) => commands) : program.commands
    const subcommands = own.flatMap(({ commands }) => commands.map((command) => command.name()))
    known = [
      ...flags.flatMap(({ long, hidden }) => (long && !hidden ? [long] : [])),
      ...commands.map((command) => command.name()),
    ]
    try {
      const asked = own.length === 0 ? args : helpArguments(args, subcommands)
      expectHelpWord(asked)
      // Asked for the help of a command that is none, the parser would show that of the program.
      const isUnknown = called !== undefined && called !== 'help' && !commandNames.includes(called)
      await program.parseAsync(isUnknown && asksHelp(args) ? [called] : asked, { from: 'user' })
    } finally {
      // The parser cannot wait, and ends with an error once help is shown.
      if (help !== '') {
        const { wrapHelp } = await import('./help.ts')
        await session.print(wrapHelp(help, session.screen.columns))
      }
    }
    return session.exitCode
  } catch (error) {
    session.progress.clear()
    const { line, exitCode } = describeFailure(error, session.signal.aborted, known)
    if (line !== '') await session.complain(`${line}\n`)
    if (args.includes('--debug') && exitCode !== 0 && error instanceof Error)
      await session.complain(`${error.stack}\n`)
    return exitCode
  }
}

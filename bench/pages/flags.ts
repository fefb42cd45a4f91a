/**
 * The flags of all commands as Markdown, from the definition that their helps are written from.
 */
import type { Command, Help, Option } from 'commander'
import { makeProgram } from '../../src/cli/program.ts'
import type { Session } from '../../src/cli/session.ts'

/** A command with flags: its full name, such as `parity run`, and the lines of its list by headings. */
interface Documented {
  readonly name: string
  readonly usage: string
  readonly description: string
  readonly arguments: readonly string[]
  readonly flags: ReadonlyMap<string, readonly string[]>
}

/** The heading of flags that have none of their own. */
const PLAIN = 'Flags of several commands'

/** Words that Markdown takes as they are. */
export const escaped = (words: string): string => words.replaceAll(/[*<[\]]/g, '\\$&').replaceAll('\n', ' ')

/** The place of a heading on its page. */
const slugOf = (heading: string): string => heading.toLowerCase().replaceAll(',', '').replaceAll(' ', '-')

const item = (term: string, words: string): string => `- \`${term}\`: ${escaped(words)}`

function itemsByHeading(options: readonly Option[], help: Help): Map<string, string[]> {
  const groups = Map.groupBy(options, ({ helpGroupHeading = PLAIN }) => helpGroupHeading.replace(/:$/, ''))
  const lines = (group: readonly Option[]): string[] =>
    group.map((option) => item(help.optionTerm(option), help.optionDescription(option)))
  return new Map(Array.from(groups, ([heading, group]) => [heading, lines(group)]))
}

/** A command and those below it; one that only has subcommands is left out. */
function documented(command: Command, before: string): Documented[] {
  const name = `${before}${command.name()}`
  const help = command.createHelp()
  const inner = command.commands.flatMap((one) => documented(one, `${name} `))
  if (inner.length > 0) return inner
  return [
    {
      name,
      usage: help.commandUsage(command),
      description: escaped(command.description()),
      arguments: help
        .visibleArguments(command)
        .map((one) => item(help.argumentTerm(one), help.argumentDescription(one))),
      flags: itemsByHeading(
        help.visibleOptions(command).filter(({ long }) => long !== '--help'),
        help,
      ),
    },
  ]
}

const program = await makeProgram({ args: [] } as unknown as Session, '', () => {})
const commands = program.commands.flatMap((command) => documented(command, ''))

/**
 * Every flag of every command. A flag that several commands have with the same words is explained once, under its heading, with the
 * names of the commands; the commands follow.
 */
export function commandFlags(): string {
  const shared = new Map<string, Map<string, string[]>>()
  for (const { name, flags } of commands)
    for (const [heading, lines] of flags)
      for (const line of lines) {
        const known = shared.get(heading) ?? new Map<string, string[]>()
        shared.set(heading, known.set(line, [...(known.get(line) ?? []), `\`${name}\``]))
      }
  const isShared = (heading: string, line: string): boolean =>
    (shared.get(heading)?.get(line)?.length ?? 0) > 1
  const own = commands.flatMap(({ name, usage, description, arguments: words, flags }) => {
    const others = Array.from(flags, ([heading, lines]) => {
      const names = lines
        .filter((line) => isShared(heading, line))
        .flatMap((line) => /`[^`]+`/.exec(line)?.[0].match(/--[\w-]+/g) ?? [])
      return names.length === 0
        ? ''
        : `- [${heading}](#${slugOf(heading)}): ${names.map((flag) => `\`${flag}\``).join(' ')}`
    })
    return [
      `## shadowllm ${name}`,
      `${description.replace(/^./, (first) => first.toUpperCase())}.`,
      `\`${usage}\``,
      [
        ...words,
        ...[...flags].flatMap(([heading, lines]) => lines.filter((line) => !isShared(heading, line))),
      ].join('\n'),
      others.every((line) => line === '') ? '' : 'Explained above:',
      others.filter(Boolean).join('\n'),
    ]
  })
  const explained = Array.from(shared, ([heading, lines]) => {
    const rows = Array.from(lines, ([line, names]) =>
      names.length > 1 ? `${line.replace(/\.?$/, '.')} Of ${names.join(', ')}.` : '',
    ).filter(Boolean)
    return rows.length === 0 ? [] : [`## ${heading}`, rows.join('\n')]
  }).flat()
  const help = program.createHelp()
  const ofProgram = [
    '## Every command',
    [...itemsByHeading(help.visibleOptions(program), help).values()].flat().join('\n'),
  ]
  return [...ofProgram, ...explained, ...own].filter(Boolean).join('\n\n')
}

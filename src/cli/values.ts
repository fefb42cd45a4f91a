/**
 * Flags that take values. What one takes is said by the record of an option (tensor/option.ts), and read strictly: digits where a
 * number is expected; a value that it does not take is refused by the name of the flag, with what was expected.
 */
import { Option, type Command } from 'commander'
import { shareOption } from '../masks/budget.ts'
import { UsageError } from '../tensor/errors.ts'
import { nameOption, rangeOption, readOption, wholeOption, type OptionRecord } from '../tensor/option.ts'

/** A flag. @param flags as commander has them: `-s, --sparsity <share>` */
export function flagOf(flags: string, description: string, option: OptionRecord, usual?: unknown): Option {
  return withParser(flags, description, option, (name, text) => readOption(name, text, option)).default(usual)
}

const requiredFlags = new WeakSet<Option>()

/** A flag that a command needs. */
export function required(flags: string, description: string): Option {
  return needed(new Option(flags, description))
}

/** The same flag, which a command needs. The parser's own check would tell of it before it tells of an unknown flag. */
export function needed(flag: Option): Option {
  requiredFlags.add(flag)
  return flag
}

/** Refuses a command line without a flag that the command needs. @throws UsageError OPTION_MISSING */
export function expectRequired(command: Command): void {
  for (const flag of command.options)
    if (requiredFlags.has(flag) && command.getOptionValue(flag.attributeName()) === undefined)
      throw new UsageError('OPTION_MISSING', `${flag.long}: expected this option, got none`)
}

/** A flag as a row of a table: how it is written, what it says, what it takes, and its value if it is not given. */
export type FlagRow =
  | Option
  | readonly [flags: string, description: string, option?: OptionRecord, usual?: unknown]

/** Adds the flags of one command, in this order. @param heading under which helps have them; default: the first one */
export function addOwnFlags(command: Command, rows: readonly FlagRow[], heading?: string): Command {
  for (const row of rows) {
    const flag = row instanceof Option ? row : flagOfRow(row)
    command.addOption(heading === undefined ? flag : flag.helpGroup(heading))
  }
  return command
}

function flagOfRow([flags, description, option, usual]: Exclude<FlagRow, Option>): Option {
  return option ? flagOf(flags, description, option, usual) : new Option(flags, description).default(usual)
}

/** A flag of several values, separated by commas, without duplicates, in the order given. */
export function listOf(
  flags: string,
  description: string,
  option: OptionRecord,
  usual?: readonly unknown[],
): Option {
  return withParser(flags, description, null, (name, text) => readList(name, text, option)).default(
    usual,
    usual?.join(','),
  )
}

/** A flag of several shares, in ascending order. */
export function sharesOf(flags: string, description: string, usual?: readonly number[]): Option {
  const read = (name: string, text: string): number[] =>
    readList<number>(name, text, shareOption).toSorted((a, b) => a - b)
  return withParser(flags, description, null, read).default(usual, usual?.join(','))
}

function withParser(
  flags: string,
  description: string,
  option: OptionRecord | null,
  read: (name: string, text: string) => unknown,
): Option {
  const flag = new Option(flags, description)
  // The help lists them.
  if (option?.names) flag.choices(option.names)
  return flag.argParser((text) => read(flag.long ?? flags, text))
}

/** Values of a text, separated by commas, without duplicates. @throws as `readOption` */
export function readList<Value>(name: string, text: string, option: OptionRecord): Value[] {
  return [...new Set(text.split(',').map((item) => readOption<Value>(name, item.trim(), option)))]
}

/** A number from `least` to `most`, which is finite. */
export const number = (least: number, most?: number): OptionRecord => rangeOption('VALUE', least, most)

/** A whole number. */
export const whole = (least: number, most?: number): OptionRecord => wholeOption('VALUE', least, most)

/** One of a few names. */
export const oneOf = (names: readonly string[]): OptionRecord => nameOption('VALUE', names)

/** A text, which is not empty. */
export const text = (code: string, words = 'some text'): OptionRecord => ({
  code,
  words,
  holds: (value) => typeof value === 'string' && value !== '',
  read: (given) => given,
})

const byteUnits: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ...['k', 'm', 'g', 't'].flatMap((letter, i): [string, number][] => [
    [`${letter}b`, 1000 ** (i + 1)],
    [`${letter}ib`, 1024 ** (i + 1)],
  ]),
])

/** A number of bytes, from 1 on: 5000000, 5GB (5 * 10^9) or 5GiB (5 * 2^30). */
export const bytes: OptionRecord = {
  code: 'VALUE',
  words: 'bytes, such as 5000000, 5GB or 5GiB',
  holds: (value) => Number.isSafeInteger(value) && (value as number) >= 1,
  read: (text) => {
    const [, digits, unit] = /^(\d+) ?([a-z]*)$/i.exec(text) ?? []
    return Number(digits) * (byteUnits.get((unit ?? '').toLowerCase()) ?? NaN)
  },
}

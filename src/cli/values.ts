/**
 * Flags that take values. What one takes is said by the record of an option (tensor/option.ts), and read strictly: digits where a
 * number is expected; a value that it does not take is refused by the name of the flag, with what was expected.
 */
import { Option, type Command } from 'commander'
import { shareOption } from '../masks/budget.ts'
import { UsageError } from '../tensor/errors.ts'
import { nameOption, rangeOption, readOption, wholeOption, type OptionRecord } from '../tensor/option.ts'

/** A flag as a row of a table: how it is written, what it says, what it takes, and its value if it is not given. */
type Row<Flags = string, Value = unknown, Usual = unknown> =
  | readonly [flags: Flags, description: string, option?: OptionRecord<Value>]
  | readonly [flags: Flags, description: string, option: OptionRecord<Value> | undefined, usual: Usual]

/** A flag that is made already. Its type carries a row that gives a command the same. */
export type Flag<Flags = string, Value = unknown, Usual = undefined> = Option & {
  readonly row?: readonly [Flags, string, OptionRecord<Value>, Usual]
}

/** A flag of a command. */
export type FlagRow = Flag<string, unknown, unknown> | Row

/** The row of a flag. */
type RowOf<One> = One extends Option
  ? One extends { readonly row?: infer Carried }
    ? NonNullable<Carried>
    : never
  : One

/** The name by which commander gives a value: `maxTokens` of `--max-tokens <count>`. */
type NameOf<Flags> = Flags extends `${string}, --${infer Long}`
  ? NameOf<`--${Long}`>
  : Flags extends `--${infer Name} ${string}`
    ? Camel<Name>
    : Flags extends `--no-${infer Name}`
      ? Camel<Name>
      : Flags extends `--${infer Name}`
        ? Camel<Name>
        : never
type Camel<Name> = Name extends `${infer First}-${infer Rest}` ? `${First}${Capitalize<Camel<Rest>>}` : Name

/** What a flag gives without an option that reads its value. */
type Plain<Flags> = Flags extends `${string}...>`
  ? readonly string[]
  : Flags extends `${string}>`
    ? string
    : boolean
type ValueOf<One> = One extends readonly [infer Flags, string, infer Option, ...unknown[]]
  ? Option extends OptionRecord<infer Value>
    ? Value
    : Plain<Flags>
  : One extends readonly [infer Flags, string]
    ? Plain<Flags>
    : never
/** Whether a value is there in any case. */
type IsThere<One> = One extends readonly [`--no-${string}`, ...unknown[]]
  ? true
  : One extends readonly [string, string, unknown, infer Usual]
    ? Usual extends undefined
      ? false
      : true
    : false

/** What a command is given for these flags. */
export type FlagsOf<Rows extends readonly FlagRow[]> = {
  readonly [One in RowOf<Rows[number]> as IsThere<One> extends true ? NameOf<One[0]> : never]: ValueOf<One>
} & {
  readonly [One in RowOf<Rows[number]> as IsThere<One> extends true ? never : NameOf<One[0]>]?: ValueOf<One>
}

/** A flag. @param flags as commander has them: `-s, --sparsity <share>` */
export function flagOf<const Flags extends string, Value, Usual = undefined>(
  flags: Flags,
  description: string,
  option: OptionRecord<Value>,
  usual?: Usual,
): Flag<Flags, Value, Usual> {
  return withParser(flags, description, option, (name, text) => readOption(name, text, option)).default(usual)
}

/** A flag whose text a function reads. */
export function parsedBy<const Flags extends string, Value>(
  flags: Flags,
  description: string,
  read: (text: string) => Value,
): Flag<Flags, Value> {
  return new Option(flags, description).argParser(read)
}

const requiredFlags = new WeakSet<Option>()

/** Whether a command needs a flag. */
export const isRequired = (flag: Option): boolean => requiredFlags.has(flag)

/** The same flag, which a command needs. The parser's own check would tell of it before it tells of an unknown flag. */
export function needed<One extends Option>(flag: One): One {
  requiredFlags.add(flag)
  return flag
}

/** A flag that a command needs. @param read default: the text as it is */
export function required<const Flags extends string, Value = string>(
  flags: Flags,
  description: string,
  read?: (text: string) => Value,
): Flag<Flags, Value, Value> {
  const flag = needed(new Option(flags, description))
  return read ? flag.argParser(read) : flag
}

/** Refuses a command line without a flag that the command needs. @throws UsageError OPTION_MISSING */
export function expectRequired(command: Command): void {
  for (const flag of command.options)
    if (isRequired(flag) && command.getOptionValue(flag.attributeName()) === undefined)
      throw new UsageError('OPTION_MISSING', `${flag.long}: missing; expected ${flag.description}`)
}

/** Adds the flags of one command, in this order. @param heading under which helps have them; default: the first one */
export function addOwnFlags(command: Command, rows: readonly FlagRow[], heading?: string): Command {
  for (const row of rows) {
    const flag = madeFlag(row)
    command.addOption(heading === undefined ? flag : flag.helpGroup(heading))
  }
  return command
}

/** The flag of a row. */
function madeFlag(row: FlagRow): Option {
  if (row instanceof Option) return row
  const [flags, description, option, usual] = row
  return option ? flagOf(flags, description, option, usual) : new Option(flags, description).default(usual)
}

/** A flag that may be given several times. @param usual what stands for none, in words */
export function severalOf<const Flags extends string>(
  flags: Flags,
  description: string,
  usual: string,
): Flag<Flags, readonly string[], readonly string[]> {
  return new Option(flags, description)
    .argParser((value, before: readonly string[]) => [...before, value])
    .default([], usual)
}

/** A flag of several values, separated by commas, without duplicates, in the order given. */
export function listOf<
  const Flags extends string,
  Value,
  Usual extends readonly Value[] | undefined = undefined,
>(
  flags: Flags,
  description: string,
  option: OptionRecord<Value>,
  usual?: Usual,
): Flag<Flags, readonly Value[], Usual> {
  return withParser(flags, description, null, (name, text) => readList(name, text, option)).default(
    usual,
    usual?.join(','),
  )
}

/** A flag of several shares, in ascending order. */
export function sharesOf<const Flags extends string, Usual extends readonly number[] | undefined = undefined>(
  flags: Flags,
  description: string,
  usual?: Usual,
): Flag<Flags, readonly number[], Usual> {
  const read = (name: string, text: string): number[] => {
    // A share with a decimal comma is refused as a whole: 0,5 is no list of shares.
    if (/^0,(?![01]$)\d+$/.test(text)) readOption(name, text, shareOption)
    return readList(name, text, shareOption).toSorted((a, b) => a - b)
  }
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
export function readList<Value>(name: string, text: string, option: OptionRecord<Value>): Value[] {
  return [...new Set(text.split(',').map((item) => readOption(name, item.trim(), option)))]
}

/** A number from `least` to `most`, which is finite. */
export const number = (least: number, most?: number): OptionRecord<number> =>
  rangeOption('VALUE', least, most)

/** A whole number. */
export const whole = (least: number, most?: number): OptionRecord<number> => wholeOption('VALUE', least, most)

/** One of a few names. */
export const oneOf = <const Name extends string>(names: readonly Name[]): OptionRecord<Name> =>
  nameOption('VALUE', names)

/** A text, which is not empty. */
export const text = (code: string, words = 'some text'): OptionRecord<string> => ({
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
export const bytes: OptionRecord<number> = {
  code: 'VALUE',
  words: 'bytes, such as 5000000, 5GB or 5GiB',
  holds: (value) => Number.isSafeInteger(value) && (value as number) >= 1,
  read: (text) => {
    const [, digits, unit] = /^(\d+) ?([a-z]*)$/i.exec(text) ?? []
    return Number(digits) * (byteUnits.get((unit ?? '').toLowerCase()) ?? NaN)
  },
}

/**
 * The table of flags: for each flag of each command, values with different visible effects. The check of a row takes a runner,
 * so that a runner that ignores the flag can be judged too.
 */
import { describe, expect, test } from 'vitest'
import type { Seen } from './observe.ts'

/** One flag of a command. */
export interface Row {
  /** Such as `--top-k`. */
  readonly flag: string
  /** Further arguments of every run of the row. */
  readonly beside?: string
  /** The value of the flag in each run; null leaves the flag out, and an empty text gives it without a value. */
  readonly values: readonly (string | null)[]
  /** What is compared between runs; default: the result of the command. */
  readonly shows?: (seen: Seen) => unknown
  /** The expected result of `shows` for each value. Default: different for each value. */
  readonly is?: readonly unknown[]
  /** Whether a run may end with another exit code than 0. */
  readonly mayFail?: boolean
}

/** The flags of one command. */
export interface CommandTable {
  /** Its full name, such as `parity check`. */
  readonly command: string
  /** Arguments of every run. */
  readonly always: string
  /** The result of a run, without what differs from run to run. */
  readonly result: (seen: Seen) => unknown
  readonly rows: readonly Row[]
}

/** Runs a command line. */
export type Run = (args: readonly string[]) => Promise<Seen>

const words = (text: string): string[] => text.split(' ').filter(Boolean)

/** The command line of a row for one of its values. */
export function argumentsOf(
  { command, always }: CommandTable,
  { flag, beside = '' }: Row,
  value: string | null,
): string[] {
  const given = value === null ? [] : [flag, ...words(value)]
  return [...words(command), ...words(always), ...words(beside), ...given]
}

/** The result of `shows` for each value of a row. */
async function shown(table: CommandTable, row: Row, run: Run): Promise<unknown[]> {
  const { values, shows = table.result, mayFail } = row
  const all: unknown[] = []
  for (const value of values) {
    const args = argumentsOf(table, row, value)
    const seen = await run(args)
    if (seen.code !== 0 && !mayFail) throw new Error(`${args.join(' ')}: ${seen.stderr}`)
    all.push(shows(seen))
  }
  return all
}

/** Expects the effect that the row states. @throws Error of `expect` or of the run */
async function hasItsEffect(table: CommandTable, row: Row, run: Run): Promise<void> {
  const all = await shown(table, row, run)
  if (row.is) return expect(all, `${table.command} ${row.flag}`).toEqual(row.is)
  const texts = all.map((one) => JSON.stringify(one))
  for (const [i, text] of texts.entries())
    expect(
      texts.indexOf(text),
      `${table.command} ${row.flag}: ${row.values[i]} has the effect of another value`,
    ).toBe(i)
}

/** A runner that uses the first value of a row for all of them; if that is null, it drops the flag. */
const takingTheFirst =
  (table: CommandTable, row: Row, run: Run): Run =>
  (args) => {
    const ofRow = row.values.some((value) => argumentsOf(table, row, value).join(' ') === args.join(' '))
    return run(ofRow ? argumentsOf(table, row, row.values[0]) : args)
  }

/** States that every flag of these commands has its effect, and that a runner that ignores the value is found. */
export function stateTables(tables: readonly CommandTable[], run: Run, timeout?: number): void {
  for (const table of tables)
    describe(table.command, () => {
      for (const row of table.rows) {
        const title = `${row.flag}${row.beside ? ` beside ${row.beside}` : ''}`
        test(
          `${title}: each value has its effect, and a runner that ignores the value is found`,
          { timeout },
          async () => {
            await hasItsEffect(table, row, run)
            await expect(hasItsEffect(table, row, takingTheFirst(table, row, run))).rejects.toThrow(
              'expected',
            )
          },
        )
      }
    })
}

/** A runner that runs each command line once. */
export function remembering(run: Run): Run {
  const known = new Map<string, Promise<Seen>>()
  return (args) => {
    const key = args.join(' ')
    const found = known.get(key) ?? run(args)
    known.set(key, found)
    return found
  }
}

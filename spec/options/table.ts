/**
 * The table of flags: for each flag of each command, values that are told apart by something that a run shows. What a row
 * claims is a function of the runner, so that a runner that ignores the flag is judged by it too.
 */
import { describe, expect, test } from 'vitest'
import type { Seen } from './observe.ts'

/** One flag of a command. */
export interface Row {
  /** As it is written: `--top-k`. */
  readonly flag: string
  /** Arguments in every run of the row, beside those of its command. */
  readonly beside?: string
  /** What the flag is given in each run; null leaves it out, and an empty text gives it without a value. */
  readonly values: readonly (string | null)[]
  /** What of a run tells them apart; default: the result of its command. */
  readonly shows?: (seen: Seen) => unknown
  /** What that is for each value. Default: another thing for each. */
  readonly is?: readonly unknown[]
  /** Whether a run may end with another exit code than 0. */
  readonly mayFail?: boolean
}

/** The flags of one command. */
export interface CommandTable {
  /** Its name: `parity check`. */
  readonly command: string
  /** Arguments of every run. */
  readonly always: string
  /** What a run of it found, without what differs from run to run. */
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

/** What each value of a row shows. */
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

/** Whether the flag has the effect that its row says. @throws what is thrown by `expect` and by the run */
async function hasItsEffect(table: CommandTable, row: Row, run: Run): Promise<void> {
  const all = await shown(table, row, run)
  if (row.is) return expect(all, `${table.command} ${row.flag}`).toEqual(row.is)
  const texts = all.map((one) => JSON.stringify(one))
  for (const [i, text] of texts.entries())
    expect(
      texts.indexOf(text),
      `${table.command} ${row.flag}: ${row.values[i]} shows what another does`,
    ).toBe(i)
}

/** A runner that takes the first value of a row for each of them; where that is none, it drops the flag. */
const takingTheFirst =
  (table: CommandTable, row: Row, run: Run): Run =>
  (args) => {
    const ofRow = row.values.some((value) => argumentsOf(table, row, value).join(' ') === args.join(' '))
    return run(ofRow ? argumentsOf(table, row, row.values[0]) : args)
  }

/** States that every flag of these commands has its effect, and that a runner that ignores its value is found. */
export function stateTables(tables: readonly CommandTable[], run: Run, timeout = 60_000): void {
  for (const table of tables)
    describe(table.command, () => {
      for (const row of table.rows) {
        const title = `${row.flag}${row.beside ? ` beside ${row.beside}` : ''}`
        test(
          `${title}: each value shows, and a runner that takes the first for all is found`,
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

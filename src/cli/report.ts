/**
 * How commands report: in words, as JSON, and to a file.
 */
import { jsonText } from '../results/json_text.ts'
import type { SharedFlags } from './flags.ts'
import { writeOutput } from './output.ts'
import type { Screen, Text } from './screen.ts'
import type { Session } from './session.ts'

/** Prints a result: as JSON or in words. @throws UsageError OUTPUT */
export function printResult<Result extends object>(
  session: Session,
  { json }: { readonly json?: boolean },
  result: Result,
  words: (result: Result, screen: Screen) => Text,
): Promise<void> {
  return session.print(json ? jsonText(result) : words(result, session.screen))
}

/** What a command is given that reports on its work. */
export type ReportFlags = SharedFlags<'report'>

/** Prints a report, then writes it to a file if one was asked for. @throws UsageError OUTPUT */
export async function showReport<Report extends object>(
  session: Session,
  flags: ReportFlags,
  report: Report,
  words: (report: Report, screen: Screen) => Text,
): Promise<void> {
  // Printed first: the refusal of the file must not lose the report.
  await printResult(session, flags, report, words)
  if (flags.output !== undefined) await writeOutput(flags.output, jsonText(report))
}

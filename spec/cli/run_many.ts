/**
 * A program that runs command lines inside itself, one after the other, and prints their results as JSON. Tests of another
 * runtime or of a system limit start one process for all command lines.
 *
 *   node spec/cli/run_many.ts '[["--version"], ["masks", "a"]]'
 */
import { runInside } from './run_inside.ts'
import type { CliResult } from './run_cli.ts'

const results: CliResult[] = []
for (const args of JSON.parse(process.argv[2]) as string[][]) results.push(await runInside(args))
process.stdout.write(JSON.stringify(results))

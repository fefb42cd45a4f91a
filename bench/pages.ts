/**
 * The figures of all pages, from result files.
 *
 *   npm run bench:pages    writes every figure of README.md, SECURITY.md, docs, bench and spec anew, and draws docs/grid.svg
 *                          and docs/frontier.svg
 *
 * Exit code 3: a file is no result, or an expression has no value.
 */
import { describeFailure } from '../src/cli/failure.ts'
import { endWhenIdle, write } from '../src/platform/platform.ts'
import { writePages } from './pages/write.ts'

async function main(): Promise<number> {
  try {
    await writePages()
    return 0
  } catch (error) {
    const { line, exitCode } = describeFailure(error, false)
    if (line !== '') await write('stderr', `${line}\n`)
    return exitCode
  }
}

endWhenIdle(await main())

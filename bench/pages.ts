/**
 * The figures of all pages, from result files.
 *
 *   npm run bench:pages    writes every figure of README.md, SECURITY.md, docs, bench and spec anew, and draws docs/frontier.svg
 *
 * Exit code 3: a file is no result, or an expression has no value.
 */
import { tellFailure } from './failure.ts'
import { endWhenIdle } from '../src/platform/platform.ts'
import { writePages } from './pages/write.ts'

async function main(): Promise<number> {
  try {
    await writePages()
    return 0
  } catch (error) {
    return tellFailure(error)
  }
}

endWhenIdle(await main())

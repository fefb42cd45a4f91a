/**
 * The figures of all pages, from result files.
 *
 *   npm run bench:pages    writes every figure of README.md, SECURITY.md, docs, bench and spec anew, and draws docs/grid.svg
 *
 * Exit code 3: a file is no result, or an expression has no value.
 */
import { describeFailure } from '../src/cli/failure.ts'
import { endWhenIdle, pathOfUrl, write, writeFileAtomic } from '../src/platform/platform.ts'
import { drawGrid } from './pages/grid_figure.ts'
import { Pages } from './pages/pages.ts'

const root = pathOfUrl(new URL('..', import.meta.url))

async function main(): Promise<number> {
  try {
    const pages = Pages.read(root)
    for (const { path, text } of pages.derived()) await writeFileAtomic(`${root}${path}`, text)
    await writeFileAtomic(`${root}docs/grid.svg`, await drawGrid(pages.grid('speed')))
    return 0
  } catch (error) {
    const { line, exitCode } = describeFailure(error, false)
    if (line !== '') await write('stderr', `${line}\n`)
    return exitCode
  }
}

endWhenIdle(await main())

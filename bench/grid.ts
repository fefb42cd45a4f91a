/**
 * The figure and the tables of the grid, from runs of `shadowllm reproduce --experiment grid --output FILE`.
 *
 *   npm run bench:grid    draws docs/grid.svg and writes the tables of docs/grid.md anew, from bench/results/grid/NAME.json
 *
 * The page names its runs. The figure is that of the run `curve`, if there is one. Exit code 3: a file is no such run.
 */
import { describeFailure } from '../src/cli/failure.ts'
import {
  endWhenIdle,
  fileKind,
  pathOfUrl,
  readFile,
  write,
  writeFileAtomic,
} from '../src/platform/platform.ts'
import { gridRunOf, type GridRun } from './grid/data.ts'
import { drawGrid } from './grid/figure.ts'
import { pageWith, runsIn } from './grid/page.ts'

const place = (path: string): string => pathOfUrl(new URL(`../${path}`, import.meta.url))
const PAGE = place('docs/grid.md')
const FIGURE = place('docs/grid.svg')

async function textOf(file: string): Promise<string> {
  return new TextDecoder().decode(await readFile(file))
}

const fileOf = (name: string): string => `bench/results/grid/${name}.json`

async function runOf(name: string): Promise<GridRun> {
  return gridRunOf(fileOf(name), await textOf(place(fileOf(name))))
}

async function main(): Promise<number> {
  try {
    let page = await textOf(PAGE)
    for (const name of runsIn(page)) page = pageWith(page, name, await runOf(name))
    await writeFileAtomic(PAGE, page)
    if ((await fileKind(place(fileOf('curve')))) === 'file')
      await writeFileAtomic(FIGURE, await drawGrid(await runOf('curve')))
    return 0
  } catch (error) {
    const { line, exitCode } = describeFailure(error, false)
    if (line !== '') await write('stderr', `${line}\n`)
    return exitCode
  }
}

endWhenIdle(await main())

/**
 * The pages of the repository that hold figures, and the result files that these follow from.
 */
import { globSync, readFileSync } from 'node:fs'
import { InputError } from '../../src/tensor/errors.ts'
import { derive } from './derive.ts'
import { figuresOf } from './figures.ts'
import { Grid, gridRunOf, type GridRun } from './grid.ts'

const RESULTS = 'bench/results'

/** A page by its path from the root. */
export interface Page {
  readonly path: string
  readonly text: string
}

/** See the head of this file. */
export class Pages {
  readonly pages: readonly Page[]
  /** The files of each name: NAME.0.json and NAME.1.json are of one. */
  readonly #results: ReadonlyMap<string, readonly Page[]>

  constructor(pages: readonly Page[], results: readonly Page[]) {
    this.pages = pages
    this.#results = Map.groupBy(results, ({ path }) =>
      path.slice(RESULTS.length + 1).replace(/(\.\d+)?\.json$/, ''),
    )
  }

  /** Reads the pages and the results of a checkout. @param root ends with a slash */
  static read(root: string): Pages {
    const filesOf = (...patterns: string[]): Page[] =>
      globSync(patterns, { cwd: root })
        .toSorted()
        .map((path) => ({ path, text: readFileSync(`${root}${path}`, 'utf8') }))
    return new Pages(
      filesOf('*.md', '{docs,docs/guides,bench,spec,cuda,rust}/*.md'),
      filesOf(`${RESULTS}/**/*.json`),
    )
  }

  /** The runs of a name, in the order of their seeds. @throws InputError RESULT if there is none; GRID_DATA */
  runsOf = (name: string): readonly GridRun[] =>
    this.#filesOf(`grid/${name}`).map(({ path, text }) => gridRunOf(path, text))

  /** What a file holds. @throws InputError RESULT */
  resultOf = (name: string): unknown => JSON.parse(this.#filesOf(name)[0].text)

  #filesOf(name: string): readonly Page[] {
    const files = this.#results.get(name)
    if (files) return files
    throw new InputError('RESULT', `${RESULTS}/${name}.json: expected a result file, got none`)
  }

  /** The grid of a name. */
  grid(name: string): Grid {
    return new Grid(name, this.runsOf(name))
  }

  /** Every page with its figures computed anew. @throws InputError FIGURE, RESULT, ROW */
  derived(): Page[] {
    const scope = figuresOf(this)
    return this.pages.map(({ path, text }) => ({ path, text: derive(path, text, scope) }))
  }
}

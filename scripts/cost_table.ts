/**
 * What a run of the suite cost, as text: the time of each folder of `spec`, and of the files that took longest. It is a table to
 * read, and no limit: times depend on the machine.
 */
import type { FileCost } from './count_reporter.ts'

/** The number of files that are shown one by one. */
const SHOWN = 12

/**
 * The folders, dearest first, then the dearest files; empty for no files.
 *
 * Seconds are those of one worker, imports and hooks included, and add up to more than the run took, since workers share it.
 */
export function costTable(costs: readonly FileCost[]): string {
  if (costs.length === 0) return ''
  const folders = Map.groupBy(costs, ({ path }) => folderOf(path))
  const rows = [...folders].map(([folder, files]) => ({ name: folder, ...sum(files) }))
  const files = costs.map((file) => ({ name: file.path, ...sum([file]) }))
  return [
    'folder                            seconds   share    tests',
    ...[...dearest(rows), { name: 'all', ...sum(costs) }].map((row) => line(row, sum(costs).milliseconds)),
    'dearest files',
    ...dearest(files)
      .slice(0, SHOWN)
      .map((row) => line(row, sum(costs).milliseconds)),
  ]
    .map((text) => `${text}\n`)
    .join('')
}

interface Row {
  readonly name: string
  readonly milliseconds: number
  readonly tests: number
}

/** `spec/io` for `spec/io/hub/fetch.spec.ts`. */
function folderOf(path: string): string {
  return path.split('/').slice(0, -1).slice(0, 2).join('/')
}

function sum(files: readonly FileCost[]): Omit<Row, 'name'> {
  const total = (of: (file: FileCost) => number): number => files.reduce((all, file) => all + of(file), 0)
  return { milliseconds: total(({ milliseconds }) => milliseconds), tests: total(({ tests }) => tests) }
}

function dearest(rows: readonly Row[]): Row[] {
  return rows.toSorted((a, b) => b.milliseconds - a.milliseconds)
}

function line({ name, milliseconds, tests }: Row, all: number): string {
  const seconds = (milliseconds / 1000).toFixed(1).padStart(7)
  const share = `${((100 * milliseconds) / Math.max(all, 1)).toFixed(0)} %`.padStart(6)
  return `${name.padEnd(33)} ${seconds}  ${share}  ${String(tests).padStart(7)}`
}

/**
 * Finds the rows of a task: a file given for it, or a file of a usual name in a folder.
 */
import { isThere } from '../../io/files.ts'
import { readRowFile, type PlacedRow } from '../../io/row_file.ts'
import { joinPath } from '../../platform/platform.ts'
import { InputError, MissingError } from '../../tensor/errors.ts'

/** The parts between a task's name and the ending of its file, in the order of the search. */
const parts = ['', '.validation', '.test', '.dev'] as const
const endings = ['.jsonl', '.parquet'] as const

/** Rows and the file they came from. */
interface FoundRows {
  readonly path: string
  readonly rows: readonly PlacedRow[]
}

/**
 * The rows of a task in a folder: TASK.jsonl or TASK.parquet, or the same with .validation, .test or .dev before the
 * ending; the first there is.
 * @throws MissingError ROWS_MISSING if there is none; InputError as `readRows`
 */
export async function findRows(folder: string, task: string): Promise<FoundRows> {
  const found = await firstOf(folder, task, parts)
  if (found) return readRows(found)
  throw new MissingError(
    'ROWS_MISSING',
    `${folder}: expected ${task}.jsonl or ${task}.parquet (or .validation, .test, .dev before the ending), got none`,
  )
}

/** The rows that examples are drawn from, TASK.train.jsonl or .parquet; null if the folder has none. */
export async function findTrainRows(folder: string, task: string): Promise<FoundRows | null> {
  const found = await firstOf(folder, task, ['.train'])
  return found === null ? null : readRows(found)
}

/** The rows of a file. @throws InputError those of `readRowFile`; ROWS_EMPTY for none */
export async function readRows(path: string): Promise<FoundRows> {
  const rows = await readRowFile(path)
  if (rows.length > 0) return { path, rows }
  throw new InputError('ROWS_EMPTY', `${path}: expected rows, got none`)
}

async function firstOf(folder: string, task: string, between: readonly string[]): Promise<string | null> {
  for (const part of between)
    for (const ending of endings) {
      const path = joinPath(folder, `${task}${part}${ending}`)
      if (await isThere(path)) return path
    }
  return null
}

/**
 * Commands to be interrupted, small enough to run many times, and their results. Models are the small ones of the tables of flags: a
 * command goes through the same stages with them, and reports and writes fewer tensors.
 */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeModel } from './options/small_files.ts'
import { tinyFolder } from './run_cli.ts'
import { runInside } from './run_inside.ts'

/** A command to stop. */
export interface Stoppable {
  readonly name: string
  /** Its arguments, where it writes to this place. @param again it is started a second time on the same place */
  readonly args: (place: string, again?: boolean) => readonly string[]
  /** What counts of its result: the same for two whole runs. Null where there is none yet. */
  readonly resultOf: (place: string, stdout: string) => unknown
  /** Whether what was printed when it was stopped is a beginning of what a whole run prints. */
  readonly prints: 'beginning' | 'report'
}

/** Fields that differ from run to run: when, how long, and with which flags. */
const passing = new Set([
  'provenance',
  'seconds',
  'speed',
  'tokensPerSecond',
  'decodeTokensPerSecond',
  'decodeRatioRange',
  'samples',
  'argv',
  'date',
])

/** A value of JSON, in which only the presence remains of what differs from run to run: a run that was stopped may lack it. */
export function lasting(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(lasting)
  if (typeof value !== 'object' || value === null) return value
  const differs = (name: string): boolean => passing.has(name) || /second|time/i.test(name)
  const entries = Object.entries(value).map(([name, one]): [string, unknown] => {
    return [name, differs(name) ? one !== null : lasting(one)]
  })
  return Object.fromEntries(entries)
}

/** A JSON file without what differs from run to run; null if there is no file. @throws SyntaxError for a partial file */
function reportAt(path: string): unknown {
  return existsSync(path) ? lasting(JSON.parse(readFileSync(path, 'utf8'))) : null
}

/** The rows of a loss curve without what differs from run to run; none if there is no file. */
function curveAt(path: string): unknown[] {
  if (!existsSync(path)) return []
  // The file is empty until the first step.
  const lines = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
  return lines.map((line) => lasting(JSON.parse(line)))
}

/** The bytes of a file, or of every file of a folder by its name; null if there is none. */
function bytesAt(path: string, but: readonly string[] = []): unknown {
  if (!existsSync(path)) return null
  if (!statSync(path).isDirectory()) return readFileSync(path).toString('base64')
  const names = readdirSync(path).filter((name) => !but.includes(name))
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(path, name)).toString('base64')]))
}

/** The commands. @param folder for their inputs */
export async function stoppableCommands(folder: string): Promise<Stoppable[]> {
  const text = join(folder, 'text')
  writeFileSync(text, 'The captain looked at the sea, and the men looked at him. '.repeat(30))
  const rows = join(folder, 'copa.jsonl')
  const row = { choice1: 'It was wet.', choice2: 'It was dry.', question: 'effect', label: 0 }
  writeFileSync(
    rows,
    Array.from(
      { length: 6 },
      (_, i) => `${JSON.stringify({ ...row, premise: `It rained on day ${i}.` })}\n`,
    ).join(''),
  )
  const model = join(folder, 'model')
  await writeModel(model, 3)
  const calibration = join(folder, 'calibration')
  const windows = ['-m', model, '--text', text, '--prompt', '16', '--continuation', '16', '--threads', '1']
  await runInside(['calibrate', '-o', calibration, ...windows, '--limit', '8'])
  return [
    {
      name: 'generate',
      args: () => ['generate', 'The captain', '--max-tokens', '24', '--quiet'],
      resultOf: (_, stdout) => stdout,
      prints: 'beginning',
    },
    {
      name: 'calibrate',
      args: (place) => ['calibrate', '-o', place, ...windows, '--limit', '8'],
      resultOf: (place) => bytesAt(place),
      prints: 'report',
    },
    {
      name: 'train',
      args: (place) => ['train', '--calibration', calibration, '-o', place, '--epochs', '4'],
      resultOf: (place) => bytesAt(place),
      prints: 'report',
    },
    {
      name: 'learn',
      args: (place) => ['learn', '--calibration', calibration, '-o', place, ...windows, '--steps', '6'],
      resultOf: (place) => bytesAt(place),
      prints: 'report',
    },
    {
      name: 'perplexity',
      args: (place) => [
        'perplexity',
        '-m',
        model,
        '--text',
        text,
        '--by',
        'stream',
        '--stride',
        '64',
        '-o',
        place,
      ],
      resultOf: (place) => reportAt(place),
      prints: 'report',
    },
    {
      name: 'eval',
      args: (place) => ['eval', '-m', model, '--tasks', 'copa', '--rows', `copa=${rows}`, '-o', place],
      resultOf: (place) => reportAt(place),
      prints: 'report',
    },
    {
      name: 'parity run',
      args: (place) => ['parity', 'run', '--small', '-m', tinyFolder, '--certificate', place],
      resultOf: (place) => reportAt(place),
      prints: 'report',
    },
    {
      name: 'verify',
      args: () => ['verify', '--law', 'selection: ', '--backend', 'wasm', '--seed', '1', '--runs', '5'],
      resultOf: (_, stdout) => (/\npassed: all \d+\n$/.test(stdout) ? stdout : null),
      prints: 'report',
    },
    {
      name: 'bench',
      args: () => [
        'bench',
        '-m',
        'fixtures/tiny-opt',
        '--sparsity',
        '0.5',
        '--test',
        'pp32,tg8',
        '--rounds',
        '2',
      ],
      // Figures are never the same; which rows there are is.
      resultOf: (_, stdout) => stdout.match(/^(pp32|tg8) +\S+/gm),
      prints: 'report',
    },
    {
      name: 'reproduce',
      args: (place) => {
        const few = ['-m', model, '--quick', '--limit', '1', '--examples', '2', '--sparsity', '0.5']
        return ['reproduce', ...few, '--cache', `${place}.cache`, '-o', place]
      },
      resultOf: (place) => reportAt(place),
      prints: 'report',
    },
    {
      name: 'pretrain',
      args: (place, again = false) => {
        const few = [
          '--config',
          model,
          '--text',
          text,
          '--steps',
          '4',
          '--batch',
          '1',
          '--length',
          '32',
          '--save-every',
          '1',
        ]
        const resumes = again && existsSync(join(place, 'training.safetensors'))
        return ['pretrain', '-o', place, ...few, ...(resumes ? ['--resume'] : [])]
      },
      resultOf: (place) => {
        const files = bytesAt(place, ['loss.jsonl'])
        return files && [files, curveAt(join(place, 'loss.jsonl'))]
      },
      prints: 'report',
    },
  ]
}

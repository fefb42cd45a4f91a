/**
 * Models without a part of their units in llama.cpp, beside the dense one.
 */
import { median, medianRatio, ratioInterval } from '../../src/results/interleaved_rounds.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { markdownTable } from './table.ts'

/** What `npm run bench:peers -- --agree FOLDER --rounds N --json` prints of files `NAME.TYPE.gguf`; rates in tokens a second. */
export interface Smaller {
  readonly rows: readonly {
    readonly model: string
    readonly bytes: number
    readonly tokens: number
    readonly equal: number
    readonly pp128: readonly number[]
    readonly tg32: readonly number[]
  }[]
}

/**
 * A row for each file; ratios to the dense file of the same type are medians over rounds, with the interval that holds the true one
 * nineteen times in twenty.
 * @throws InputError RESULT for a type without a dense file
 */
export function smallerTable({ rows }: Smaller): string {
  const denseOf = (model: string): Smaller['rows'][number] => {
    const name = model.replace(/^[^.]*/, 'dense')
    const found = rows.find((row) => row.model === name)
    if (found) return found
    throw new InputError('RESULT', `smaller.json ${model}: expected ${name} beside it, got none`)
  }
  return markdownTable(
    [
      'file',
      'MB',
      'greedy tokens as here',
      'prompt, tokens/s',
      'times dense',
      'decode, tokens/s',
      'times dense',
    ],
    rows.map((row) => {
      const dense = denseOf(row.model)
      const rates = (['pp128', 'tg32'] as const).flatMap((test) => [
        median(row[test]).toFixed(1),
        row === dense ? '-' : ratioOf(row[test], dense[test]),
      ])
      return [row.model, (row.bytes / 1e6).toFixed(0), `${row.equal} of ${row.tokens}`, ...rates]
    }),
  )
}

function ratioOf(rates: readonly number[], dense: readonly number[]): string {
  const interval = ratioInterval(rates, dense, 0.05)
  if (!interval) return medianRatio(rates, dense).toFixed(2)
  const [times, low, high] = [interval.median, interval.low, interval.high].map((ratio) => ratio.toFixed(2))
  return `${times} (${low} to ${high})`
}

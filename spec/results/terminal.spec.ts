/**
 * Reports in plain text and in JSON show any result, whatever is written in it: numbers read as what they are, columns
 * line up, a cell stays on its line.
 *
 * Tests src/experiments/report/json.ts and src/results/cells.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Column, ExperimentResult, Row } from '../../src/results/experiment_result.ts'
import { cell, figure, groupStarts, heading, isNumeric } from '../../src/results/cells.ts'
import { renderJson } from '../../src/experiments/report/json.ts'
import { formatExperiment, formatTable } from '../../src/results/terminal.ts'
import { kills, killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { provenance, resultOf } from '../experiments/report/report_cases.ts'

describe('a figure', () => {
  const decimals = fc.integer({ min: 0, max: 6 })
  const numbers = fc.oneof(
    fc.double({ noNaN: true, min: -1e6, max: 1e6 }),
    fc.double({ noNaN: true, min: -1e300, max: 1e300 }),
    fc.constantFrom(0, -0, 9999.5, 99999, 1e7, -0.0004, 0.001),
  )
  const read = (text: string): number => Number(text.replaceAll(',', ''))

  const isClose = lawForAll(
    'is the number to its digits, four by default',
    { value: numbers, digits: decimals },
    (format: typeof figure, { value, digits }) => {
      const fixed = read(format(value, digits))
      const free = read(format(value))
      if (Math.abs(value) < 1e15)
        expect(Math.abs(fixed - value)).toBeLessThanOrEqual(
          0.51 * 10 ** -digits + Number.EPSILON * Math.abs(value),
        )
      expect(Math.abs(free - value)).toBeLessThanOrEqual(0.51e-3 * Math.abs(value))
    },
  )
  stateLaw(isClose, figure)

  test('truncated instead of rounded, or off by a thousand, is found', async () => {
    const cut: typeof figure = (value, digits) => figure(Math.trunc(value * 10) / 10, digits)
    const short: typeof figure = (value, digits) => figure(value, digits).replace(/,\d{3}/, '')
    for (const mutant of [cut, short]) await kills(isClose, mutant)
  })

  test.each<[number, number | undefined, string]>([
    [1234.5, 1, '1234.5'],
    [12345.67, 1, '12,345.7'],
    [-0.001, 2, '0.00'],
    [0, undefined, '0.000'],
    [92.314, undefined, '92.31'],
    [252_444_444, undefined, '2.524e8'],
    [0.00012345, undefined, '1.234e-4'],
    [NaN, 2, 'NaN'],
    [Infinity, undefined, 'Infinity'],
  ])('%d with %s digits is %s', (value, digits, text) => expect(figure(value, digits)).toBe(text))
})

describe('a table', () => {
  const columns: Column[] = [
    { key: 'name', label: 'planner' },
    { key: 'value', label: 'speed', unit: 'tokens/s', digits: 1 },
    { key: 'none', label: 'nothing' },
  ]
  const anyRow = fc.record<Row>({
    name: fc.string(),
    value: fc.oneof(fc.constant(null), fc.double({ noNaN: true, min: -1e9, max: 1e9 })),
  })

  test('names the unit in the heading', () => {
    expect(columns.map(heading)).toEqual(['planner', 'speed (tokens/s)', 'nothing'])
  })

  const rowLists = fc.array(anyRow, { minLength: 1 })

  const linesUp = lawForAll(
    'lines up: every number ends where its heading ends',
    { rows: rowLists },
    (format: typeof formatTable, { rows }) => {
      const lines = format(columns, rows)
        .split('\n')
        .filter((line) => line !== '')
      expect(lines).toHaveLength(rows.length + 2)
      const end = lines[0].indexOf('speed (tokens/s)') + 'speed (tokens/s)'.length
      for (const [i, row] of rows.entries())
        expect(lines[i + 2].slice(0, end).endsWith(` ${cell(row, columns[1])}`)).toBe(true)
    },
  )
  stateLaw(linesUp, formatTable)

  killsEach('a table that %s is caught', linesUp, {
    'leans numbers to the left': (some, rows) =>
      formatTable(some, [...rows, { value: 'words' }]).replace(/\n.*$/, ''),
    'forgets how wide the rows are': (some, rows) => formatTable(some, rows).replace(/^(\S+) {2,}/gm, '$1 '),
  })

  const names = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom('\u001b', '\u009b', '\u202e', '\n', '\r', 'a') }),
  )

  const staysInLine = lawForAll(
    'a cell is on its line, without control and direction characters',
    { name: names },
    (format: typeof formatTable, { name }) => {
      const lines = format(columns, [{ name, value: 1 }]).split('\n')
      expect(lines).toHaveLength(3)
      expect(lines[2]).not.toMatch(/[\p{Cc}\p{Cf}]/u)
    },
  )
  stateLaw(staysInLine, formatTable)

  killsEach('a table that %s is found', staysInLine, {
    'shows a control character': (some, rows) => formatTable(some, rows).replace('\\u009b', '\u009b'),
    'adds a line': (some, rows) => `${formatTable(some, rows)}\n`,
  })

  test('aligns numbers right and words left', () => {
    const rows = [{ name: 'a', value: null }]
    expect(columns.map((column) => isNumeric(column, rows))).toEqual([false, true, true])
    expect(isNumeric(columns[1], [{ value: 'n/a' }, { value: 3 }])).toBe(false)
  })

  test('separates groups of rows with equal names', () => {
    const rowsOf = (...names: string[]): Row[] => names.map((name) => ({ name }))
    expect(groupStarts(columns, rowsOf('a', 'a', 'b', 'b', 'a'))).toEqual([false, false, true, false, true])
    expect(groupStarts(columns, rowsOf('a', 'b', 'a'))).toEqual([false, false, false])
    expect(groupStarts(columns, [])).toEqual([])
  })
})

describe('on the terminal', () => {
  test('an experiment shows its question, rows, published figures, findings and command', () => {
    const text = formatExperiment(resultOf())
    expect(text).toBe(
      [
        'Perplexity by sparsity',
        'How much is lost?',
        '',
        'planner  perplexity (per token)  speed (tokens/s)',
        '-------  ----------------------  ----------------',
        'dense                     92.31            12,346',
        'shadow                    113.0                 -',
        '',
        'Published: a paper',
        '',
        'published',
        '---------',
        '    30.75',
        '',
        '- It holds.',
        '',
        '$ shadowllm reproduce --experiment curve',
        '  (12 s)',
        '',
      ].join('\n'),
    )
  })

  test('an interrupted run, and one without rows, say so', () => {
    const text = formatExperiment(resultOf({ complete: false, rows: [], paper: null }))
    expect(text).toContain('Nothing was measured.')
    expect(text).toContain('The run was stopped')
    expect(text).not.toContain('Published')
  })
})

test('a result is its own JSON, with null for NaN and infinities', () => {
  const result = resultOf({ rows: [{ planner: 'dense', ppl: Infinity, speed: 1 }] })
  const read = JSON.parse(renderJson([result], provenance)) as { experiments: ExperimentResult[] }
  expect(read).toMatchObject({
    provenance,
    experiments: [{ name: 'curve', rows: [{ ppl: null, speed: 1 }] }],
  })
})

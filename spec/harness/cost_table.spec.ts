/**
 * The table of what a run cost has every file in it, once. Tests scripts/cost_table.ts.
 */
import { expect, test } from 'vitest'
import { costTable } from '../../scripts/cost_table.ts'

const costs = [
  { path: 'spec/io/zip.spec.ts', tests: 3, milliseconds: 1500 },
  { path: 'spec/io/hub/fetch.spec.ts', tests: 2, milliseconds: 500 },
  { path: 'spec/architecture.spec.ts', tests: 4, milliseconds: 1000 },
  { path: 'Deno: spec/io/zip.spec.ts', tests: 1, milliseconds: 5000 },
]

test('each folder has the sum of its files, dearest first, and files follow by themselves', () => {
  expect(costTable(costs)).toBe(
    [
      'folder                            seconds   share    tests',
      'Deno: spec/io                         5.0    63 %        1',
      'spec/io                               2.0    25 %        5',
      'spec                                  1.0    13 %        4',
      'all                                   8.0   100 %       10',
      'dearest files',
      'Deno: spec/io/zip.spec.ts             5.0    63 %        1',
      'spec/io/zip.spec.ts                   1.5    19 %        3',
      'spec/architecture.spec.ts             1.0    13 %        4',
      'spec/io/hub/fetch.spec.ts             0.5     6 %        2',
      '',
    ].join('\n'),
  )
})

test('no files are no table', () => expect(costTable([])).toBe(''))

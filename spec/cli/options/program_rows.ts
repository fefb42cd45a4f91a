/**
 * The flags of the program itself.
 */
import type { CommandTable } from './table.ts'

export const programTable: CommandTable = {
  command: '',
  always: '',
  result: ({ stdout }) => stdout,
  rows: [
    {
      flag: '--version',
      values: [null, ''],
      shows: ({ stdout }) => /^\d+\.\d+\.\d+\S*\n$/.test(stdout),
      is: [false, true],
      mayFail: true,
    },
    {
      flag: '--debug',
      beside: 'inspect {nothing}',
      values: [null, ''],
      shows: ({ stderr }) => /\n +at /.test(stderr),
      is: [false, true],
      mayFail: true,
    },
  ],
}

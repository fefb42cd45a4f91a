/**
 * The judge of interrupted runs finds every wrong end; `signals.full.spec.ts` judges real runs.
 */
import { describe, expect, test } from 'vitest'
import { judgeEnd, type Ended, type Whole } from './signal_judge.ts'

const whole: Whole = { result: 'all', stdout: 'a text\n' }
const stopped: Ended = {
  result: { code: 130, stdout: 'a\n', stderr: 'shadowllm: interrupted [INTERRUPTED]\n' },
  left: null,
  files: [],
}
const complete: Ended = { result: { code: 0, stdout: 'a text\n', stderr: '' }, left: 'all', files: [] }

describe('a correct end is accepted', () => {
  test('130 with a prefix of the text and one line', () =>
    expect(judgeEnd(stopped, whole, 'beginning')).toBe(true))
  test('0 with the whole result', () => expect(judgeEnd(complete, whole, 'beginning')).toBe(false))
})

describe('bugs planted in how a command ends are found', () => {
  const { result } = stopped
  test.each<[string, Ended]>([
    ['another exit code', { ...stopped, result: { ...result, code: 1 } }],
    [
      'death by the signal with nothing printed',
      { ...stopped, result: { code: null, stdout: '', stderr: '' } },
    ],
    ['death by the signal with all of the text', { ...complete, result: { ...complete.result, code: null } }],
    [
      '130 after the work was complete',
      { ...stopped, left: 'all', result: { ...result, stdout: 'a text\n' } },
    ],
    ['0 after the work was interrupted', { ...stopped, result: { ...result, code: 0 } }],
    ['0 without the result', { ...complete, left: null }],
    ['0 with a line on stderr', { ...complete, result: { ...complete.result, stderr: result.stderr } }],
    ['130 without a line', { ...stopped, result: { ...result, stderr: '' } }],
    ['a second line', { ...stopped, result: { ...result, stderr: `${result.stderr}bye\n` } }],
    ['a stack', { ...stopped, result: { ...result, stdout: 'a\n    at main.ts:1:1\n' } }],
    ['another text', { ...stopped, result: { ...result, stdout: 'b\n' } }],
    ['a temporary file', { ...stopped, files: ['report.json.1-00000000-0.tmp'] }],
  ])('%s', (_, ended) => {
    expect(() => judgeEnd(ended, whole, 'beginning')).toThrow()
  })
})

/**
 * What the system refuses is told from what is wrong with us, in whichever words the runtime has for it.
 */
import { statSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { missingPermission, refusalWords, systemRefusal } from '../../src/platform/platform.ts'

const withCode = (code: string): Error => Object.assign(new Error('words'), { code })
const denied = Object.assign(new Error('Requires write access to "x"'), { name: 'NotCapable' })

function refusalOf(action: () => unknown): string | null {
  try {
    action()
    return 'none'
  } catch (error) {
    return systemRefusal(error)
  }
}

test.each([
  ['a code', withCode('ENOSPC'), 'ENOSPC'],
  ['a code with a digit', withCode('E2BIG'), 'E2BIG'],
  [
    'a number in words',
    new Error(`File too large (os error ${constants.errno.EFBIG}): copy 'a' -> 'b'`),
    'EFBIG',
  ],
  ['a number without a name', new Error('odd (os error 9999)'), 'error 9999'],
  ['a permission that was not given', denied, 'Requires write access to "x"'],
])('%s is a refusal', (_, error, refusal) => expect(systemRefusal(error)).toBe(refusal))

test.each([
  ["a code of Node's", withCode('ERR_INVALID_ARG_TYPE')],
  ['a code of ours', withCode('SPARSITY')],
  ['a bug', new TypeError('x is not a function')],
  ['a text', 'ENOSPC'],
  ['a code that is a number', Object.assign(new Error('words'), { code: 28 })],
])('%s is not a refusal', (_, error) => expect(systemRefusal(error)).toBe(null))

test.each([
  ['EACCES', 'no permission'],
  ['EPERM', 'no permission'],
  ['EIO', 'EIO'],
])('%s means %s', (code, words) => expect(refusalWords(code)).toBe(words))

test('a real refusal is found', () => {
  expect(refusalOf(() => statSync(join(import.meta.filename, 'below a file')))).toBe('ENOTDIR')
})

test('only a missing permission is a refusal', () => {
  expect(missingPermission(denied)).toBe(denied.message)
  expect(missingPermission(withCode('EACCES'))).toBe(null)
})

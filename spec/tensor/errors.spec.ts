/**
 * Each kind of error has the exit code that is documented for it, and keeps what it is given.
 */
import { expect, test } from 'vitest'
import { HubError, InputError, MissingError, ShadowError, UsageError } from '../../src/tensor/errors.ts'

test.each([
  [UsageError, 'UsageError', 2],
  [InputError, 'InputError', 3],
  [MissingError, 'MissingError', 4],
  [HubError, 'HubError', 5],
])('%o is named %s and ends a command with code %i', (Kind, name, exitCode) => {
  const error = new Kind('CODE', 'x: expected 1, got 2')
  expect(error).toBeInstanceOf(ShadowError)
  expect(error).toMatchObject({ name, exitCode, code: 'CODE', message: 'x: expected 1, got 2' })
  expect('cause' in error).toBe(false)
  // What it is not given is not printed with it.
  expect(Object.keys(error).toSorted()).toEqual(['code', 'exitCode', 'name'])
})

test('an error keeps its place and its cause', () => {
  const cause = new RangeError('below')
  const error = new InputError('CODE', 'words', { byteOffset: 0, tensor: 'a.weight', cause })
  expect(error).toMatchObject({ byteOffset: 0, tensor: 'a.weight', cause })
})

/**
 * A pause lets waiting events run first, and ends with the reason of an aborted signal.
 */
import { expect, test } from 'vitest'
import { nextTurn, pause } from '../../src/platform/pause.ts'

test('what was due before a pause has run after it', async () => {
  const ran: string[] = []
  setTimeout(() => ran.push('timer'), 0)
  await pause()
  expect(ran).toEqual(['timer'])
  setImmediate(() => ran.push('turn'))
  await nextTurn()
  expect(ran).toEqual(['timer', 'turn'])
})

test('a pause of an aborted signal throws its reason; another signal changes nothing', async () => {
  const controller = new AbortController()
  await pause(controller.signal)
  const waiting = pause(controller.signal)
  controller.abort(new Error('stopped'))
  await expect(waiting).rejects.toThrow('stopped')
})

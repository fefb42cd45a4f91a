/**
 * What needs no server: the address of a queue, an address without a server, and the remaining time of work at a rate.
 */
import { describe, expect, test } from 'vitest'
import { openQueue, parseQueueUrl } from '../../src/jobs/connection.ts'
import { rateOf, secondsLeft } from '../../src/jobs/queue_state.ts'
import { withSilentPort } from './server.ts'

describe('an address', () => {
  test.each(['', 'host', 'http://host', 'redis://', 'redis://host/a', 'redis://host/0?x=1', 'redis:///0'])(
    '%j is refused',
    (text) => expect(() => parseQueueUrl(text)).toThrow('expected an address such as redis://host:6379'),
  )
  test('has no password, and the refusal does not repeat it', () => {
    for (const text of ['redis://:secret@host', 'rediss://user:secret@host', 'redis://secret@host'])
      expect(() => parseQueueUrl(text)).toThrow(/^(?!.*secret).*SHADOWLLM_QUEUE_PASSWORD instead$/)
  })
  test('has host, port, database and encryption', () => {
    expect(parseQueueUrl('rediss://[::1]:7000/3')).toMatchObject({
      host: '::1',
      port: 7000,
      tls: true,
      database: 3,
    })
    expect(parseQueueUrl('redis://host')).toMatchObject({ host: 'host', port: 6379, tls: false, database: 0 })
  })
  test('without a server is refused in one line', async () => {
    await withSilentPort(async (port) => {
      await expect(openQueue(parseQueueUrl(`redis://127.0.0.1:${port}`))).rejects.toMatchObject({
        code: 'QUEUE_CONNECTION',
        exitCode: 5,
        message: `redis://127.0.0.1:${port}: expected a Redis or Valkey server that accepts the connection, got ECONNREFUSED`,
      })
    })
  })
})

test('rates are means since the start of the work, and give the remaining time', () => {
  expect(rateOf([])).toBeNull()
  expect(rateOf([0, 0])).toBeNull()
  expect(rateOf([4, 0, 8, 0])).toBe(4)
  const counts = { waiting: 6, delayed: 1, active: 1, failed: 5 }
  expect(secondsLeft(counts, 4)).toBe(120)
  expect(secondsLeft(counts, null)).toBeNull()
  expect(secondsLeft({ waiting: 0, delayed: 0, active: 0, failed: 5 }, null)).toBe(0)
})
